"""A whole rollout with real processes: planted secrets reach the service, and nothing else that anybody may read."""

import base64
import binascii
import re
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import requests

from controller.demo.fleet import Settings
from controller.demo.layout import FLEET
from controller.demo.processes import free_ports
from tests.support.artifacts import ArtifactServer, serving, tar_gz
from tests.support.fleet import SETTINGS, Rig
from tests.support.tap import Tap, tapping

pytestmark = [pytest.mark.haproxy, pytest.mark.timeout(300)]

NAME = "worker"
TARGET = f"{NAME}@{FLEET}"
PLANTED = {
    "db": "Kq7#vR2!mZx9/tLw+e4",
    "mail": 'hJ5&nB8 sYd3"pFg6u',
    "ledger": "-----BEGIN LEDGER-----\nWc4yXa8oTi2eDk6z\n-----END LEDGER-----",
    "runner": "Ov9jCm3iGq7bSx1a",
    "store": "Uf6rEn2hLz8kPd5w",
}
PIECES = (
    "Kq7#vR2!",
    "tLw+e4",
    "hJ5&nB8",
    "pFg6u",
    "Wc4yXa8o",
    "Ti2eDk6z",
    "Ov9jCm3i",
    "Gq7bSx1a",
    "Uf6rEn2h",
    "Lz8kPd5w",
)
"""Parts of them: half a secret is one too."""
WORKER = """\
#!PYTHON -IS
import base64, http.server, json, os, sys, urllib.parse
names = ("DB", "MAIL", "LEDGER")
for value in map(os.environ.get, names):
    print("connecting with", value, repr(value), json.dumps({"password": value}), urllib.parse.quote(value, safe=""))
    print("Authorization: Basic", base64.b64encode(f"worker:{value}".encode()).decode(), flush=True)
    print("x" * 290, value, flush=True)
if CRASHES:
    sys.exit(f"cannot connect to db://worker:{os.environ['DB']}@db/trading")
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
    def log_message(self, *args): pass
http.server.ThreadingHTTPServer.allow_reuse_address = True
http.server.ThreadingHTTPServer((sys.argv[1], int(sys.argv[2])), Handler).serve_forever()
"""
PROBE = '#!/bin/sh\necho "probing with $DB"; test -n "$DB" && test ! -e "$(dirname "$0")/ill"\n'
GATE = 'echo "token $TOKEN"; test -n "$TOKEN"'


def service(store: str, port: int) -> dict[str, Any]:
    secrets = {"DB": "db", "MAIL": "mail", "LEDGER": "ledger"}
    return {
        "apiVersion": "drumbeat/v1alpha1",
        "kind": "Service",
        "metadata": {"name": NAME},
        "spec": {
            "hosts": {"role": "trading-api"},
            "artifact": {
                "url": f"{store}{NAME}-{{version}}.tar.gz",
                "run": ["./worker", "{address}", str(port)],
                "secrets": secrets,
            },
            "probes": [
                {"http": {"port": port, "path": "/"}, "interval": "1s"},
                {"exec": {"command": ["./probe"]}, "interval": "1s"},
            ],
            "gates": [{"name": "token", "exec": {"command": ["/bin/sh", "-c", GATE], "secrets": {"TOKEN": "runner"}}}],
            "rollout": {"batches": [1, "100%"], "maxUnavailable": "50%", "deadline": "90s"},
        },
    }


def version_file(folder: Path, version: str, crashes: bool) -> dict[str, Any]:
    worker = WORKER.replace("PYTHON", str(Path(sys.executable).resolve())).replace("CRASHES", str(crashes))
    checksum = tar_gz({"worker": worker, "probe": PROBE}, folder / f"{NAME}-{version}.tar.gz")
    return {"apiVersion": "drumbeat/v1alpha1", "version": version, "sha256": checksum}


def guard(server: ArtifactServer) -> None:
    """Have the store ask for a password at every request."""
    expected = "Basic " + base64.b64encode(f"host:{PLANTED['store']}".encode()).decode()

    def answer(handler: Any) -> None:
        server.answers.append(answer)
        if handler.headers["Authorization"] == expected:
            handler.answer_file()
        else:
            handler.send_error(401)

    server.answers.append(answer)


def agents(planted: Path, tap: Tap, store: str) -> dict[str, Any]:
    """What all nodes' settings have; the environment's secret is set for the whole test."""
    planted.mkdir()
    for name in ("db", "store", "runner"):
        (planted / name).write_text(PLANTED[name] + "\n")
    (planted / "ledger").write_text(PLANTED["ledger"])
    return {
        **SETTINGS.agents,
        "bus": tap.url,
        "logLevel": "debug",
        "secrets": {
            "db": {"file": str(planted / "db")},
            "mail": {"environment": "PLANTED_MAIL"},
            "ledger": {"command": ["cat", str(planted / "ledger")]},
            "runner": {"file": str(planted / "runner")},
            "store": {"file": str(planted / "store")},
        },
        "artifacts": [{"prefix": store, "user": "host", "password": "store"}],
    }


class CommandLines:
    """Looks at every command line of this machine, again and again."""

    def __init__(self) -> None:
        self.seen: set[bytes] = set()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._stop.wait(0.05):
            for path in Path("/proc").glob("[0-9]*/cmdline"):
                try:
                    self.seen.add(path.read_bytes())
                except OSError:
                    continue


def inside(data: bytes) -> Iterator[bytes]:
    """The bytes, and whatever is in them in base64, as in envelopes and journals."""
    yield data
    for found in re.finditer(rb"[A-Za-z0-9+/_-]{16,}={0,2}", data):
        for skip in range(4):  # a run of letters may begin with some that do not belong to it
            text = found[0].rstrip(b"=")[skip:].translate(bytes.maketrans(b"-_", b"+/"))
            try:
                inner = base64.b64decode(text[: len(text) // 4 * 4])
            except binascii.Error:
                continue
            if len(found[0]) > 400 and skip == 0:
                yield from inside(inner)
            else:
                yield inner


def leaks(data: bytes) -> list[str]:
    """The pieces of planted secrets in the bytes, in whatever form."""
    forms = {form: piece for piece in PIECES for form in (piece.encode(), quote(piece, safe="").encode())}
    return sorted({piece for inner in inside(data) for form, piece in forms.items() if form in inner})


def files(root: Path, but: Callable[[Path], bool]) -> Iterator[Path]:
    for path in sorted(root.rglob("*")):
        if path.is_file() and not but(path):
            yield path


def answers(rig: Rig) -> dict[str, bytes]:
    """Whatever the controller says to who asks."""
    hosts = [host.name for host in rig.layout.hosts]
    resources = ["targets", f"targets/{TARGET}", "rollouts", f"rollouts/{TARGET}", "nodes", "nodes/runner-1", "pools"]
    paths = [f"api/v1/{name}" for name in [*resources, *(f"nodes/{host}" for host in hosts), "state"]]
    paths += ["api/v1/events?limit=1000", "metrics", "openapi.json"]
    return {path: requests.get(f"{rig.layout.controller_url}/{path}", timeout=30).content for path in paths}


@contextmanager
def fleet(root: Path, settings: Settings) -> Iterator[Rig]:
    root.mkdir()
    rig = Rig(root, balancers=1, hosts=2, settings=settings)
    try:
        yield rig
    finally:
        rig.stop()


def test_what_searches_finds() -> None:
    plain = PLANTED["db"].encode()
    twice = base64.b64encode(b"x" * 400 + base64.b64encode(b'{"a": "' + plain + b'"}'))
    assert leaks(plain) == leaks(base64.b64encode(b"user:" + plain)) == leaks(twice) == ["Kq7#vR2!", "tLw+e4"]
    assert leaks(b"nothing of that kind") == []


def test_a_rollout_tells_nobody_the_secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLANTED_MAIL", PLANTED["mail"])
    store_folder = tmp_path / "store"
    store_folder.mkdir()
    lines = CommandLines()
    with tapping() as tap, serving(store_folder) as store:
        guard(store)
        settings = Settings(SETTINGS.controller, agents(tmp_path / "planted", tap, store.url("")))
        with fleet(tmp_path / "fleet", settings) as rig:
            tap.forward_to(rig.layout.ports.controller)
            said = roll_out(rig, store_folder, store.url(""))
            said |= {f"at the end: {path}": answer for path, answer in answers(rig).items()}
            assert_it_has_its_secrets(rig)
        lines.stop()
        said |= {f"bus {number}": stream for number, stream in enumerate(tap.heard())}
    said |= {f"command line {line!r}": line for line in lines.seen}
    own_logs = set((tmp_path / "fleet/nodes").glob(f"*/state/logs/{TARGET}.log*"))
    assert own_logs and all(leaks(path.read_bytes()) for path in own_logs), "what the service itself wrote is its own"
    said |= {str(path): path.read_bytes() for path in files(tmp_path / "fleet", lambda path: path in own_logs)}
    assert any(b"***" in inner for data in said.values() for inner in inside(data))
    assert {name: found for name, data in said.items() if (found := leaks(data))} == {}


def roll_out(rig: Rig, folder: Path, store: str) -> dict[str, bytes]:
    """A release that crashes, then one that does not; what was answered in between."""
    rig.start()
    [port] = free_ports(1)
    bad = version_file(folder, "1.0", crashes=True)
    named = f"versions/{FLEET}/{NAME}.yaml"
    rig.write({f"services/{NAME}.yaml": service(store, port), named: bad}, "Add worker")
    why = rig.hold("1.0", TARGET)
    assert "crashing" in why and "its log ends: cannot connect to db://worker:***@db/trading" in why, why
    said = {f"while it crashes: {path}": answer for path, answer in answers(rig).items()}
    said["drumbeat"] = "".join(
        rig.drumbeat(*words)
        for words in (["describe", "target", TARGET], ["describe", "node", rig.layout.hosts[0].name], ["events"])
    ).encode()
    rig.write({named: version_file(folder, "1.1", crashes=False)}, "Run worker 1.1")
    rig.wait("worker everywhere", lambda: rig.has_converged("1.1", TARGET))
    return said


def assert_it_has_its_secrets(rig: Rig) -> None:
    for host in rig.layout.hosts:
        environment = Path(f"/proc/{rig.identity(host.name, TARGET)['pid']}/environ").read_bytes().split(b"\0")
        for variable, name in (("DB", "db"), ("MAIL", "mail"), ("LEDGER", "ledger")):
            assert f"{variable}={PLANTED[name]}".encode() in environment

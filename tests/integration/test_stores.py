"""A store of artifacts that asks who is there is told, nobody else is; its private authority counts for it alone."""

import base64
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from agent.drivers.contracts import Retry, Terminal
from agent.drivers.services.archive import Config, Driver
from agent.drivers.services.archive.stores import Store, Stores
from agent.settings import BadSettings, read_settings
from bus.clock import SystemClock
from tests.support.artifacts import ArtifactServer, release_of, serving, tar_gz

TARGET = "api@prod"
PASSWORD = "planted-password-0042"
BASIC = "Basic " + base64.b64encode(f"ann:{PASSWORD}".encode()).decode()


def driver(tmp_path: Path, *stores: dict[str, Any]) -> Driver:
    known = Stores([Store.model_validate(store) for store in stores], lambda name: PASSWORD)
    return Driver(Config(), tmp_path / "state", "linux", SystemClock(), known)


def asks(expected: str, told: list[str | None]) -> Any:
    """An answer that is there for whoever says this."""

    def answer(handler: Any) -> None:
        told.append(handler.headers["Authorization"])
        if handler.headers["Authorization"] == expected:
            handler.answer_file()
        else:
            handler.send_error(401)

    return answer


def leads_to(url: str, told: list[str | None]) -> Any:
    def answer(handler: Any) -> None:
        told.append(handler.headers["Authorization"])
        handler.send_response(302)
        handler.send_header("Location", url)
        handler.send_header("Set-Cookie", "session=planted-cookie")
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    return answer


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ArtifactServer]:
    tar_gz({"run": "#!/bin/sh\n"}, tmp_path / "api.tar.gz")
    with serving(tmp_path) as made:
        yield made


def fetch(tmp_path: Path, url: str, *stores: dict[str, Any]) -> None:
    driver(tmp_path, *stores).fetch(TARGET, release_of(tmp_path / "api.tar.gz", ["./run"], url=url))


@pytest.mark.parametrize(
    ("said", "expected"),
    [({"user": "ann", "password": "store"}, BASIC), ({"bearer": "store"}, f"Bearer {PASSWORD}")],
)
def test_a_store_is_told_what_it_asks_for(
    tmp_path: Path, server: ArtifactServer, said: dict[str, str], expected: str
) -> None:
    told: list[str | None] = []
    server.answers += [asks(expected, told), asks(expected, told)]
    with pytest.raises(Terminal, match="401: name the store and what it asks for in 'artifacts'"):
        fetch(tmp_path, server.url("api.tar.gz"))
    fetch(tmp_path, server.url("api.tar.gz"), {"prefix": server.url(""), **said})
    assert told == [None, expected]


def test_the_longest_prefix_counts(tmp_path: Path, server: ArtifactServer) -> None:
    told: list[str | None] = []
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep/api.tar.gz").write_bytes((tmp_path / "api.tar.gz").read_bytes())
    server.answers.append(asks(f"Bearer {PASSWORD}", told))
    stores = {"prefix": server.url(""), "user": "ann", "password": "a"}, {"prefix": server.url("deep/"), "bearer": "b"}
    fetch(tmp_path, server.url("deep/api.tar.gz"), *stores)


def test_a_redirect_to_another_host_is_told_nothing(tmp_path: Path, server: ArtifactServer) -> None:
    told: list[str | None] = []
    with serving(tmp_path) as other:
        server.answers += [leads_to("/moved.tar.gz", told), leads_to(other.url("api.tar.gz"), told)]
        other.answers.append(lambda handler: (told.append(handler.headers["Authorization"]), handler.answer_file()))
        both = [{"prefix": each.url(""), "user": "ann", "password": "store"} for each in (server, other)]
        fetch(tmp_path, server.url("api.tar.gz"), *both)
    assert told == [BASIC, BASIC, None], "the same host is told again, the other one never"


def test_an_authority_that_is_none_is_named(tmp_path: Path, server: ArtifactServer) -> None:
    (tmp_path / "ca.pem").write_text("not a certificate")
    url = server.url("api.tar.gz").replace("http:", "https:")
    with pytest.raises(Retry, match=r"/ca\.pem: cannot be used for TLS: .*; see 'artifacts' in agent\.yaml"):
        fetch(
            tmp_path, url, {"prefix": url.removesuffix("api.tar.gz"), "ca": str(tmp_path / "ca.pem"), "bearer": "store"}
        )


def test_redirects_end(tmp_path: Path, server: ArtifactServer) -> None:
    server.answers += [leads_to("/api.tar.gz", []) for _ in range(10)]
    with pytest.raises(Retry, match="from one address to another"):
        fetch(tmp_path, server.url("api.tar.gz"))


@pytest.mark.parametrize("url", ["file:///etc/passwd", "gopher://127.0.0.1/", "http://[", "http://127.0.0.1:99999/"])
def test_a_redirect_to_what_is_no_address_is_refused(tmp_path: Path, server: ArtifactServer, url: str) -> None:
    server.answers.append(leads_to(url, []))
    with pytest.raises(Terminal, match="not an address"):
        fetch(tmp_path, server.url("api.tar.gz"), {"prefix": server.url(""), "bearer": "store"})


@pytest.mark.parametrize(
    "url",
    [
        "http://artifacts.example.com.evil.example/a/x.tgz",
        "http://artifacts.example.com@evil.example/a/x.tgz",
        "http://artifacts.example.com:81/a/x.tgz",
        "https://artifacts.example.com/a/x.tgz",
        "http://artifacts.example.com/ab/x.tgz",
        "http://artifacts.example.com/a/../b/x.tgz",
        "http://artifacts.example.com/a/%2e%2e/b/x.tgz",
        "http://artifacts.example.com",
    ],
)
def test_what_only_looks_like_the_store_is_not(url: str) -> None:
    assert not Store(prefix="http://artifacts.example.com/a/").covers(url)


@pytest.mark.parametrize(
    "url", ["http://ARTIFACTS.example.com:80/a/x.tgz", "http://artifacts.example.com/a/b/../x.tgz?signature=1"]
)
def test_the_store_is_known_however_it_is_written(url: str) -> None:
    assert Store(prefix="http://artifacts.example.com/a/").covers(url)


@pytest.mark.parametrize(
    "said",
    [
        {"prefix": "http://a"},
        {"prefix": "http://a/b"},
        {"prefix": "http://user:password@a/"},
        {"prefix": "http://a/", "user": "ann"},
        {"prefix": "http://a/", "user": "ann", "password": "b", "bearer": "c"},
        {"prefix": "http://a/", "key": "/k"},
    ],
)
def test_a_store_that_is_half_said_is_refused(said: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        Store.model_validate(said)


def test_paths_in_the_settings_start_at_their_folder_and_names_must_be_known(tmp_path: Path) -> None:
    config = tmp_path / "agent.yaml"
    plain = "node: h1\nbus: http://127.0.0.1:1\ncredentials: c\nstate: s\nhost: {}\n"
    stores = "artifacts: [{prefix: https://a.example.com/, bearer: token, ca: ca.pem}]\n"
    config.write_text(plain + stores + "secrets: {token: {file: token}}\n")
    settings = read_settings(config)
    assert settings.secrets["token"].file == tmp_path / "token"
    assert settings.artifacts[0].ca == tmp_path / "ca.pem"
    config.write_text(plain + stores)
    with pytest.raises(BadSettings, match="no secret 'token'; add it to 'secrets'"):
        read_settings(config)


def certificate(folder: Path, name: str, *more: str) -> Path:
    """A certificate and its key in one file, as an operator would make them."""
    path = folder / f"{name}.pem"
    made = ["-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
    files = ["-keyout", str(path), "-out", str(folder / f"{name}.crt"), "-subj", f"/CN={name}"]
    subprocess.run(["openssl", "req", *made, *files, *more], check=True, capture_output=True, timeout=60)
    path.write_bytes(path.read_bytes() + (folder / f"{name}.crt").read_bytes())
    return path


@contextmanager
def serving_tls(folder: Path, context: ssl.SSLContext) -> Iterator[ArtifactServer]:
    with serving(folder) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        yield server


def test_a_private_authority_and_the_nodes_own_certificate(tmp_path: Path) -> None:
    tar_gz({"run": "#!/bin/sh\n"}, tmp_path / "api.tar.gz")
    ours = certificate(tmp_path, "node")
    theirs = certificate(tmp_path, "store", "-addext", "subjectAltName=IP:127.0.0.1")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(theirs)
    context.load_verify_locations(tmp_path / "node.crt")
    context.verify_mode = ssl.CERT_REQUIRED
    with serving_tls(tmp_path, context) as server:
        url = server.url("api.tar.gz").replace("http:", "https:")
        store = {"prefix": url.removesuffix("api.tar.gz"), "certificate": ours}
        with pytest.raises(Retry, match="not trusted"):
            fetch(tmp_path, url, store)
        with pytest.raises(Retry, match=r"cannot read .*missing.crt: No such file"):
            fetch(tmp_path, url, store | {"ca": tmp_path / "missing.crt"})
        with pytest.raises(Retry):
            fetch(tmp_path, url, {"prefix": store["prefix"], "ca": tmp_path / "store.crt"})
        fetch(tmp_path, url, store | {"ca": tmp_path / "store.crt"})

"""Any file that an operator writes is understood or refused in words: at most 10 s and 256 MiB for one of 1 MiB."""

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from agent.settings import BadSettings, read_settings
from bus.keys import BadKey, generate_key, public_text
from bus.roots import read_roots
from controller.settings import SettingsError, load_settings
from tests.fuzz.budget import bounded, few, fuzzed
from tests.fuzz.heavy import HEAVY
from tests.fuzz.parts import with_bytes
from tests.fuzz.yaml_pieces import documents

SECONDS, MEBIBYTES = 10, 256
Reader = Callable[[Path], object]

READERS: dict[str, Reader] = {
    "agent.yaml": read_settings,
    "trust.yaml": read_roots,
    "drumbeat.yaml": lambda path: load_settings({}, path),
}
AGENT = """\
node: h1
bus: https://a.example.com
ca: ca.pem
credentials: c
state: s
reportInterval: 30s
logLevel: info
host: {archive: {keep: 3}, process: {}, downloads: 2, probes: 8}
balancer: {driver: haproxy, socket: /a, masterSocket: /b, stateFile: /c, configFile: /d}
runner: {scripts: x, concurrency: 2}
secrets:
  a: {file: f, services: [api]}
  b: {command: [x, y], timeout: 3s}
  c: {environment: E}
artifacts: [{prefix: "https://a.example.com/", user: u, password: a, ca: ca.pem}]
"""
TRUST = f"""\
fleet: prod
threshold: 2
roots: ["{public_text(generate_key().public_key)}", "{public_text(generate_key().public_key)}"]
"""
CONTROLLER = """\
repository: https://git.example.com/state.git
branch: prod
pollInterval: 30s
listen: 127.0.0.1:7420
bus: amqps://mq-1:5671,mq-2:5671/drumbeat
logLevel: info
"""
TEXTS = {"agent.yaml": AGENT, "trust.yaml": TRUST, "drumbeat.yaml": CONTROLLER}


def refused(name: str, text: str | bytes) -> str:
    """Why the file is refused; empty if it is understood."""
    with TemporaryDirectory() as folder, bounded(SECONDS, MEBIBYTES):
        path = Path(folder) / name
        path.write_bytes(text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text)
        path.chmod(0o600)
        try:
            READERS[name](path)
        except (BadSettings, BadKey, SettingsError) as bad:
            str(bad).encode()
            assert str(bad)
            return str(bad)
    return ""


@pytest.mark.parametrize("name", READERS)
def test_the_good_ones_are_good(name: str) -> None:
    assert refused(name, TEXTS[name]) == ""


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("heavy", HEAVY)
def test_what_is_heavy_or_odd_is_refused_soon(name: str, heavy: str) -> None:
    assert name in refused(name, HEAVY[heavy])


@pytest.mark.parametrize("name", READERS)
@fuzzed
@given(st.data())
def test_any_file(name: str, data: st.DataObject) -> None:
    refused(name, data.draw(documents([yaml.safe_load(TEXTS[name])])))


@pytest.mark.parametrize("name", READERS)
@few
@given(st.data())
def test_any_bytes_put_in(name: str, data: st.DataObject) -> None:
    refused(name, data.draw(with_bytes(TEXTS[name])))

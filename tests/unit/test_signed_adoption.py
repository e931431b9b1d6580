"""What may be adopted is signed with the release: who could change the pattern could have any process stopped."""

from pathlib import Path

import pytest

from crds.service import ServiceSpec
from reconcilers.releases import commands_of
from tests.support.signed_nodes import SignedHost
from tests.support.signing import Signing, release

ONE = release("1")
API, SSHD = "bin/api --port 8080", "/usr/sbin/sshd -D"


@pytest.fixture(scope="module")
def signing() -> Signing:
    return Signing()


@pytest.fixture
def host(tmp_path: Path, signing: Signing) -> SignedHost:
    host = SignedHost(tmp_path, signing.pinned())
    host.supervisor.outsiders = [API, SSHD]
    return host


def adopting(signing: Signing) -> str:
    return signing.statement(ONE, commands={"adopt": [API]})


def test_a_signed_release_is_adopted(host: SignedHost, signing: Signing) -> None:
    said = host.give(ONE, adopting(signing), signing.trust(), adopt=API)
    assert (said.state, said.adopted, said.healthy) == ("running", True, True)
    assert not host.touched(ONE)


@pytest.mark.parametrize("statement", [True, False])
def test_another_process_than_was_signed_is_not(host: SignedHost, signing: Signing, statement: bool) -> None:
    said = host.give(ONE, adopting(signing) if statement else None, signing.trust(), adopt=SSHD)
    assert (said.state, said.identity) == ("failed", None)
    assert host.supervisor.outsiders == [API, SSHD]


def test_nor_is_it_once_the_release_is_kept_and_its_process_has_ended(host: SignedHost, signing: Signing) -> None:
    host.give(ONE, adopting(signing), signing.trust(), adopt=API)
    host.supervisor.kill("api@prod")
    said = host.give(ONE, adopting(signing), signing.trust(), adopt=SSHD)
    assert said.identity is None
    assert "to adopt the process '/usr/sbin/sshd -D' was not signed" in said.message
    assert host.supervisor.outsiders == [SSHD]


def test_what_is_signed_names_the_process() -> None:
    artifact = '{"url": "file:///x", "run": ["api"]}'
    spec = ServiceSpec.model_validate_json(
        f'{{"hosts": {{}}, "artifact": {artifact}, "mode": "adopt", "adopt": {{"process": "bin/api"}}}}'
    )
    assert [(command.kind, command.words) for command in commands_of(spec)] == [("adopt", ["bin/api"])]


@pytest.mark.parametrize(
    ("adopt", "words"),
    [
        ('{"process": "[api"}', "no regular expression"),
        ('{"process": "x*|y*"}', "every process"),
        ("null", "write adopt"),
    ],
)
def test_a_pattern_that_would_take_anything_is_refused(adopt: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        ServiceSpec.model_validate_json(
            f'{{"hosts": {{}}, "artifact": {{"url": "file:///x", "run": ["a"]}}, "mode": "adopt", "adopt": {adopt}}}'
        )

"""Commands that an attacker would have a node run around a signed release: probes, gates, and what is put into them.

The counterpart of test_release_attacks.py, which is about the release itself.
"""

from pathlib import Path

import pytest

from crds.messages import OperationSpec
from crds.probe import ExecCheck, Probe
from tests.simulation.drivers import SimClock
from tests.support.roles import MemorySteps
from tests.support.signed_nodes import SignedHost, SignedRunner
from tests.support.signing import TARGET, Signing, release

ONE, TWO = release("1"), release("2")
PROBE = Probe(exec=ExecCheck(command=["./probe"]))
GATE = ["./smoke", "{url}", "{host}"]


@pytest.fixture(scope="module")
def signing() -> Signing:
    return Signing()


@pytest.fixture
def host(tmp_path: Path, signing: Signing) -> SignedHost:
    """It runs release 1, as it should."""
    host = SignedHost(tmp_path, signing.pinned())
    assert host.give(ONE, signing.statement(ONE), signing.trust()).state == "running"
    return host


# --- commands


def test_a_probe_that_was_not_signed_keeps_the_release_away(host: SignedHost, signing: Signing) -> None:
    said = host.give(TWO, signing.statement(TWO), signing.trust(), probes=[PROBE])
    assert (said.state, host.touched(TWO), host.asked) == ("failed", False, [])
    assert "the probe's command './probe' was not signed" in said.message


def test_a_probe_that_was_not_signed_is_not_run_for_what_runs(host: SignedHost, signing: Signing) -> None:
    said = host.give(ONE, signing.statement(ONE), signing.trust(), probes=[PROBE])
    assert not said.healthy
    assert "the probe's command './probe' was not signed" in said.message
    assert host.asked == []
    assert host.runs(ONE)


def test_a_gates_command_is_no_probes(host: SignedHost, signing: Signing) -> None:
    statement = signing.statement(TWO, commands={"gate": ["./probe"]})
    said = host.give(TWO, statement, signing.trust(), probes=[PROBE])
    assert (said.state, host.asked) == ("failed", [])


def test_a_signed_probe_runs_also_once_its_key_is_revoked(host: SignedHost, signing: Signing) -> None:
    statement = signing.statement(TWO, commands={"probe": ["./probe"]})
    assert host.give(TWO, statement, signing.trust(), probes=[PROBE]).healthy is True
    gone = signing.trust(2, keys=signing.named("qa"), revoked=signing.named("ci"))
    host.restart()
    host.asked.clear()
    said = host.give(TWO, statement, gone, probes=[PROBE])
    assert (said.state, said.healthy) == ("running", True)
    assert host.asked


def test_a_forged_statement_does_not_let_a_probe_run(host: SignedHost, signing: Signing) -> None:
    """Also not for a release that runs already, whose own statement was good."""
    forged = Signing().statement(ONE, commands={"probe": ["./probe"]})
    said = host.give(ONE, forged, signing.trust(), probes=[PROBE])
    assert "was not signed" in said.message
    assert host.asked == []


@pytest.mark.parametrize("address", ["127.0.0.1; evil", "$(evil)", "`evil`", "a b", "127.0.0.1\n", "-V", "--help"])
def test_an_address_that_is_a_command(host: SignedHost, signing: Signing, address: str) -> None:
    """It is put into the signed command, and is not signed itself."""
    for what in (ONE, TWO):
        said = host.give(what, signing.statement(what), signing.trust(), address=address)
        assert said.state == "failed"
        assert "cannot be put into a command" in said.message
    assert not host.touched(TWO)
    assert host.runs(ONE)


# --- operations


@pytest.fixture
def runner(signing: Signing) -> SignedRunner:
    clock = SimClock()
    return SignedRunner(signing.node(clock), clock, MemorySteps())


def operation(
    statement: str | None, trust: str | None, command: list[str] | None = None, **said: object
) -> OperationSpec:
    fields = {"host": "vm1", "version": "1", "address": "10.0.0.1:80", **said}
    return OperationSpec.model_validate(
        {
            "name": "smoke",
            "target": TARGET,
            "command": command or GATE,
            "statement": statement,
            "trust": trust,
            **fields,
        }
    )


def test_a_signed_gate_runs(runner: SignedRunner, signing: Signing) -> None:
    said = runner.give(operation(signing.statement(ONE, commands={"gate": GATE}), signing.trust()))
    assert (said.outcome, runner.ran) == ("passed", [GATE])


def test_a_gate_of_http_needs_no_signature(runner: SignedRunner) -> None:
    spec = OperationSpec(name="smoke", target=TARGET, host="vm1", version="1", path="/", address="10.0.0.1:80")
    assert runner.give(spec).outcome == "passed"


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"command": ["sh", "-c", "evil"]}, "was not signed"),
        ({"target": "web@prod"}, "not web@prod"),
        ({"target": "api@staging"}, "api@staging is not among them"),
        ({"version": "1; evil"}, "was signed as '1'"),
        ({"host": "$(evil)"}, "cannot be put into a command"),
        ({"address": "10.0.0.1/$(evil)"}, "cannot be put into a command"),
        ({"host": "--version"}, "cannot be put into a command"),
        ({"host": "-oevil"}, "cannot be put into a command"),
        ({"address": "-oevil:80"}, "cannot be put into a command"),
        ({"url": "http://x/$(evil)", "via": None}, "cannot be put into a command"),
        ({"statement": None}, "is not signed"),
        ({"trust": None}, "no trust document has come"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_an_operation_that_was_not_signed(
    runner: SignedRunner, signing: Signing, said: dict[str, object], words: str
) -> None:
    good = operation(signing.statement(ONE, commands={"gate": GATE}), signing.trust())
    result = runner.give(good.model_copy(update=said))
    assert (result.outcome, runner.ran) == ("failed", [])
    assert words in result.message


TOKEN = {"API_TOKEN": "smoke-token"}


def test_a_signed_gate_gets_the_secrets_that_were_signed_with_it(runner: SignedRunner, signing: Signing) -> None:
    statement = signing.statement(ONE, commands={"gate": GATE}, secrets=TOKEN)
    said = runner.give(operation(statement, signing.trust(), secrets=TOKEN))
    assert (said.outcome, runner.ran) == ("passed", [GATE])


@pytest.mark.parametrize(
    "secrets",
    [
        {"API_TOKEN": "root-password"},
        {"LD_PRELOAD": "smoke-token"},
        {**TOKEN, "MORE": "root-password"},
        {},
    ],
    ids=["another secret", "another variable", "one more", "none"],
)
def test_a_signed_gate_gets_no_other_secrets(runner: SignedRunner, signing: Signing, secrets: dict[str, str]) -> None:
    """What a command is handed is as much its meaning as its words: a test that posts its token would post any."""
    statement = signing.statement(ONE, commands={"gate": GATE}, secrets=TOKEN)
    said = runner.give(operation(statement, signing.trust(), secrets=secrets))
    assert (said.outcome, runner.ran) == ("failed", [])
    assert "was not signed" in said.message
    assert all(f"{variable} from {name}" in said.message for variable, name in secrets.items())


def test_a_gate_that_was_signed_without_secrets_gets_none(runner: SignedRunner, signing: Signing) -> None:
    statement = signing.statement(ONE, commands={"gate": GATE})
    said = runner.give(operation(statement, signing.trust(), secrets=TOKEN))
    assert (said.outcome, runner.ran) == ("failed", [])


def test_a_probes_command_is_no_gates(runner: SignedRunner, signing: Signing) -> None:
    said = runner.give(operation(signing.statement(ONE, commands={"probe": GATE}), signing.trust()))
    assert (said.outcome, runner.ran) == ("failed", [])


def test_roots_that_are_pinned_later_end_nothing(tmp_path: Path, signing: Signing) -> None:
    """What ran before runs on; what it never proved does not let a command run."""
    host = SignedHost(tmp_path, None)
    forged = Signing().statement(ONE, commands={"probe": ["./probe"]})
    host.give(ONE, forged, None, probes=[PROBE])
    host.roots = signing.pinned()
    host.restart()
    host.asked.clear()
    said = host.pass_time(120)
    assert (host.runs(ONE), host.asked, said.healthy) == (True, [], False)
    good = signing.statement(ONE, commands={"probe": ["./probe"]})
    assert host.give(ONE, good, signing.trust(), probes=[PROBE]).healthy is True

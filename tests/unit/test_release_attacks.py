"""What an attacker with the controller, the broker or the state repository tries on a node that pins roots.

Each attack is named as in the catalogue of The Update Framework and of Uptane where it has a name there. Whatever is
tried, nothing of it is fetched, installed, started or run, and the report says why and what to do.
"""

import json
from datetime import timedelta
from pathlib import Path

import pytest

from bus.envelope import Refused, add_signature, open_assignment, seal
from bus.keys import generate_key
from bus.trust import MAX_SIGNED
from crds.messages import ASSIGNMENT_TYPE, ServiceAssignment
from crds.probe import ExecCheck, Probe
from crds.release import Release
from crds.trust import RELEASE_TYPE, TRUST_TYPE
from tests.simulation.drivers import SimClock
from tests.support.roles import MemorySteps
from tests.support.signed_nodes import SignedHost
from tests.support.signing import TARGET, Signing, release, signed

ONE, TWO = release("1"), release("2")


@pytest.fixture(scope="module")
def signing() -> Signing:
    return Signing()


@pytest.fixture
def host(tmp_path: Path, signing: Signing) -> SignedHost:
    """It runs release 1, as it should."""
    host = SignedHost(tmp_path, signing.pinned())
    said = host.give(ONE, signing.statement(ONE), signing.trust())
    assert (said.state, said.message, host.runs(ONE)) == ("running", "", True)
    return host


def refused(host: SignedHost, what: Release, statement: str | None, trust: str | None, reason: str, words: str) -> None:
    """Try it: the node does nothing of it, says why, and runs on what it ran."""
    said = host.give(what, statement, trust)
    assert said.state == "failed"
    assert words in said.message
    assert not host.touched(what)
    assert host.runs(ONE)
    assert host.trust.refused[reason] == 1, host.trust.refused  # once, not in every pass


# --- arbitrary software


def test_arbitrary_software(host: SignedHost, signing: Signing) -> None:
    """The controller alone: it signs what it likes with a key of its own."""
    own = Signing()
    refused(host, TWO, own.statement(TWO), signing.trust(), "wrong_key", "bears 0 of 1 signatures")


def test_a_stripped_statement(host: SignedHost, signing: Signing) -> None:
    refused(host, TWO, None, signing.trust(), "unsigned", f"run: drumbeat release sign {TARGET} --key FILE")


def test_stripped_signatures(host: SignedHost, signing: Signing) -> None:
    statement = signing.statement(TWO).replace('"signatures":[{', '"signatures":[],"ignored":[{')
    refused(host, TWO, statement, signing.trust(), "wrong_key", "bears 0 of 1 signatures")


def test_a_stripped_trust_document(tmp_path: Path, signing: Signing) -> None:
    """Without any, nobody's signature counts."""
    host = SignedHost(tmp_path, signing.pinned())
    said = host.give(ONE, signing.statement(ONE), None)
    assert (said.state, host.touched(ONE)) == ("failed", False)
    assert "no trust document has come" in said.message


def test_a_tampered_release(host: SignedHost, signing: Signing) -> None:
    """Every part of it is covered: another archive, command, account, variable or secret is another release."""
    statement = signing.statement(TWO)
    for said in (
        {"sha256": "1" * 64},
        {"run": ["sh", "-c", "evil"]},
        {"user": "root"},
        {"environment": {"LD_PRELOAD": "/tmp/evil.so"}},
        {"secrets": {"PASSWORD": "of-another-service"}},
        {"driver": "evil"},
        {"supervisor": "evil"},
        {"stop_timeout": 0.0},
        {"quiesce": {"command": ["./elsewhere"]}},
        {"url": "https://evil.example/"},
    ):
        other = release("2", **said)
        said_back = host.give(other, statement, signing.trust())
        assert (said_back.state, host.touched(other), host.runs(ONE)) == ("failed", False, True), said
        assert "what was signed is another release" in said_back.message


def test_a_statement_of_another_type(host: SignedHost, signing: Signing) -> None:
    """A signature over one kind of document is none over another."""
    forged = signing.statement(TWO).replace(RELEASE_TYPE, TRUST_TYPE)
    refused(host, TWO, forged, signing.trust(), "malformed", "wrong_type")


def test_software_that_is_fetched_ahead(host: SignedHost, signing: Signing) -> None:
    """Not even unpacked: who can fetch can fill a disk, or find a hole in what unpacks."""
    host.give(ONE, signing.statement(ONE), signing.trust(), next=TWO, next_statement=signing.statement(ONE))
    assert not host.touched(TWO)
    host.give(ONE, signing.statement(ONE), signing.trust(), next=TWO, next_statement=signing.statement(TWO))
    assert host.touched(TWO)


# --- rollback


def test_rollback_below_the_floor(host: SignedHost, signing: Signing) -> None:
    trust = signing.trust(2, floors={"api": 50})
    refused(host, TWO, signing.statement(TWO, sequence=49), trust, "below_floor", "sequence 49, below the floor 50")


def test_undo_above_the_floor_works(host: SignedHost, signing: Signing) -> None:
    trust = signing.trust(2, floors={"api": 50})
    host.give(TWO, signing.statement(TWO, sequence=200), trust)
    assert host.runs(TWO)
    assert host.give(ONE, signing.statement(ONE, sequence=50), trust).state == "running"
    assert host.runs(ONE)


def test_an_installed_release_below_the_floor_is_not_started_again(host: SignedHost, signing: Signing) -> None:
    """That its files still lie there is no way around the floor."""
    host.give(TWO, signing.statement(TWO, sequence=200), signing.trust())
    host.services.install(TARGET, ONE)
    said = host.give(ONE, signing.statement(ONE, sequence=49), signing.trust(2, floors={"api": 50}))
    assert (said.state, host.runs(TWO)) == ("failed", True)


def test_an_older_trust_document(host: SignedHost, signing: Signing) -> None:
    """Rollback of trust: the key that was taken out does not come back, also not after a restart of the agent."""
    without_ci = signing.trust(3, keys=signing.named("qa"))
    host.give(TWO, signing.statement(TWO, "qa"), without_ci)
    host.restart()
    said = host.give(ONE, signing.statement(ONE, "ci"), signing.trust(2))
    assert (said.state, host.runs(TWO)) == ("failed", True)
    assert "version 2 of the trust document came, and version 3 is known here" in said.message
    assert host.trust.version == 3


def test_another_document_under_the_same_version(host: SignedHost, signing: Signing) -> None:
    host.give(ONE, signing.statement(ONE), signing.trust(1, keys=signing.named("qa")))
    assert host.trust.refused["trust_changed"] == 1


def test_a_document_of_before_beside_the_newest_is_no_trouble(host: SignedHost, signing: Signing) -> None:
    """What was asked before a change still carries it."""
    host.give(ONE, signing.statement(ONE), signing.trust(2))
    old = ServiceAssignment(release=None, trust=signing.trust(1))
    services = {**host.assignment.services, "zzz@prod": old, "aaa@prod": old}
    host.assignment = host.assignment.model_copy(update={"services": services})
    said = host.role.converge(host.assignment, host.clock.now()).services[TARGET]
    assert (said.state, said.message, host.trust.version) == ("running", "", 2)


def test_two_envelopes_of_one_document_are_one(signing: Signing) -> None:
    """One pass brings both while a further root's signature is on its way; neither may be journaled in each pass."""
    third, steps = generate_key(), MemorySteps()
    both = [signing.trust(), signing.trust(by=[*signing.roots, third])]
    node = signing.node(SimClock(), steps)
    for _ in range(10):
        node.take(both)
    assert (steps.saves, node.version, node.trouble) == (1, 1, "")
    node.take([both[1], signing.trust(2, by=[])])
    assert node.trouble == ""


# --- freeze


def test_freeze(host: SignedHost, signing: Signing) -> None:
    """Who keeps the newest trust document away gains nothing but time, and no more of it than the roots gave."""
    soon = host.clock.now() + timedelta(minutes=10)
    trust = signing.trust(2, expires=soon)
    host.give(ONE, signing.statement(ONE), trust)
    host.clock.advance(3600)
    refused(host, TWO, signing.statement(TWO), trust, "trust_expired", "with each root's key")


def test_what_runs_outlives_trust_a_crash_and_a_restart(host: SignedHost, signing: Signing) -> None:
    soon = host.clock.now() + timedelta(minutes=10)
    trust = signing.trust(2, expires=soon, keys=signing.named("qa"))
    host.give(ONE, signing.statement(ONE), trust)
    host.clock.advance(3600)
    host.restart()
    assert host.pass_time(30).state == "running"
    host.supervisor.kill(TARGET)
    assert host.pass_time(30).state == "running"
    host.supervisor.reboot()
    assert host.pass_time(30).state == "running"
    assert host.runs(ONE)


# --- mix and match


def test_a_statement_of_another_release(host: SignedHost, signing: Signing) -> None:
    refused(host, TWO, signing.statement(ONE), signing.trust(), "wrong_release", "what was signed is another release")


def test_a_statement_of_another_service(host: SignedHost, signing: Signing) -> None:
    statement = signing.statement(TWO, service="web")
    refused(host, TWO, statement, signing.trust(), "wrong_service", "what was signed is web, not api@prod")


def test_a_statement_for_another_fleet(host: SignedHost, signing: Signing) -> None:
    statement = signing.statement(TWO, fleets=["staging"])
    refused(host, TWO, statement, signing.trust(), "wrong_fleet", "was signed for staging")


def test_a_statement_for_all_fleets_is_good(host: SignedHost, signing: Signing) -> None:
    assert host.give(TWO, signing.statement(TWO, fleets="all"), signing.trust()).state == "running"


def test_another_fleets_target(host: SignedHost, signing: Signing) -> None:
    """A node of prod runs nothing of staging's, although staging's keys may have signed it."""
    statement = signing.statement(TWO, service="api", fleets=["staging"])
    said = host.give(TWO, statement, signing.trust(2, fleets=["prod", "staging"]), target="api@staging")
    assert (said.state, host.touched(TWO, "api@staging")) == ("failed", False)


def test_another_fleets_trust_document(host: SignedHost, signing: Signing) -> None:
    """Signed by the same roots, with keys that count in staging only."""
    signing.people["intern"] = generate_key()
    staging = signing.trust(9, fleets=["staging"], keys=signing.named("intern"))
    refused(host, TWO, signing.statement(TWO, "intern"), staging, "wrong_fleet", "this node belongs to prod")


# --- key compromise


def test_a_revoked_key(host: SignedHost, signing: Signing) -> None:
    """What it signed runs on where it runs; nothing else is installed by it."""
    trust = signing.trust(2, keys=signing.named("qa"), revoked=signing.named("ci"))
    refused(host, TWO, signing.statement(TWO, "ci"), trust, "revoked_key", "by a revoked key (ci)")
    assert host.give(TWO, signing.statement(TWO, "qa"), trust).state == "running"


def test_a_revoked_key_lets_nothing_come_back(host: SignedHost, signing: Signing) -> None:
    """Also not what the node has found good before, within the same life of its agent."""
    host.give(TWO, signing.statement(TWO, "qa"), signing.trust())
    trust = signing.trust(2, keys=signing.named("qa"), revoked=signing.named("ci"))
    said = host.give(ONE, signing.statement(ONE, "ci"), trust)
    assert (said.state, host.runs(TWO)) == ("failed", True)
    assert "by a revoked key (ci)" in said.message


def test_revoked_beats_listed(host: SignedHost, signing: Signing) -> None:
    trust = signing.trust(2, revoked=signing.named("ci"))
    refused(host, TWO, signing.statement(TWO, "ci"), trust, "revoked_key", "by a revoked key (ci)")


def test_a_rotated_key(host: SignedHost, signing: Signing) -> None:
    """A new document with the new key is all that it takes."""
    signing.people["new"] = generate_key()
    trust = signing.trust(2, keys=signing.named("new"))
    assert host.give(TWO, signing.statement(TWO, "new"), trust).state == "running"


def test_one_root_of_two(host: SignedHost, signing: Signing) -> None:
    evil = Signing()
    trust = signing.trust(2, by=signing.roots[:1], keys=evil.named())
    refused(host, TWO, evil.statement(TWO), trust, "wrong_key", "bears 1 of 2 signatures of roots")
    assert host.trust.refused["trust_unsigned"] == 1


def test_a_tampered_trust_document(host: SignedHost, signing: Signing) -> None:
    """Its signatures moved to another content."""
    evil = Signing()
    forged = signed(TRUST_TYPE, evil.document(2), [generate_key()])
    signatures = signing.trust(2).partition('"signatures":')[2]
    trust = forged.partition('"signatures":')[0] + '"signatures":' + signatures
    refused(host, TWO, evil.statement(TWO), trust, "wrong_key", "bears 0 of 2 signatures of roots")


def test_replaced_roots_forget_what_former_roots_signed(host: SignedHost, signing: Signing) -> None:
    """Who replaced the pinned roots, because others had got hold of them, need not outbid their version."""
    host.give(ONE, signing.statement(ONE), signing.trust(10**15))
    fresh = Signing(people=signing.people)
    host.roots = fresh.pinned()
    host.restart()
    assert host.trust.version == 0
    assert host.give(TWO, signing.statement(TWO), fresh.trust(1)).state == "running"


@pytest.mark.parametrize("kept", [{"document": "{"}, {"document": 7}, {"document": ["x"]}, {}], ids=str)
def test_a_journaled_trust_document_that_cannot_be_read(
    host: SignedHost, signing: Signing, kept: dict[str, object]
) -> None:
    """It leaves a node that believes nobody, not one that believes everybody."""
    host.journal.steps("trust").save(kept)
    host.restart()
    refused(host, TWO, signing.statement(TWO), None, "no_trust", "no trust document has come")


# --- thresholds


def test_one_key_twice(tmp_path: Path) -> None:
    """A key counts once, however often it has signed, and under however many names it is listed."""
    signing = Signing(threshold=2)
    host = SignedHost(tmp_path, signing.pinned())
    twice = add_signature(signing.statement(ONE, "ci").encode(), signing.people["ci"]).decode()
    renamed = [*signing.named("ci"), signing.named("ci")[0].model_copy(update={"name": "qa"})]
    for trust in (signing.trust(1), signing.trust(2, keys=renamed)):
        said = host.give(ONE, twice, trust)
        assert (said.state, host.touched(ONE)) == ("failed", False)
        assert "bears 1 of 2 signatures" in said.message


def test_one_signature_copied(tmp_path: Path) -> None:
    signing = Signing(threshold=2)
    host = SignedHost(tmp_path, signing.pinned())
    head, _, tail = signing.statement(ONE, "ci").partition('"signatures":[')
    one = tail.removesuffix("]}")
    said = host.give(ONE, f'{head}"signatures":[{one},{one}]}}', signing.trust())
    assert (said.state, host.touched(ONE)) == ("failed", False)


def test_enough_keys(tmp_path: Path) -> None:
    signing = Signing(threshold=2)
    host = SignedHost(tmp_path, signing.pinned())
    assert host.give(ONE, signing.statement(ONE, "ci", "qa"), signing.trust()).state == "running"


# --- endless data


def test_an_oversized_statement(host: SignedHost, signing: Signing) -> None:
    statement = signing.statement(TWO, commands={"gate": ["x" * 10]}, fleets=["prod", *["f" * 60] * 2000])
    assert len(statement) > MAX_SIGNED
    refused(host, TWO, statement, signing.trust(), "too_large", "at most")


def test_an_oversized_trust_document(host: SignedHost, signing: Signing) -> None:
    trust = signing.trust(2, floors={f"s{number}": 1 for number in range(10_000)})
    said = host.give(ONE, signing.statement(ONE), trust)
    assert (said.state, host.trust.version) == ("running", 1)  # what is in force stays so
    assert host.trust.refused["too_large"] == 1
    assert "the trust document cannot be read" in said.message


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", "{}", '{"payload":"","payloadType":"","signatures":0}', "\ud800"]
)
def test_what_is_no_statement(host: SignedHost, signing: Signing, text: str) -> None:
    said = host.give(TWO, text, text)
    assert (said.state, host.touched(TWO), host.runs(ONE)) == ("failed", False, True)


def test_a_signed_payload_that_says_something_else(host: SignedHost, signing: Signing) -> None:
    odd = seal(RELEASE_TYPE, b'{"service": 1}', signing.people["ci"]).decode()
    refused(host, TWO, odd, signing.trust(), "malformed", "not a Statement")


# --- what needs no signature


@pytest.mark.parametrize(
    "target", ["../../../home/ann", "/home/ann", "api@prod/../../..", "a@b@prod", "@prod", "api", "."]
)
def test_a_removal_of_what_is_no_service(target: str) -> None:
    """A removal deletes the folder of that name, and needs no signature: it must not lead anywhere else."""
    said = {"node": "vm1", "term": 1, "serial": 1, "expires": "2026-01-01T00:00:00Z"}
    removal, gate = {target: {"release": None}}, {"one": {"name": "smoke", "target": target}}
    for more in ({"services": removal}, {"operations": gate}):
        key = generate_key()
        envelope = seal(ASSIGNMENT_TYPE, json.dumps(said | more).encode(), key)
        with pytest.raises(Refused, match="should match pattern"):
            open_assignment(envelope, [key.public_key], "vm1")


# --- without roots


def test_without_pinned_roots_nothing_need_be_signed(tmp_path: Path) -> None:
    host = SignedHost(tmp_path, None)
    assert host.give(ONE, None, None, probes=[Probe(exec=ExecCheck(command=["./probe"]))]).healthy is True


def test_verifying_is_done_once(host: SignedHost, signing: Signing, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[object] = []
    monkeypatch.setattr("agent.trust.release_statement", lambda *said: calls.append(said))
    host.give(TWO, signing.statement(TWO), signing.trust())
    host.pass_time(600)
    assert len(calls) == 2  # to install, and to keep

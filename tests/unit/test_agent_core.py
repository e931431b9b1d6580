"""The core takes only what is signed, addressed to it and new, and reports when something changed."""

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from random import Random

import pytest

from agent.core import Agent
from agent.halted import Halted
from agent.journal import Journal
from agent.reporting import Reporter, Speaker
from agent.role import Observed
from bus.envelope import open_assignment, open_report, seal_assignment, seal_report
from bus.keys import generate_key
from crds.messages import Assignment, OperationReport, Report, ServiceReport, Stamp
from tests.simulation.drivers import SimClock

CONTROLLER, NODE, STRANGER = generate_key(), generate_key(), generate_key()
SPEAKER = Speaker("h1", "1.0", "linux", ["host"])


@dataclass
class FakeRole:
    """Shows what the core does with a role."""

    name: str = "host"
    seen: list[Stamp] = field(default_factory=list)
    observed: Observed = field(default_factory=Observed)
    defect: Exception | None = None

    def converge(self, assignment: Assignment, now: datetime) -> Observed:
        self.seen.append(assignment.stamp)
        if self.defect:
            raise self.defect
        return self.observed

    def close(self) -> None: ...


class Node:
    def __init__(self, path: Path) -> None:
        self.clock = SimClock()
        self.path = path
        self.wakes = 0
        self.sent: list[Report] = []
        self.role = FakeRole()
        self.restart()

    def restart(self) -> None:
        journal = Journal.open(self.path, self.clock, Random(1))
        seal = partial(seal_report, signer=NODE)
        reporter = Reporter(SPEAKER, journal, seal, self.send, timedelta(seconds=30))
        verify = partial(open_assignment, controller_keys=[CONTROLLER.public_key], node="h1")
        self.agent = Agent(journal, [self.role], verify, reporter, self.wake, 30.0)

    def wake(self) -> None:
        self.wakes += 1

    def send(self, envelope: bytes) -> None:
        self.sent.append(open_report(envelope, NODE.public_key, "h1"))

    def envelope(self, term: int, serial: int, node: str = "h1", key: object = CONTROLLER) -> bytes:
        expires = self.clock.now() + timedelta(hours=1)
        return seal_assignment(Assignment(node=node, term=term, serial=serial, expires=expires), key)  # type: ignore[arg-type]

    def step(self, *envelopes: bytes) -> float:
        for envelope in envelopes:
            self.agent.receive(envelope)
        return self.agent.step(self.clock.now())


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return Node(tmp_path / "journal")


def entry(state: str = "running", serial: int = 1) -> ServiceReport:
    return ServiceReport.model_validate({"read": (1, serial), "state": state})


def test_without_an_assignment_it_says_that_it_is_there_and_does_nothing(node: Node) -> None:
    node.step()
    assert node.role.seen == []
    assert [(report.full, report.taken) for report in node.sent] == [(True, Stamp(0, 0))]


def test_takes_an_assignment_and_names_it(node: Node) -> None:
    node.step(node.envelope(1, 1))
    assert node.wakes == 1
    assert node.role.seen == [Stamp(1, 1)]
    assert node.sent[-1].taken == Stamp(1, 1)


def test_takes_the_newest_of_several_in_whatever_order(node: Node) -> None:
    node.step(node.envelope(1, 2), node.envelope(2, 1), node.envelope(1, 9))
    assert node.role.seen == [Stamp(2, 1)]


def test_refuses_what_is_older_also_after_a_restart(node: Node) -> None:
    node.step(node.envelope(2, 1))
    node.restart()
    node.step(node.envelope(1, 100))
    assert node.agent.refused == {"older": 1}
    assert set(node.role.seen) == {Stamp(2, 1)}


@pytest.mark.parametrize(("change", "reason"), [({"key": STRANGER}, "wrong_key"), ({"node": "h2"}, "wrong_node")])
def test_refuses_what_is_not_signed_or_not_for_it(node: Node, change: dict[str, object], reason: str) -> None:
    node.step(node.envelope(1, 1, **change), b"noise")  # type: ignore[arg-type]
    assert node.agent.refused[reason] == 1
    assert node.agent.refused.total() == 2
    assert node.role.seen == []
    assert node.sent[-1].taken == Stamp(0, 0)


def test_goes_on_by_the_journal_after_a_restart(node: Node) -> None:
    node.step(node.envelope(1, 5))
    node.role.seen.clear()
    node.restart()
    node.step()
    assert node.role.seen == [Stamp(1, 5)]


def test_the_same_again_is_answered_again_and_does_nothing(node: Node) -> None:
    node.step(node.envelope(1, 1))
    sent = len(node.sent)
    node.step(node.envelope(1, 1))
    assert len(node.sent) == sent + 1
    assert node.agent.refused == {}


def test_reports_in_full_only_when_something_changed(node: Node) -> None:
    node.step(node.envelope(1, 1))
    sent = len(node.sent)
    node.step()
    node.step()
    assert len(node.sent) == sent
    node.role.observed = Observed(services={"api@prod": entry()})
    node.step()
    assert node.sent[sent].services == {"api@prod": entry()}
    node.role.observed = Observed(services={"api@prod": entry(serial=2)})
    node.step()
    assert len(node.sent) == sent + 2, "under which assignment it was read is news"


def test_what_moves_all_the_time_is_reported_once_an_interval(node: Node) -> None:
    running = OperationReport.model_validate({"read": (1, 1), "state": "running", "seconds": 0.0})
    node.role.observed = Observed(operations={"op": running})
    node.step(node.envelope(1, 1))
    sent = len(node.sent)
    for _ in range(29):
        node.clock.advance(1.0)
        running = running.model_copy(update={"seconds": running.seconds + 1})
        node.role.observed = Observed(operations={"op": running})
        node.step()
    assert len(node.sent) == sent
    node.clock.advance(1.0)
    node.step()
    assert len(node.sent) == sent + 1


def test_news_of_what_is_under_way_is_told_together_and_the_end_of_it_at_once(node: Node) -> None:
    node.role.observed = Observed(services={"api@prod": entry()})
    node.step(node.envelope(1, 1))
    sent = len(node.sent)
    envelopes = [node.envelope(1, 2)]
    for message in ("stopping", "started", "connection refused"):
        node.role.observed = Observed(
            services={"api@prod": entry("starting", 2).model_copy(update={"message": message})}
        )
        assert node.step(*envelopes) <= 1.0
        envelopes.clear()
        node.clock.advance(0.2)
    assert len(node.sent) == sent
    node.role.observed = Observed(services={"api@prod": entry("running", 2)})
    node.step()
    assert [report.services["api@prod"].state for report in node.sent[sent:]] == ["running"]
    assert node.sent[-1].taken == Stamp(1, 2)


def test_news_of_what_stays_under_way_waits_a_second(node: Node) -> None:
    node.role.observed = Observed(services={"api@prod": entry()})
    node.step(node.envelope(1, 1))
    sent = len(node.sent)
    node.role.observed = Observed(services={"api@prod": entry("installing", 2)})
    wait = node.step(node.envelope(1, 2))
    node.clock.advance(wait)
    assert node.step() == 30.0
    assert [report.services["api@prod"].state for report in node.sent[sent:]] == ["installing"]


def test_what_one_service_does_holds_back_no_answer_of_another(node: Node) -> None:
    node.role.observed = Observed(services={"api@prod": entry(), "web@prod": entry()})
    node.step(node.envelope(1, 1))
    sent = len(node.sent)
    node.role.observed = Observed(services={"api@prod": entry("starting", 2), "web@prod": entry("crashing", 2)})
    node.step(node.envelope(1, 2))
    assert [report.services["web@prod"].state for report in node.sent[sent:]] == ["crashing"]


def test_heartbeats_name_the_newest_full_report(node: Node) -> None:
    node.role.observed = Observed(services={"api@prod": entry()})
    node.step(node.envelope(1, 1))
    short = open_report(node.agent.heartbeat(), NODE.public_key, "h1")
    assert (short.full, short.full_seq, short.taken) == (False, node.sent[-1].seq, Stamp(1, 1))
    assert short.services == {}
    assert short.seq > node.sent[-1].seq


def test_report_numbers_only_grow_across_restarts(node: Node) -> None:
    for serial in range(1, 4):
        node.step(node.envelope(1, serial))
        node.agent.heartbeat()
        node.restart()
    numbers = [report.seq for report in node.sent]
    assert numbers == sorted(set(numbers))
    assert len({report.incarnation for report in node.sent}) == 1


def test_the_next_step_is_when_a_role_wants_it(node: Node) -> None:
    assert node.step(node.envelope(1, 1)) == 30.0
    node.role.observed = replace(node.role.observed, again_in=0.25)
    assert node.step() == 0.25


def test_a_role_with_a_defect_is_reported_and_called_again(node: Node) -> None:
    node.role.defect = RuntimeError("planted")
    assert 0 < node.step(node.envelope(1, 1)) < 30
    assert "planted" in node.sent[-1].problem
    node.role.defect = None
    node.step()
    assert node.sent[-1].problem == ""


def test_what_cannot_be_journaled_is_not_acted_on_until_it_can(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as planted:
        planted.setattr("agent.copies.sync_data", full)
        wait = node.step(node.envelope(1, 1))
    assert wait < 30
    assert node.role.seen == []
    assert "No space left" in node.sent[-1].problem
    node.step()
    assert node.role.seen == [Stamp(1, 1)]
    assert node.sent[-1].problem == ""


def test_a_halted_agent_says_why_and_takes_nothing() -> None:
    sent: list[bytes] = []
    halted = Halted("the journal is damaged", "halted-1", SPEAKER, partial(seal_report, signer=NODE), sent.append, 30.0)
    halted.receive(b"anything")
    now = SimClock().now()
    halted.step(now)
    halted.step(now)
    full, short = (open_report(envelope, NODE.public_key, "h1") for envelope in [*sent, halted.heartbeat()])
    assert (full.full, full.problem, full.taken) == (True, "the journal is damaged", Stamp(0, 0))
    assert (short.full, short.full_seq, short.problem) == (False, full.seq, "the journal is damaged")

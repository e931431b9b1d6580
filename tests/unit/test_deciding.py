"""The deciding thread's step, where something is wrong around it."""

from collections.abc import Iterator
from concurrent.futures import Future
from datetime import datetime, timedelta
from pathlib import Path
from random import Random

import pytest
from prometheus_client import CollectorRegistry

from bus.clock import SystemClock
from bus.keyring import KeyRing
from bus.port import Received
from controller.deciding import Deciding
from controller.mailbox import Ask, ReportArrived, RevisionRead, SourceFailed
from controller.metrics import Metrics
from controller.store import Fenced, Store
from crds.messages import Assignment, ServiceReport, Stamp
from crds.status import Step
from reconcilers.target import targets_of
from reconcilers.writes import PutJourney
from tests.support.pretend import Pretence, PretendBus
from tests.support.states import managed, state
from tests.support.worlds import journey, report


class Published(PretendBus):
    """Keeps in mind to whom something was published; no node answers."""

    def __init__(self) -> None:
        super().__init__([], Pretence())
        self.to: list[str] = []
        self.envelopes: list[bytes] = []

    def publish(self, node: str, envelope: bytes) -> None:
        self.to.append(node)
        self.envelopes.append(envelope)


class Clock(SystemClock):
    """The system's, moved on by the test."""

    moved = 0.0

    def now(self) -> datetime:
        return super().now() + timedelta(seconds=self.moved)

    def monotonic(self) -> float:
        return super().monotonic() + self.moved


class Decided:
    """Deciding over a store of its own, stepped by the test."""

    def __init__(self, store: Store, folder: Path) -> None:
        self.store, self.folder = store, folder
        self.registry = CollectorRegistry()
        self.bus, self.clock = Published(), Clock()
        self.deciding = Deciding(
            store=self.store,
            bus=self.bus,
            seal=lambda assignment: assignment.model_dump_json(by_alias=True).encode(),
            clock=self.clock,
            random=Random(1),
            metrics=Metrics(self.registry),
            node_timeout=90,
            ring=KeyRing(folder / "keys"),
        )


def asked_of_vm1(decided: Decided) -> str | None:
    """The version of api@prod that its newest assignment asks it to run."""
    newest = [Assignment.model_validate_json(said) for said in decided.bus.envelopes if b'"node":"vm1"' in said][-1]
    asked = newest.services.get("api@prod")
    return asked.release.version if asked and asked.release else None


@pytest.fixture
def decided(tmp_path: Path) -> Iterator[Decided]:
    made = Decided(Store.open(tmp_path / "drumbeat.db"), tmp_path)
    yield made
    made.store.close()


def test_a_question_that_nobody_waits_for_any_more_harms_nobody(decided: Decided) -> None:
    """The API gives up on a slow answer by cancelling it."""
    given_up: Future[int] = Future()
    given_up.cancel()
    waiting: Future[int] = Future()
    decided.deciding.step([Ask(lambda _: 1, given_up), Ask(lambda _: 2, waiting)])

    assert waiting.result(timeout=0) == 2


def test_who_signed_a_commit_is_recorded_beside_whom_it_names(decided: Decided) -> None:
    """An author is whoever the commit says."""
    desired = state("1")
    decided.deciding.step([RevisionRead(desired.revision, desired, [], {}, "Ann", "Bump api", signer="eve")])
    [accepted] = [event for event in decided.store.events(limit=50) if event.verb == "RevisionAccepted"]
    assert accepted.message == "signed by eve; Ann: Bump api"


def test_a_controller_that_was_taken_over_stops_at_its_first_plan(decided: Decided) -> None:
    """It must not take the store's refusal for a target's trouble, and go on."""
    desired = state("1")
    decided.deciding.step([RevisionRead(desired.revision, desired, [], {})])
    decided.store.take_over(SystemClock().now())
    for target in decided.deciding.world.specs:
        decided.deciding.world.statuses.pop(target)
        decided.deciding.world.look_at_all(target)

    with pytest.raises(Fenced):
        decided.deciding.step([])


def test_an_agent_that_lost_the_assignment_it_took_gets_it_again(decided: Decided) -> None:
    """Its journal names the newest one, and holds none that it believes: only the same one again helps."""
    decided.deciding.world.serials["vm1"] = 3
    taken = Stamp(decided.deciding.term, 3)
    decided.deciding.step([ReportArrived(report("vm1", 1, taken=taken), Received("vm1", b""))])
    assert decided.bus.to == []

    lost = report("vm1", 2, taken=taken, problem="the assignment in the journal is not believed")
    decided.deciding.step([ReportArrived(lost, Received("vm1", b""))])
    assert decided.bus.to == ["vm1"]
    assert decided.deciding.world.serials["vm1"] == 3


def test_a_node_whose_assignment_came_late_is_asked_anew_though_it_says_so_only_once(decided: Decided) -> None:
    """Its later reports are short, since nothing changes; right after the last assignment another one is no help."""

    def late(seq: int) -> ReportArrived:
        taken = Stamp(decided.deciding.term, decided.deciding.world.serials["vm1"])
        said = {"api@prod": ServiceReport(read=taken, state="expired")}
        return ReportArrived(report("vm1", seq, full_seq=seq, taken=taken, services=said), Received("vm1", b""))

    decided.deciding.world.serials["vm1"] = 3
    for seq in (1, 2):
        decided.deciding.step([late(seq)])
    assert decided.bus.to == ["vm1"]
    decided.clock.moved = 8.0
    short = report("vm1", 3, full=False, full_seq=2, taken=Stamp(decided.deciding.term, 4))
    decided.deciding.step([ReportArrived(short, Received("vm1", b""))])
    assert decided.bus.to == ["vm1", "vm1"]
    assert decided.deciding.world.serials["vm1"] == 5


def test_nodes_that_a_new_controller_has_not_heard_yet_are_shown_as_silent(decided: Decided) -> None:
    heard = [ReportArrived(report(name, taken=Stamp(0, 0)), Received(name, b"")) for name in ("vm1", "vm2")]
    decided.deciding.step(heard)
    assert decided.registry.get_sample_value("drumbeat_nodes_silent") == 0

    again = Decided(decided.store, decided.folder)
    again.deciding.step([])
    assert again.registry.get_sample_value("drumbeat_nodes_silent") == 2
    again.deciding.step([ReportArrived(report("vm1", 2, taken=Stamp(0, 0)), Received("vm1", b""))])
    assert again.registry.get_sample_value("drumbeat_nodes_silent") == 1


def test_a_revision_that_is_resumed_is_in_force_and_the_newer_one_stays_refused(decided: Decided) -> None:
    desired = state("1")
    decided.deciding.step([RevisionRead(desired.revision, desired, [], {})])
    decided.deciding.step([RevisionRead("newer", None, ["a typing error"], {})])
    events = len(decided.store.recent_events(100))
    again = Decided(decided.store, decided.folder).deciding
    again.step([RevisionRead(desired.revision, desired, [], {}, resumed=True), SourceFailed("the repository is away")])

    assert list(again.world.specs) == ["api@prod"]
    assert again.revisions.refused is not None and again.revisions.refused.id == "newer"
    assert again.revisions.source_error == "the repository is away"
    assert len(decided.store.recent_events(100)) == events


def test_a_refusal_for_another_reason_is_another_one(decided: Decided) -> None:
    """The same commit is judged again when the keys of its signers have changed."""
    for reason in ("a key cannot be read", "it is not signed", "it is not signed"):
        decided.deciding.step([RevisionRead("newer", None, [reason], {}, admitted=False)])

    assert decided.deciding.revisions.refused is not None
    assert decided.deciding.revisions.refused.problems == ["it is not signed"]
    said = [event.message for event in decided.store.recent_events(100) if event.verb == "RevisionRefused"]
    assert sorted(said) == ["a key cannot be read", "it is not signed"]


def test_a_lost_store_starts_above_what_any_agent_has_taken(decided: Decided) -> None:
    """Agents refuse what is older than their journal, and so would refuse everything for ever."""
    decided.deciding.step([RevisionRead("r1", state("1"), [], {})])
    forgotten = Stamp(7, 40)
    answer = report("vm1", taken=forgotten)
    decided.deciding.step([ReportArrived(answer, Received("vm1", b""))])
    decided.deciding.step([])

    newest = [Assignment.model_validate_json(said) for said in decided.bus.envelopes if b'"node":"vm1"' in said][-1]
    assert newest.stamp > forgotten
    assert all(
        entry.stamp == newest.stamp
        for fragment in decided.deciding.world.entries["vm1"].values()
        for entry in fragment.values()
    )
    assert decided.deciding.term == 8
    assert decided.registry.get_sample_value("drumbeat_store_behind_total") == 1


def test_an_old_copy_of_the_store_takes_no_host_back_to_what_it_ran_then(decided: Decided) -> None:
    """Every host would be restarted at once, while customers are served."""

    def runs(version: str, seq: int, taken: Stamp) -> ReportArrived:
        release = targets_of(state(version))["api@prod"].release
        says = ServiceReport(read=taken, state="running", version=version, digest=release.digest if release else None)
        return ReportArrived(report("vm1", seq, taken=taken, services={"api@prod": says}), Received("vm1", b""))

    decided.deciding.step([managed("1"), runs("1", 1, Stamp(0, 0))])
    assert asked_of_vm1(decided) == "1"
    decided.deciding.step([runs("2", 2, Stamp(7, 40))])
    decided.deciding.step([])
    assert decided.deciding.term == 8
    assert asked_of_vm1(decided) is None
    decided.deciding.step([managed("2")])
    assert asked_of_vm1(decided) == "2"


def test_where_hosts_only_moved_on_the_target_is_looked_at_again_soon_and_not_at_once(decided: Decided) -> None:
    deciding, desired, now = decided.deciding, state("1"), SystemClock().now()
    deciding.step([RevisionRead(desired.revision, desired, [], {})])
    begun = journey(deciding.world.specs["api@prod"], Step.DEPLOYING, begun=now, since=now, accounted=now)
    deciding.world.apply("api@prod", PutJourney(begun), Stamp(0, 0))
    deciding.step([])
    moved = deciding.world.journeys["api@prod"]["vm1"]
    before = decided.registry.get_sample_value("drumbeat_plan_seconds_count") or 0
    deciding.world.apply("api@prod", PutJourney(moved.model_copy(update={"reason": "something else"})), Stamp(0, 0))
    due = deciding.step([])
    assert deciding.world.journeys["api@prod"]["vm1"].reason == "waits for its agent to take the assignment"
    assert decided.registry.get_sample_value("drumbeat_plan_seconds_count") == before + 1
    assert due - SystemClock().now() <= timedelta(seconds=0.05)


def test_each_commit_is_timed(decided: Decided) -> None:
    desired = state("1")
    decided.deciding.step([])
    decided.deciding.step([RevisionRead(desired.revision, desired, [], {})])
    assert decided.registry.get_sample_value("drumbeat_commit_seconds_count") == 1


def test_a_higher_term_that_is_another_controllers_is_no_lost_store(decided: Decided) -> None:
    """Whoever was taken over must not take over in turn because an agent has heard its successor."""
    decided.deciding.world.serials["vm1"] = 3
    ours = report("vm1", 1, taken=Stamp(decided.deciding.term, 3), problem="something to answer")
    decided.deciding.step([ReportArrived(ours, Received("vm1", b""))])
    theirs = Stamp(decided.store.take_over(SystemClock().now()), 4)
    decided.deciding.step([ReportArrived(report("vm1", 3, full=False, full_seq=2, taken=theirs), Received("vm1", b""))])
    with pytest.raises(Fenced):
        decided.deciding.step([])


@pytest.mark.parametrize("taken", [Stamp(2**53 - 1, 1), Stamp(1, 2**53 - 1), Stamp(2, 2**53 - 1)])
def test_no_node_drives_the_numbers_to_where_agents_refuse_them(decided: Decided, taken: Stamp) -> None:
    for seq in (1, 2):
        decided.deciding.step([ReportArrived(report("vm1", seq, taken=taken), Received("vm1", b""))])
    decided.deciding.step([])
    assert decided.deciding.term == 1
    assert decided.deciding.world.serials.get("vm1", 0) <= 1

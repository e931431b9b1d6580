"""A controller that starts with an old copy of its store: hosts serve on, whoever is heard first."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from random import Random

import pytest
from prometheus_client import CollectorRegistry

from bus.keyring import KeyRing
from controller.deciding import Deciding
from controller.mailbox import ReportArrived, RevisionRead
from controller.metrics import Metrics
from controller.store import Store
from crds.messages import Assignment
from crds.status import Event, Step
from tests.support.pretend import Pretence, PretendBus
from tests.support.states import BALANCERS, RUNNER, managed
from tests.support.worlds import NOW

HOSTS = ("vm1", "vm2", "vm3", "vm4")
NODES = (*HOSTS, *BALANCERS, RUNNER)


class Time:
    """A clock that the test sets."""

    def __init__(self) -> None:
        self.at = NOW

    def now(self) -> datetime:
        return self.at

    def monotonic(self) -> float:
        return self.at.timestamp()


class Recorded(PretendBus):
    """Nodes that answer at once, and all that they were told."""

    def __init__(self) -> None:
        super().__init__(HOSTS, Pretence())
        self.said: list[Assignment] = []
        self.reports: list[ReportArrived] = []
        self._deliver = lambda report, received: self.reports.append(ReportArrived(report, received))

    def publish(self, node: str, envelope: bytes) -> None:
        self.said.append(Assignment.model_validate_json(envelope))
        super().publish(node, envelope)


class Fleet:
    """Four hosts and their nodes, which outlive the controllers that the test starts."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.clock, self.bus = folder, Time(), Recorded()
        self.deciding = self.start(folder / "drumbeat.db")

    def start(self, path: Path) -> Deciding:
        """A controller with that store, which has heard nobody yet."""
        self.bus.reports.clear()
        self.deciding = Deciding(
            store=Store.open(path, alone=False),
            bus=self.bus,
            seal=lambda assignment: assignment.model_dump_json(by_alias=True).encode(),
            clock=self.clock,
            random=Random(1),
            metrics=Metrics(CollectorRegistry()),
            node_timeout=3600,
            ring=KeyRing(self.folder / "keys"),
        )
        return self.deciding

    def back_up(self) -> Path:
        """A copy of the store as it is now, made while the controller runs."""
        copy = self.folder / "copy.db"
        with closing(sqlite3.connect(self.folder / "drumbeat.db")) as source, closing(sqlite3.connect(copy)) as made:
            source.backup(made)
        return copy

    def step(self) -> None:
        """Decide about what nodes have said meanwhile; some time passes where they said nothing."""
        messages = list(self.bus.reports)
        self.bus.reports.clear()
        due = self.deciding.step(messages)
        if not self.bus.reports:
            self.clock.at = min(max(due, self.clock.at), self.clock.at + timedelta(seconds=1))

    def roll_out(self, version: str) -> None:
        """Declare it, and wait until it runs everywhere."""
        self.deciding.step([managed(version)])
        self.settle()
        status = self.deciding.world.statuses["api@prod"]
        assert (status.version, status.counts.current) == (version, len(HOSTS)), status

    def settle(self) -> None:
        """Step until there is nothing more to do."""
        for _ in range(60):
            self.step()


def fewer(version: str) -> RevisionRead:
    """A revision that gives up vm3 and vm4, one after the other."""
    read = managed(version)
    assert read.state is not None
    del read.state.fleets["prod"].spec.hosts[2:]
    return replace(read, revision="fewer")


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    made = Fleet(tmp_path)
    for node in NODES:
        made.bus.speak(node)
    yield made
    made.deciding.store.close()


def told_of_loss(fleet: Fleet, copy: Path, commit: RevisionRead) -> list[Event]:
    """What goes on record where a controller begins with the copy, and vm1 knows more than that."""
    fleet.start(copy)
    fleet.deciding.step([commit])
    fleet.bus.speak("vm1")
    fleet.settle()
    return [event for event in fleet.deciding.store.events() if event.reason == "LostOrRestored"]


def serves_on(told: list[Assignment]) -> None:
    """Nothing asks a host for the release before, or a server to leave customers."""
    for each in told:
        assert {asked.release.version for asked in each.services.values() if asked.release} <= {"2"}, each
        left = {server for server, asked in each.pools.get("on", _NO_POOL).servers.items() if asked.state in _OUT}
        assert not left, each


_NO_POOL = Assignment.model_validate_json(
    '{"node": "x", "term": 0, "serial": 0, "expires": "2026-01-01T00:00:00Z", "pools": {"on": {}}}'
).pools["on"]
_OUT = ("drain", "maint")


@pytest.mark.parametrize("first", ["vm1", "vm3", "lb1", RUNNER])
@pytest.mark.parametrize("starts", [0, 1])
@pytest.mark.parametrize("step", [None, Step.DRAINING, Step.TESTING, Step.ENABLING])
def test_hosts_serve_on_under_an_old_copy_of_the_store(
    fleet: Fleet, first: str, starts: int, step: Step | None
) -> None:
    """``starts``: of controllers between the copy and its return; ``step``: of a host when the copy was made."""
    fleet.roll_out("1")
    if step is not None:
        fleet.deciding.step([managed("2")])
        while step not in {each.step for each in fleet.deciding.world.journeys.get("api@prod", {}).values()}:
            fleet.step()
    copy = fleet.back_up()
    for _ in range(starts):
        fleet.deciding.store.close()
        fleet.start(fleet.folder / "drumbeat.db")
        for node in NODES:
            fleet.bus.speak(node)
    fleet.roll_out("2")
    fleet.deciding.store.close()

    fleet.bus.said.clear()
    fleet.start(copy)
    fleet.deciding.step([managed("2")])
    for node in (first, *(node for node in NODES if node != first)):
        fleet.bus.speak(node)
        fleet.step()
    fleet.settle()

    serves_on(fleet.bus.said)
    status = fleet.deciding.world.statuses["api@prod"]
    assert status.counts.current == len(HOSTS)
    assert not fleet.deciding.world.journeys.get("api@prod")


def test_what_an_old_copy_had_under_way_is_forgotten_on_record(fleet: Fleet) -> None:
    """Promise 15: a change and its event commit together; and whoever restored it can see what became of it."""
    fleet.roll_out("1")
    fleet.deciding.step([managed("2")])
    fleet.step()
    copy = fleet.back_up()
    moving = sorted(fleet.deciding.world.journeys["api@prod"])
    fleet.roll_out("2")
    fleet.deciding.store.close()

    told = told_of_loss(fleet, copy, managed("2"))
    assert [event.verb for event in told] == ["StoreFoundBehind", *("HostSetApart" for _ in moving)]
    assert told[0].message.startswith("vm1 has taken ")
    assert [event.object for event in told[1:]] == [f"api@prod/{host}" for host in moving] != []


def test_hosts_that_an_old_copy_had_leaving_are_forgotten_on_record(fleet: Fleet) -> None:
    """None of them is taken for one that leaves still, and whoever restored it can see which are his to look after."""
    fleet.roll_out("1")
    fleet.deciding.step([fewer("1")])
    fleet.step()
    copy = fleet.back_up()
    status = fleet.deciding.world.statuses["api@prod"]
    assert (list(status.leaving), status.leaving_waits) == (["vm3"], "its turn comes"), status
    fleet.deciding.step([fewer("2")])
    fleet.settle()
    fleet.deciding.store.close()

    told = told_of_loss(fleet, copy, fewer("2"))
    assert [(event.verb, event.object) for event in told[1:]] == [("HostSetApart", "api@prod/vm3")]
    status = fleet.deciding.world.statuses["api@prod"]
    assert (status.leaving, status.leaving_waits) == ({}, "")

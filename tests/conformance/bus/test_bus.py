"""The suite that every transport passes: what controller and agents rely on, whatever carries their messages."""

import itertools
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bus.port import Received
from tests.conformance.bus.transports import INTERVAL, MAX_ENVELOPE, TRANSPORTS, Transport, eventually, transport


class Inbox:
    """What arrived at the controller; heartbeats apart from reports."""

    def __init__(self) -> None:
        self.all: list[Received] = []

    def __call__(self, received: Received) -> None:
        self.all.append(received)

    def reports(self, node: str) -> list[bytes]:
        return [one.envelope for one in self.all if one.node == node and not one.envelope.startswith(b"beat")]

    def beats(self, node: str) -> list[bytes]:
        return [one.envelope for one in self.all if one.node == node and one.envelope.startswith(b"beat")]


class Beats:
    """Heartbeats with a number, so that each can be told from the others."""

    def __init__(self) -> None:
        self.made = itertools.count(1)

    def __call__(self) -> bytes:
        return b"beat %d" % next(self.made)


@pytest.fixture(params=TRANSPORTS)
def way(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Transport]:
    with transport(request.param, tmp_path, lambda: request.getfixturevalue("vhost")) as made:
        yield made


@pytest.fixture
def inbox() -> Inbox:
    return Inbox()


def numbers(envelopes: list[bytes]) -> list[int]:
    return [int(envelope) for envelope in envelopes]


def test_a_report_arrives_under_its_sender_s_name(way: Transport, inbox: Inbox) -> None:
    way.start_controller(inbox)
    for name in ("host-1", "host-2"):
        node = way.node(name)
        node.start(lambda envelope: None, Beats())
        node.send(f"from {name}".encode())
    eventually(way, lambda: bool(inbox.reports("host-1") and inbox.reports("host-2")))
    assert inbox.reports("host-1") == [b"from host-1"]
    assert inbox.reports("host-2") == [b"from host-2"]


def test_any_bytes_arrive_unchanged(way: Transport, inbox: Inbox) -> None:
    controller, node, got = way.start_controller(inbox), way.node("host-1"), []
    odd = bytes(range(256)) * 10
    node.start(got.append, Beats())
    node.send(odd)
    controller.publish("host-1", odd)
    eventually(way, lambda: bool(got and inbox.reports("host-1")))
    assert got == [odd]
    assert inbox.reports("host-1") == [odd]


def test_reports_arrive_in_the_order_sent_and_the_last_one_surely(way: Transport, inbox: Inbox) -> None:
    way.start_controller(inbox)
    node = way.node("host-1")
    node.start(lambda envelope: None, Beats())
    for number in range(200):
        node.send(str(number).encode())
    eventually(way, lambda: b"199" in inbox.reports("host-1"))
    came = numbers(inbox.reports("host-1"))
    assert came == sorted(set(came))


def test_the_newest_assignment_wins(way: Transport, inbox: Inbox) -> None:
    controller, node, got = way.start_controller(inbox), way.node("host-1"), []
    node.start(got.append, Beats())
    for number in range(200):
        controller.publish("host-1", str(number).encode())
    eventually(way, lambda: b"199" in got)
    assert numbers(got) == sorted(set(numbers(got)))


def test_what_was_published_before_the_node_came_arrives(way: Transport, inbox: Inbox) -> None:
    controller, node, got = way.start_controller(inbox), way.node("host-1"), []
    controller.publish("host-1", b"1")
    controller.publish("host-1", b"2")
    node.start(got.append, Beats())
    eventually(way, lambda: bool(got))
    assert got == [b"2"]


def test_what_was_published_while_the_node_was_away_arrives(way: Transport, inbox: Inbox) -> None:
    controller, before, after = way.start_controller(inbox), [], []
    node = way.node("host-1")
    node.start(before.append, Beats())
    controller.publish("host-1", b"1")
    eventually(way, lambda: before == [b"1"])
    node.stop()
    controller.publish("host-1", b"2")
    controller.publish("host-1", b"3")
    again = way.node("host-1")
    again.start(after.append, Beats())
    eventually(way, lambda: bool(after))
    assert after == [b"3"]
    assert before == [b"1"]


def test_publishing_again_delivers_again(way: Transport, inbox: Inbox) -> None:
    """The controller repeats itself when a report shows that an assignment was lost, be it in the agent."""
    controller, node, got = way.start_controller(inbox), way.node("host-1"), []
    node.start(got.append, Beats())
    for times in (1, 2, 3):
        controller.publish("host-1", b"1")
        eventually(way, lambda times=times: len(got) == times)
    controller.publish("host-1", b"2")
    eventually(way, lambda: got[-1] == b"2")
    assert got == [b"1", b"1", b"1", b"2"]


def test_an_assignment_is_not_repeated_without_need(way: Transport, inbox: Inbox) -> None:
    controller, node, got, beats = way.start_controller(inbox), way.node("host-1"), [], Beats()
    node.start(got.append, beats)
    controller.publish("host-1", b"1")
    eventually(way, lambda: bool(got))
    seen = len(inbox.beats("host-1"))
    eventually(way, lambda: len(inbox.beats("host-1")) >= seen + 3)
    assert got == [b"1"]


def test_heartbeats_arrive_when_due_and_are_made_anew(way: Transport, inbox: Inbox) -> None:
    way.start_controller(inbox)
    node = way.node("host-1")
    began = time.monotonic()
    node.start(lambda envelope: None, Beats())
    eventually(way, lambda: len(inbox.beats("host-1")) >= 4)
    assert time.monotonic() - began >= 2 * INTERVAL, "heartbeats came much faster than asked for"
    assert len(set(inbox.beats("host-1"))) == len(inbox.beats("host-1"))


def test_assignments_neither_cost_heartbeats_nor_keep_them_away(way: Transport, inbox: Inbox) -> None:
    controller, node, got = way.start_controller(inbox), way.node("host-1"), []
    node.start(got.append, Beats())
    eventually(way, lambda: len(inbox.beats("host-1")) >= 1)
    began, seen = time.monotonic(), len(inbox.beats("host-1"))
    for number in range(1000):
        controller.publish("host-1", b"%d" % number)
        eventually(way, lambda: got[-1:] == [b"%d" % number])  # noqa: B023  called at once
        if len(inbox.beats("host-1")) >= seen + 3:
            break
    assert len(inbox.beats("host-1")) >= seen + 3
    assert time.monotonic() - began >= 2 * INTERVAL * 0.8


def test_a_node_that_restarts_is_given_the_newest_assignment(way: Transport, inbox: Inbox) -> None:
    """A transport that forgets it (a queue of the node's own) has it published anew, as the report then shows."""
    controller, got = way.start_controller(inbox), []
    first = way.node("host-1")
    first.start(lambda envelope: None, Beats())
    first.send(b"0")
    eventually(way, lambda: bool(inbox.reports("host-1")))
    first.stop()
    second = way.node("host-1")
    second.start(got.append, Beats())
    second.send(b"1")
    eventually(way, lambda: b"1" in inbox.reports("host-1"))
    controller.publish("host-1", b"5")
    eventually(way, lambda: got == [b"5"])


def test_nodes_find_back_when_the_controller_restarts(way: Transport, inbox: Inbox) -> None:
    way.start_controller(inbox)
    names = ["host-1", "host-2", "host-3"]
    got: dict[str, list[bytes]] = {name: [] for name in names}
    nodes = [way.node(name) for name in names]
    for name, node in zip(names, nodes, strict=True):
        node.start(got[name].append, Beats())
    eventually(way, lambda: all(inbox.beats(name) for name in names))
    way.stop_controller()
    for node in nodes:
        node.send(b"1")
        node.send(b"2")
    after = Inbox()
    controller = way.start_controller(after)
    eventually(way, lambda: all(b"2" in after.reports(name) and after.beats(name) for name in names))
    for name in names:
        controller.publish(name, f"for {name}".encode())
    eventually(way, lambda: all(got[name] == [f"for {name}".encode()] for name in names))


def test_a_report_sent_before_there_is_a_controller_arrives(way: Transport, inbox: Inbox) -> None:
    node = way.node("host-1")
    node.send(b"before the start")
    node.start(lambda envelope: None, Beats())
    node.send(b"before the controller")
    way.start_controller(inbox)
    eventually(way, lambda: b"before the controller" in inbox.reports("host-1"))


def test_stopping_is_quick_and_leaves_no_thread(way: Transport, inbox: Inbox) -> None:
    before = set(threading.enumerate())
    way.start_controller(inbox)
    node = way.node("host-1")
    node.start(lambda envelope: None, Beats())
    node.send(b"1")
    eventually(way, lambda: bool(inbox.reports("host-1") and inbox.beats("host-1")))
    began = time.monotonic()
    node.stop()
    node.stop()
    way.stop_controller()
    assert time.monotonic() - began < 10
    eventually(way, lambda: set(threading.enumerate()) <= before, "the end of all threads")


def test_stopping_is_quick_while_the_controller_is_away(way: Transport) -> None:
    before = set(threading.enumerate())
    node = way.node("host-1")
    node.start(lambda envelope: None, Beats())
    node.send(b"1")
    node.stop()
    assert set(threading.enumerate()) <= before


def test_nothing_is_delivered_to_a_node_that_stopped(way: Transport, inbox: Inbox) -> None:
    controller, got = way.start_controller(inbox), []
    node = way.node("host-1")
    node.start(got.append, Beats())
    eventually(way, lambda: bool(inbox.beats("host-1")))
    node.stop()
    controller.publish("host-1", b"late")
    witness, seen = way.node("host-2"), []
    witness.start(seen.append, Beats())
    controller.publish("host-2", b"now")
    eventually(way, lambda: bool(seen))
    assert got == []


def test_no_node_gets_what_is_another_s(way: Transport, inbox: Inbox) -> None:
    controller = way.start_controller(inbox)
    names = [f"host-{number}" for number in range(5)]
    got: dict[str, list[bytes]] = {name: [] for name in names}
    for name in names:
        way.node(name).start(got[name].append, Beats())
    for round_ in range(5):
        for name in names:
            controller.publish(name, f"{name} {round_}".encode())
    eventually(way, lambda: all(f"{name} 4".encode() in got[name] for name in names))
    for name in names:
        assert all(envelope.startswith(name.encode()) for envelope in got[name])


def test_a_node_without_its_own_token_neither_speaks_nor_hears(way: Transport, inbox: Inbox) -> None:
    if not way.has_credentials:
        pytest.skip("this transport has no credentials")
    controller, got, heard = way.start_controller(inbox), [], []
    controller.publish("host-1", b"secret")
    intruder = way.node("host-1", credentials_of="host-2")
    intruder.start(heard.append, Beats())
    intruder.send(b"forged")
    honest = way.node("host-2")
    honest.start(got.append, Beats())
    honest.send(b"true")
    controller.publish("host-2", b"2")
    eventually(way, lambda: bool(got and inbox.reports("host-2")))
    eventually(way, lambda: len(inbox.beats("host-2")) >= 3)
    assert heard == []
    assert not [one for one in inbox.all if one.node == "host-1"]


def test_a_report_that_is_too_large_is_refused_and_blocks_nothing(way: Transport, inbox: Inbox) -> None:
    way.start_controller(inbox)
    node = way.node("host-1")
    node.start(lambda envelope: None, Beats())
    node.send(b"x" * (MAX_ENVELOPE + 1))
    eventually(way, lambda: len(inbox.beats("host-1")) >= 2)
    node.send(b"x" * MAX_ENVELOPE)
    eventually(way, lambda: bool(inbox.reports("host-1")))
    assert inbox.reports("host-1") == [b"x" * MAX_ENVELOPE]


def test_what_is_not_settled_is_bounded(way: Transport, inbox: Inbox) -> None:
    """A controller that does not keep up is not buried; once it settles, the newest report reaches it."""
    controller = way.start_controller(inbox, backlog=4)
    nodes = {f"host-{number}": way.node(f"host-{number}") for number in range(6)}
    for node in nodes.values():
        node.start(lambda envelope: None, Beats())
        node.send(b"1")
        node.send(b"2")
    settled = 0

    def settle_one() -> bool:
        nonlocal settled
        assert len(inbox.all) - settled <= 4
        fresh = inbox.all[settled : settled + 1]
        settled += len(fresh)
        controller.settle(fresh)
        return all(b"2" in inbox.reports(name) for name in nodes)

    eventually(way, settle_one)

"""What an attacker on the way does with assignments, and with the journal that keeps them.

The counterpart of test_release_attacks.py and test_command_attacks.py: here nothing pins roots, so that signature,
addressee, number and expiry of the message are all that stands between the attacker and the node. Names are those of
the catalogue in docs/SECURITY.md.
"""

import base64
import json
from pathlib import Path
from random import Random

import pytest

from agent.journal import Journal
from bus.envelope import MAX_ENVELOPE, seal
from bus.keys import generate_key
from crds.messages import REPORT_TYPE, Stamp
from tests.fuzz.budget import bounded
from tests.support.listening import Listener
from tests.support.signing import release

ONE, TWO = release("1"), release("2")
HOURS = 3600.0


@pytest.fixture
def node(tmp_path: Path) -> Listener:
    """It runs release 1 under assignment 5 of term 1, as it should."""
    node = Listener(tmp_path)
    node.hear(node.order(ONE, 5))
    assert node.host.runs(ONE)
    return node


def refused(node: Listener, reason: str, *envelopes: bytes) -> None:
    """Send them: each is counted under that reason, nothing is done, and what ran runs on."""
    stamp = node.host.journal.stamp
    for envelope in envelopes:
        node.hear(envelope)
    assert node.agent.refused == {reason: len(envelopes)}
    assert (node.host.journal.stamp, node.sent[-1].taken) == (stamp, stamp)
    assert node.host.runs(ONE)
    assert not node.host.touched(TWO)


# --- arbitrary software


def test_arbitrary_software_in_an_assignment(node: Listener) -> None:
    """The broker alone: it signs what it likes with a key of its own."""
    refused(node, "wrong_key", node.order(TWO, 6, key=generate_key()))


def test_arbitrary_software_under_a_good_signature(node: Listener) -> None:
    """The payload of one envelope with the signature of another."""
    said, other = json.loads(node.order(ONE, 6)), json.loads(node.order(TWO, 7, key=generate_key()))
    refused(node, "wrong_key", json.dumps({**said, "payload": other["payload"]}).encode())


def test_arbitrary_software_in_a_message_of_another_kind(node: Listener) -> None:
    """Whatever else the controller's key may have signed is no assignment."""
    payload = node.assignment(TWO, 6).model_dump_json(by_alias=True).encode()
    refused(node, "wrong_type", seal(REPORT_TYPE, payload, node.controller))


# --- rollback and replay


def test_rollback_by_an_older_assignment(node: Listener) -> None:
    """What the controller itself has signed, and taken back since."""
    refused(node, "older", node.order(TWO, 4), node.order(TWO, 99, term=0))


def test_rollback_after_a_restart(node: Listener) -> None:
    node.restart()
    refused(node, "older", node.order(TWO, 4))


def test_rollback_by_a_former_controller(node: Listener) -> None:
    """It has the key still, and is fenced by its term whatever number it gives."""
    node.hear(node.order(ONE, 1, term=2))
    refused(node, "older", node.order(TWO, 1000, term=1))


def test_replay_of_the_assignment_that_is_in_force(node: Listener) -> None:
    """It may be a repetition of what was lost: it is answered, and does nothing."""
    again, starts = node.order(ONE, 5), node.starts
    for _ in range(3):
        node.hear(again)
    assert (node.starts, node.agent.refused.total(), node.host.runs(ONE)) == (starts, 0, True)


def test_replay_under_the_same_number_changes_nothing(node: Listener) -> None:
    """Another content that the controller has signed under the number that was taken."""
    node.hear(node.order(TWO, 5))
    assert node.host.runs(ONE)
    assert not node.host.touched(TWO)


# --- fast-forward


def test_fast_forward_of_an_assignment(node: Listener) -> None:
    """Who has the controller's key can name a number that its owner cannot outbid, and only on that node.

    That is denial of service, to be ended by a person: another key for the controller, and a new journal. Releases
    that are kept run on meanwhile.
    """
    node.hear(node.order(ONE, 1, term=2**52))
    refused(node, "older", node.order(TWO, 7))
    (node.folder / "journal").unlink()
    node.restart()
    node.hear(node.order(TWO, 8))
    assert node.host.runs(TWO)


# --- indefinite freeze


def test_indefinite_freeze_is_seen(node: Listener) -> None:
    """Assignments are withheld: each report goes on naming the last one that was taken, so the controller knows."""
    node.hear(seconds=HOURS)
    assert node.sent[-1].taken == Stamp(1, 5)
    assert node.host.runs(ONE)


def test_freeze_a_withheld_order_expires(node: Listener) -> None:
    """It is delivered a day later, and is the newest that the node has heard of."""
    order = node.order(TWO, 6)
    node.host.clock.advance(24 * HOURS)
    node.hear(order)
    assert (node.host.runs(ONE), node.host.touched(TWO)) == (True, False)
    assert next(iter(node.sent[-1].services.values())).state == "expired"


def test_freeze_a_node_that_thaws_never_runs_the_order_that_came_before(node: Listener) -> None:
    """It lay in the agent's hands already when the machine stopped."""
    node.agent.receive(node.order(TWO, 6))
    node.host.clock.advance(24 * HOURS)
    node.hear()
    assert (node.host.runs(ONE), node.host.touched(TWO)) == (True, False)


def test_freeze_a_node_that_thaws_in_mid_installation_does_not_take_the_release_on(node: Listener) -> None:
    """It was begun in time. The download may end; what it brought is not started."""
    node.agent.receive(node.order(TWO, 6))
    node.agent.step(node.host.clock.now())
    assert node.host.installing.next_due() is not None
    node.host.clock.advance(24 * HOURS)
    node.hear()
    assert node.host.services.installed("api@prod", TWO.digest) is not None
    assert node.host.runs(ONE)
    assert next(iter(node.sent[-1].services.values())).state == "expired"
    node.hear(node.order(TWO, 7))
    assert node.host.runs(TWO), "once somebody stands by it"


def test_freeze_a_node_that_thaws_never_removes_by_the_order_that_came_before(node: Listener) -> None:
    node.agent.receive(node.order(None, 6))
    node.host.clock.advance(24 * HOURS)
    node.hear()
    assert node.host.runs(ONE)


# --- wrong recipient


def test_wrong_recipient_of_an_assignment(node: Listener) -> None:
    """Whatever the broker delivers where."""
    refused(node, "wrong_node", node.order(TWO, 6, node="vm2"), node.order(TWO, 7, node="VM1"))


# --- mix-and-match


def test_mix_and_match_of_journal_and_signature(node: Listener) -> None:
    """A journal that says one number, with an assignment in it that says another: neither is acted on."""
    older = node.order(TWO, 4)
    path = node.folder / "journal"
    path.unlink()
    Journal.open(path, node.host.clock, Random(2)).take(Stamp(1, 5), older)
    node.restart()
    node.hear()
    assert not node.host.touched(TWO)
    assert "(term=1, serial=4), and Stamp(term=1, serial=5) was taken" in node.sent[-1].problem
    node.hear(node.order(ONE, 6))
    assert (node.host.runs(ONE), node.sent[-1].problem) == (True, "")


@pytest.mark.parametrize("said", [{"node": "vm2"}, {"key": generate_key()}], ids=["another node's", "a stranger's"])
def test_mix_and_match_of_a_journal_with_an_order_that_is_not_for_it(node: Listener, said: dict[str, object]) -> None:
    order = node.order(TWO, 6, **said)
    node.host.journal.take(Stamp(1, 6), order)
    node.restart()
    node.hear()
    assert not node.host.touched(TWO)
    assert "not believed" in node.sent[-1].problem


def test_mix_and_match_of_two_signatures(node: Listener) -> None:
    """A stranger's signature beside a stripped one of the controller."""
    strangers, good = json.loads(node.order(TWO, 6, key=generate_key())), json.loads(node.order(ONE, 6))
    forged = {**strangers, "signatures": [*strangers["signatures"], *good["signatures"]]}
    refused(node, "wrong_key", json.dumps(forged).encode())


# --- endless data


def test_endless_data_in_an_assignment(node: Listener) -> None:
    """Looked at for its size first."""
    refused(node, "too_large", b'{"payload":"' + b"A" * MAX_ENVELOPE)


def test_endless_data_in_many_assignments(node: Listener) -> None:
    """Neither memory nor log grows with what is sent: eight are kept, and one line a minute says so."""
    rubbish = b"x" * MAX_ENVELOPE
    node.logged.clear()
    with bounded(20, 64):
        for _ in range(100):
            node.agent.receive(rubbish)
        node.hear(seconds=5)
    assert node.agent.refused == {"unknown_format": 8}
    assert len(node.logged) == 1
    node.hear(rubbish, rubbish, seconds=90)
    node.hear(rubbish)
    assert len(node.logged) == 2


@pytest.mark.parametrize("end", [0, 1, 20, -20, -1])
def test_endless_data_the_other_way_a_truncated_assignment(node: Listener, end: int) -> None:
    refused(node, "truncated", node.order(TWO, 6)[:end])


# --- key compromise


def test_key_compromise_of_the_controller_at_its_threshold_of_one(node: Listener) -> None:
    """On a node without roots the controller's key is all that it takes: this is what roots are for."""
    node.hear(node.order(TWO, 6))
    assert node.host.runs(TWO)


def test_key_compromise_a_key_that_was_taken_off_the_node_counts_no_more(node: Listener) -> None:
    """Rotation: the node's file names the new key alone. What runs, runs; the order that brought it is not believed any
    more, so nothing is done until the new key has signed another.
    """
    old, node.controller = node.controller, generate_key()
    node.restart()
    node.hear(node.order(TWO, 6, key=old))
    assert node.agent.refused == {"wrong_key": 1}
    assert not node.host.touched(TWO)
    node.hear(node.order(TWO, 7))
    assert node.host.runs(TWO)


def test_key_compromise_names_of_keys_are_not_keys(node: Listener) -> None:
    """An envelope that calls its key as the controller's is called."""
    forged, good = json.loads(node.order(TWO, 6, key=generate_key())), json.loads(node.order(ONE, 6))
    forged["signatures"][0]["keyid"] = good["signatures"][0]["keyid"]
    assert base64.b64decode(forged["payload"])
    refused(node, "wrong_key", json.dumps(forged).encode())

"""What an attacker on the way, or with one node, does with reports; named as in the catalogue in docs/SECURITY.md.

Everything between the bus and the world is real: key ring, envelope, roles, numbers, lives.
"""

import json
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from random import Random
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

from bus.envelope import MAX_ENVELOPE, seal, seal_report
from bus.keyring import KeyRing, NodeEntry
from bus.keys import SigningKey, generate_key, generate_token, hash_token, public_text
from bus.port import Received
from controller.deciding import Deciding
from controller.intake import Intake, Refusals
from controller.mailbox import Mailbox, NodeJoined, ReportArrived
from controller.metrics import Metrics
from controller.nodes import Nodes
from controller.store import Store
from crds.messages import ASSIGNMENT_TYPE, PoolReport, Report, ServiceReport, Stamp
from tests.fuzz.budget import bounded
from tests.simulation.drivers import SimClock
from tests.support.pretend import Pretence, PretendBus
from tests.support.worlds import report as said

TIMEOUT, BEAT = 90.0, 30.0
NEW, OLD = "2.0", "1.0"


class Site:
    """A controller that knows vm1 and vm2, hosts, and hears what the attacker lets it hear."""

    def __init__(self, folder: Path) -> None:
        self.clock, self.mailbox, self.registry = SimClock(), Mailbox(), CollectorRegistry()
        self.ring, self.nodes = KeyRing(folder), Nodes(TIMEOUT)
        self.keys = {name: generate_key() for name in ("vm1", "vm2")}
        self.settled = 0
        for name in self.keys:
            self.enrol(name, self.keys[name])
        refusals = Refusals(Metrics(self.registry), self.clock)
        self.intake = Intake(self.ring, self, self.mailbox, refusals)  # type: ignore[arg-type]

    def enrol(self, name: str, key: SigningKey) -> None:
        token = hash_token(generate_token())
        self.ring.register(name, NodeEntry(public_key=public_text(key.public_key), token_hash=token, roles=["host"]))

    def settle(self, received: list[Received]) -> None:
        """As the bus."""
        self.settled += len(received)

    def sealed(self, report: Report, key: SigningKey | None = None) -> bytes:
        return seal_report(report, key or self.keys[report.node])

    def hear(self, envelope: bytes, sender: str = "vm1") -> bool:
        """Whether it was news."""
        self.intake.receive(Received(sender, envelope))
        messages = self.mailbox.drain(0)
        return any(
            self.nodes.hear(each.report, self.clock.now()).news for each in messages if isinstance(each, ReportArrived)
        )

    def refused(self, reason: str) -> int:
        return int(self.registry.get_sample_value("drumbeat_refusals_total", {"reason": reason}) or 0)

    def version(self) -> str:
        """What the controller thinks that vm1 says."""
        newest = self.nodes.get("vm1").report
        return newest.agent_version if newest else ""

    def is_silent(self, name: str = "vm1") -> bool:
        list(self.nodes.expire(self.clock.now()))
        return self.nodes.get(name).silent


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """It has heard report 5 of vm1, and believes it."""
    site = Site(tmp_path)
    assert site.hear(site.sealed(said("vm1", 5, agent_version=NEW)))
    return site


def refuses(site: Site, reason: str, envelope: bytes, sender: str = "vm1") -> None:
    """It is counted under that reason and settled, and what was believed is believed."""
    before = site.settled
    assert not site.hear(envelope, sender)
    assert (site.refused(reason), site.settled - before, site.version()) == (1, 1, NEW)


# --- arbitrary content


def test_arbitrary_content_in_a_report(site: Site) -> None:
    """The broker alone: it signs what it likes with a key of its own."""
    refuses(site, "wrong_key", site.sealed(said("vm1", 6, agent_version=OLD), generate_key()))


def test_arbitrary_content_under_a_good_signature(site: Site) -> None:
    one, other = json.loads(site.sealed(said("vm1", 6))), json.loads(site.sealed(said("vm1", 7), generate_key()))
    refuses(site, "wrong_key", json.dumps({**one, "payload": other["payload"]}).encode())


def test_arbitrary_content_in_a_message_of_another_kind(site: Site) -> None:
    payload = said("vm1", 6).model_dump_json(by_alias=True).encode()
    refuses(site, "wrong_type", seal(ASSIGNMENT_TYPE, payload, site.keys["vm1"]))


# --- replay and rollback


def test_replay_of_a_report(site: Site) -> None:
    """Signed well, and heard already: it is no news, and does not keep a dead node alive."""
    again = site.sealed(said("vm1", 5, agent_version=NEW))
    for _ in range(4):
        site.clock.advance(BEAT)
        assert not site.hear(again)
    assert site.is_silent()


def test_replay_of_a_short_report(site: Site) -> None:
    beat = site.sealed(said("vm1", 6, full=False, full_seq=5))
    assert site.hear(beat)
    for _ in range(4):
        site.clock.advance(BEAT)
        assert not site.hear(beat)
    assert site.is_silent()


def test_rollback_to_an_older_report(site: Site) -> None:
    assert not site.hear(site.sealed(said("vm1", 4, agent_version=OLD)))
    assert site.version() == NEW


def test_rollback_to_a_former_incarnation(site: Site) -> None:
    """The node began a new journal; what it said before that was heard is not heard again."""
    old = site.sealed(said("vm1", 5, agent_version=NEW))
    assert site.hear(site.sealed(said("vm1", 1, incarnation="second", agent_version=OLD)))
    assert not site.hear(old)
    assert site.version() == OLD


def test_rollback_over_a_restart_of_the_controller(site: Site) -> None:
    """The number of the newest full report is in the store."""
    stored = site.nodes.get("vm1").report
    assert stored is not None
    site.nodes = Nodes(TIMEOUT)
    site.nodes.load(stored)
    for old in (said("vm1", 4, agent_version=OLD), said("vm1", 5, agent_version=NEW)):
        assert not site.hear(site.sealed(old))
    assert site.is_silent()


def test_rollback_by_short_reports_over_a_restart_is_not_noticed(site: Site) -> None:
    """Not defended: what a node said since its newest full report is in no store. Recorded, and sent again after a
    restart of the controller, it says once more that nothing has changed since that report.
    """
    stored, beat = site.nodes.get("vm1").report, site.sealed(said("vm1", 6, full=False, full_seq=5))
    assert stored is not None
    assert site.hear(beat)
    site.nodes = Nodes(TIMEOUT)
    site.nodes.load(stored)
    assert site.hear(beat)
    assert not site.hear(beat)


# --- freeze


def test_freeze_of_a_nodes_reports(site: Site) -> None:
    """They are withheld: the node is unknown, and nothing is done on it. Silence is not evidence."""
    site.clock.advance(TIMEOUT)
    assert site.is_silent()
    assert site.nodes.get("vm1").mute


def test_freeze_by_delay_is_not_noticed(site: Site) -> None:
    """Not defended: who withholds reports and delivers each of them once, late, makes a dead node look alive for as
    long as the supply lasts. They answer nothing that was asked meanwhile: each bears the stamp it was made with.
    """
    beats = [site.sealed(said("vm1", 6 + each, full=False, full_seq=5)) for each in range(10)]
    for beat in beats:  # all made before the node died
        site.clock.advance(BEAT)
        assert site.hear(beat)
    assert not site.is_silent()
    assert site.nodes.get("vm1").taken == said("vm1").taken
    site.clock.advance(TIMEOUT)
    assert site.is_silent()


# --- fast-forward


def test_fast_forward_of_a_nodes_numbers(site: Site) -> None:
    """Only who has the node's key can do that, and loses the node by it: a new journal begins a new incarnation."""
    assert site.hear(site.sealed(said("vm1", 2**52)))
    assert not site.hear(site.sealed(said("vm1", 6)))
    assert site.hear(site.sealed(said("vm1", 1, incarnation="second")))


# --- wrong recipient: a report about another node


def test_wrong_recipient_a_report_about_another_node(site: Site) -> None:
    """vm2 was taken over, and speaks of vm1 with its own key, under either name."""
    forged = site.sealed(said("vm1", 6, agent_version=OLD), site.keys["vm2"])
    refuses(site, "wrong_key", forged, sender="vm1")
    refuses(site, "wrong_node", forged, sender="vm2")


def test_wrong_recipient_a_report_that_the_broker_gives_another_sender(site: Site) -> None:
    """``user_id`` is the broker's word; the signature is the node's."""
    refuses(site, "wrong_key", site.sealed(said("vm1", 6)), sender="vm2")


@pytest.mark.parametrize("beyond", [{"pools": {"web": PoolReport(read=Stamp(1, 1))}}, {"roles": ["balancer"]}])
def test_wrong_recipient_a_host_that_speaks_for_a_balancer(site: Site, beyond: dict[str, Any]) -> None:
    refuses(site, "wrong_role", site.sealed(said("vm1", 6, **beyond)))


# --- mix-and-match


def test_mix_and_match_of_a_short_report_and_another_full_one(site: Site) -> None:
    """A short report stands for the full one that it names. Is that withheld, what is known may not count as fresh."""
    site.clock.advance(TIMEOUT - 1)
    site.hear(site.sealed(said("vm1", 8, full=False, full_seq=7)))
    site.clock.advance(1)
    assert site.is_silent()


# --- endless data


@pytest.mark.parametrize(
    ("reason", "spoil"),
    [
        ("too_large", lambda envelope: envelope + b" " * MAX_ENVELOPE),
        ("truncated", lambda envelope: envelope[:-7]),
        ("unknown_format", lambda envelope: b"[" * MAX_ENVELOPE),
    ],
)
def test_endless_data_in_a_report(site: Site, reason: str, spoil: Callable[[bytes], bytes]) -> None:
    with bounded(2, 64):
        refuses(site, reason, spoil(site.sealed(said("vm1", 6))))


def test_endless_data_of_invented_senders(site: Site) -> None:
    """A broker that lies names another node for each message: they are counted, and neither log nor memory grows."""
    with capture_logs() as logs, bounded(20, 64):
        for number in range(5000):
            site.hear(b"{}", sender=f"host-{number}")
        site.clock.advance(60.0)
        site.hear(b"{}", sender="host-0")
    assert site.refused("wrong_key") == 5001
    assert len(logs) == 1001


# --- key compromise


def test_key_compromise_of_a_node(site: Site) -> None:
    """Who has a node's key says of that node what he likes."""
    lie = said("vm1", 6, services={"api@prod": ServiceReport(read=Stamp(9, 9), state="running", healthy=True)})
    assert site.hear(site.sealed(lie))
    assert site.nodes.get("vm1").report == lie


def test_key_compromise_revocation_works_at_once(site: Site) -> None:
    site.ring.revoke("vm1")
    refuses(site, "wrong_key", site.sealed(said("vm1", 6)))


@pytest.mark.parametrize("restarted", [False, True])
def test_key_compromise_rotation(site: Site, tmp_path: Path, restarted: bool) -> None:
    """Re-keyed: the thief's key counts no more, nor does what he said with it, though it had the highest numbers."""
    stolen, site.keys["vm1"] = site.keys["vm1"], generate_key()
    with closing(Store.open(tmp_path / "drumbeat.db")) as store:
        deciding = decided(site, store)
        tell(site, deciding, said("vm1", 2**52), stolen)
        assert deciding.world.nodes.get("vm1").seq == 2**52
        site.enrol("vm1", site.keys["vm1"])
        site.mailbox.put(NodeJoined("vm1", "with a key of its own"))
        tell(site, deciding, said("vm1", 2**52 + 1), stolen)
        assert site.refused("wrong_key") == 1
        if restarted:
            deciding = decided(site, store)
        for seq in range(7, 16):  # longer than a dispute takes
            tell(site, deciding, said("vm1", seq))
            heard = deciding.world.nodes.get("vm1")
            assert (heard.seq, heard.disputed) == (seq, "")
            site.clock.advance(BEAT)


def decided(site: Site, store: Store) -> Deciding:
    """The deciding thread of a controller that has this site's ring."""
    return Deciding(
        store=store,
        bus=PretendBus([], Pretence()),
        seal=lambda assignment: assignment.model_dump_json().encode(),
        clock=site.clock,
        random=Random(1),
        metrics=Metrics(CollectorRegistry()),
        node_timeout=TIMEOUT,
        ring=site.ring,
    )


def tell(site: Site, deciding: Deciding, report: Report, key: SigningKey | None = None) -> None:
    """A report on its whole way, from the bus into the world."""
    site.intake.receive(Received(report.node, site.sealed(report, key)))
    deciding.step(site.mailbox.drain(0))


def test_key_compromise_a_disputed_node(site: Site) -> None:
    """Two machines with one key: neither is believed until a person has decided."""
    site.ring.dispute("vm1", "planted")
    refuses(site, "disputed", site.sealed(said("vm1", 6)))
    site.ring.trust("vm1")
    assert site.hear(site.sealed(said("vm1", 7)))

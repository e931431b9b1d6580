"""Disputed and revoked nodes, from what shows it to the person who decides; over a real store and a real key ring."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from random import Random

import pytest
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

from bus.keyring import ALL_ROLES, KeyRing, NodeEntry
from bus.keys import BadKey, generate_key, public_text
from bus.port import Received
from controller.deciding import Deciding
from controller.mailbox import NodeJoined, ReportArrived, RingChanged
from controller.metrics import Metrics
from controller.store import Store
from controller.views.nodes import node_headline
from crds.messages import Stamp
from tests.support.pretend import Pretence, PretendBus
from tests.support.worlds import NOW, report, seconds

MILLION = 1_000_000


@dataclass
class Clock:
    at: float = 0.0

    def now(self) -> datetime:
        return NOW + seconds(self.at)

    def monotonic(self) -> float:
        return self.at


class Published(PretendBus):
    """Keeps in mind to whom something was published; no node answers."""

    def __init__(self) -> None:
        super().__init__([], Pretence())
        self.to: list[str] = []

    def publish(self, node: str, envelope: bytes) -> None:
        self.to.append(node)


class Site:
    """One life of a controller after another."""

    def __init__(self, folder: Path) -> None:
        self.bus = Published()
        self._folder, self.clock, self.ring = folder, Clock(), KeyRing(folder / "keys")
        self.enrol()
        self.store = Store.open(folder / "drumbeat.db")
        self.start()

    def start(self) -> None:
        self.deciding = Deciding(
            store=self.store,
            bus=self.bus,
            seal=lambda assignment: assignment.model_dump_json(by_alias=True).encode(),
            clock=self.clock,
            random=Random(1),
            metrics=Metrics(CollectorRegistry()),
            node_timeout=90,
            ring=KeyRing(self._folder / "keys"),
        )

    def enrol(self) -> None:
        key = public_text(generate_key().public_key)
        self.ring.register("vm1", NodeEntry(public_key=key, token_hash="A" * 48, roles=list(ALL_ROLES)))

    def hear(self, life: str, seq: int) -> None:
        self.deciding.step([ReportArrived(report("vm1", seq, life=life, taken=Stamp(0, 0)), Received("vm1", b""))])

    def clone(self) -> None:
        """Both machines speak for three minutes."""
        for number in range(7):
            self.hear("clone", MILLION + number)
            self.hear("original", 10 + number)
            self.rest(30)

    def rest(self, seconds: int) -> None:
        """Time passes, and the controller looks at it as often as it does."""
        for _ in range(seconds // 10):
            self.clock.at += 10
            self.deciding.step([])

    def headline(self) -> tuple[str, str]:
        return node_headline(self.deciding.world.nodes.get("vm1"))

    def verbs(self) -> list[str]:
        return [event.verb for event in self.store.recent_events(100)]


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    made = Site(tmp_path)
    yield made
    made.store.close()


def test_a_clone_is_written_down_and_said_with_what_to_do(site: Site) -> None:
    site.clone()
    entry = site.ring.entry("vm1")
    assert entry is not None
    assert "two agents" in entry.disputed
    assert site.ring.public_key("vm1") is None
    headline, message = site.headline()
    assert headline == "Disputed"
    assert "drumbeat nodes trust vm1" in message
    assert site.verbs().count("NodeDisputed") == 1


def test_a_restart_does_not_forget_it(site: Site) -> None:
    site.clone()
    site.start()
    assert site.headline()[0] == "Disputed"
    site.hear("original", 500)
    assert site.headline()[0] == "Disputed"


@pytest.mark.parametrize("restarted", [False, True])
def test_a_person_decides_and_the_machine_that_is_left_counts(site: Site, restarted: bool) -> None:
    """Though its numbers are lower than those of the clone, which is off now."""
    site.clone()
    site.ring.trust("vm1")
    if restarted:
        site.start()
    for number in range(10):
        site.hear("original", 500 + number)
        assert site.headline() == ("Ready", "")
        site.rest(30)


@pytest.mark.parametrize("harm", [lambda path: path.write_text("{"), Path.unlink], ids=["damaged", "missing"])
def test_an_entry_that_cannot_be_read_is_no_decision(site: Site, harm: Callable[[Path], object]) -> None:
    site.clone()
    harm(site.ring._nodes / "vm1.json")
    site.hear("original", 500)
    assert site.headline()[0] == "Disputed"
    assert "NodeTrusted" not in site.verbs()


def test_the_decision_is_an_event(site: Site) -> None:
    site.clone()
    site.ring.trust("vm1")
    site.hear("original", 500)
    site.hear("original", 501)
    assert site.verbs().count("NodeTrusted") == 1


def test_nothing_is_asked_of_a_disputed_node_until_it_is_trusted(site: Site) -> None:
    site.clone()
    site.deciding._hearing.restamp.add("vm1")
    site.deciding.step([])
    assert site.deciding.world.serials["vm1"] == 1
    assert site.bus.to == []
    site.ring.trust("vm1")
    site.hear("original", 500)
    assert site.bus.to == ["vm1"], "it says that it has not taken the newest"


def test_an_entry_that_cannot_be_read_decides_nothing(site: Site) -> None:
    site.clone()
    path = site.ring._nodes / "vm1.json"
    moved = path.rename(path.with_suffix(".away"))
    path.symlink_to("nowhere")
    site.hear("original", 500)
    assert site.headline()[0] == "Disputed"
    path.unlink()
    moved.rename(path)
    site.hear("original", 501)
    assert site.headline()[0] == "Disputed"


def test_a_start_without_a_ring_that_can_be_read_believes_nobody(site: Site) -> None:
    site.clone()
    away = site.ring._nodes.rename(site.ring._nodes.with_name("away"))
    site.ring._nodes.symlink_to("nowhere")
    with pytest.raises(BadKey, match="cannot be read"):
        site.start()
    site.ring._nodes.unlink()
    away.rename(site.ring._nodes)
    site.start()
    assert site.headline()[0] == "Disputed"


def test_a_ring_that_cannot_be_written_does_not_make_the_node_trusted(site: Site) -> None:
    path = site.ring._nodes / "vm1.json"
    moved = path.rename(path.with_suffix(".away"))
    site.clone()
    assert site.headline()[0] == "Disputed"
    moved.rename(path)
    site.hear("original", 500)
    entry = KeyRing(path.parents[1]).entry("vm1")
    assert entry is not None
    assert entry.disputed, "written once it can be"
    assert site.headline()[0] == "Disputed"


def test_a_ring_that_cannot_be_written_is_tried_now_and_then(site: Site) -> None:
    """Each try may take seconds of the thread that decides about everybody, and a line of the log."""
    (site.ring._nodes.parent / "lock").unlink()
    (site.ring._nodes.parent / "lock").mkdir()
    with capture_logs() as logs:
        site.clone()
        for number in range(200):
            site.hear("original", 500 + number)
            site.clock.at += 0.1
    tries = [line for line in logs if line["event"] == "node.dispute_not_saved"]
    assert 2 <= len(tries) <= 5
    (site.ring._nodes.parent / "lock").rmdir()
    site.clock.at += 10
    site.hear("original", 900)
    assert "vm1" in site.ring.disputed(), "written once it can be"


def test_a_new_key_ends_a_dispute_that_could_not_be_written(site: Site) -> None:
    path = site.ring._nodes / "vm1.json"
    path.unlink()
    site.clone()
    site.enrol()
    site.deciding.step([NodeJoined("vm1", "anew")])
    site.hear("original", 1)
    assert site.headline() == ("Ready", "")
    assert site.ring.disputed() == {}


def test_a_new_key_is_not_disputed_for_what_was_said_with_the_former_one(site: Site) -> None:
    """Reports that were verified before it joined may lie before the news of it in the mailbox."""
    site.enrol()
    site.clone()
    site.deciding.step([NodeJoined("vm1", "anew")])
    site.hear("original", 1)
    assert site.headline() == ("Ready", "")
    assert site.ring.disputed() == {}


def test_a_machine_that_joins_and_has_not_reported_is_no_node_yet(site: Site) -> None:
    site.deciding.step([NodeJoined("vm9", "as host")])
    assert "vm9" not in site.deciding.world.nodes.nodes


def test_a_revoked_node_counts_no_more_whatever_it_said_last(site: Site) -> None:
    site.hear("original", 10)
    assert site.headline() == ("Ready", "")
    site.ring.revoke("vm1")
    site.deciding.step([RingChanged(["vm1"])])
    headline, message = site.headline()
    assert headline == "Revoked"
    assert "drumbeat nodes restore vm1" in message
    site.hear("original", 11)
    assert site.deciding.world.nodes.get("vm1").silent
    site.start()
    assert site.headline()[0] == "Revoked", "a restart does not forget it"
    site.deciding.step([RingChanged(["vm1"])])
    assert site.verbs().count("NodeRevoked") == 1


def test_a_restored_node_goes_on_from_its_numbers(site: Site) -> None:
    """It is the same key, so that what was said before is not believed again."""
    site.hear("original", 10)
    site.ring.revoke("vm1")
    site.deciding.step([RingChanged(["vm1"])])
    site.ring.restore("vm1")
    site.hear("original", 10)
    assert site.headline()[0] == "Silent"
    site.hear("original", 11)
    assert site.headline() == ("Ready", "")
    assert site.verbs().count("NodeRestored") == 1


def test_nothing_is_asked_of_a_revoked_node(site: Site) -> None:
    site.ring.revoke("vm1")
    site.deciding._hearing.restamp.add("vm1")
    site.deciding.step([RingChanged(["vm1"])])
    assert site.deciding.world.serials["vm1"] == 1
    assert site.bus.to == []


def test_to_trust_a_node_ends_no_revocation(site: Site) -> None:
    site.clone()
    site.ring.revoke("vm1")
    site.ring.trust("vm1")
    site.deciding.step([RingChanged(["vm1"])])
    assert site.headline()[0] == "Revoked"
    site.ring.restore("vm1")
    site.deciding.step([RingChanged(["vm1"])])
    site.hear("original", 1)
    assert site.headline() == ("Ready", "")


def test_a_new_key_ends_a_revocation_unless_that_was_revoked_since(site: Site) -> None:
    site.ring.revoke("vm1")
    site.deciding.step([RingChanged(["vm1"])])
    site.enrol()
    site.deciding.step([NodeJoined("vm1", "anew")])
    assert site.headline()[0] == "Silent"
    assert "NodeRestored" not in site.verbs(), "nobody has taken anything back"
    site.enrol()
    site.ring.revoke("vm1")
    site.deciding.step([NodeJoined("vm1", "anew")])
    assert site.headline()[0] == "Revoked"

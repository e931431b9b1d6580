"""RingWatcher: who is named to the deciding thread, and when, over a real key ring."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from bus.keyring import KeyRing, NodeEntry
from bus.keys import generate_key, public_text
from controller.mailbox import RingChanged
from controller.ring_watcher import WHOLE_EVERY, RingWatcher
from tests.simulation.drivers import SimClock


class Site:
    def __init__(self, folder: Path) -> None:
        self.folder, self.operator, self.clock = folder, KeyRing(folder), SimClock()
        for name in ("vm1", "vm2"):
            self.enrol(name)
        self.said: list[RingChanged] = []
        self.watcher = RingWatcher(KeyRing(folder), self.said.append, self.clock)

    def enrol(self, name: str) -> None:
        key = public_text(generate_key().public_key)
        self.operator.register(name, NodeEntry(public_key=key, token_hash="A" * 48, roles=["host"]))

    def looks(self) -> list[str]:
        """The nodes that are named after a second."""
        self.clock.advance(1)
        self.said.clear()
        self.watcher.look()
        return [node for each in self.said for node in each.nodes]


@pytest.fixture
def site(tmp_path: Path) -> Site:
    made = Site(tmp_path)
    assert made.looks() == [], "nobody has decided anything"
    return made


@pytest.mark.parametrize(
    ("change", "back"),
    [
        (lambda ring: ring.revoke("vm1"), lambda ring: ring.restore("vm1")),
        (lambda ring: ring.dispute("vm1", "two agents"), lambda ring: ring.trust("vm1")),
    ],
    ids=["revoked", "disputed"],
)
def test_each_decision_is_named_once(
    site: Site, change: Callable[[KeyRing], None], back: Callable[[KeyRing], None]
) -> None:
    for decide in (change, back):
        decide(site.operator)
        assert [site.looks() for _ in range(3)] == [["vm1"], [], []]


def test_what_was_decided_before_the_start_is_named(tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.operator.revoke("vm2")
    assert site.looks() == ["vm2"]


def test_as_long_as_nothing_changes_no_entry_is_looked_at(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.looks()
    monkeypatch.setattr(KeyRing, "entry", lambda *_: pytest.fail("an entry was looked at"))
    assert site.looks() == []


def test_an_entry_that_was_edited_in_its_place_is_found_after_a_while(site: Site) -> None:
    site.looks()
    path = site.folder / "nodes/vm1.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "revoked": True}))
    assert site.looks() == []
    site.clock.advance(WHOLE_EVERY)
    assert site.looks() == ["vm1"]


def test_a_damaged_or_missing_entry_says_nothing(site: Site) -> None:
    (site.folder / "nodes/vm1.json").write_text("{")
    (site.folder / "nodes/vm2.json").unlink()
    assert site.looks() == []
    site.enrol("vm1")
    site.operator.revoke("vm1")
    assert site.looks() == ["vm1"]


def test_a_ring_that_is_not_there_yet_is_waited_for(tmp_path: Path) -> None:
    said: list[RingChanged] = []
    watcher = RingWatcher(KeyRing(tmp_path / "keys"), said.append, SimClock())
    watcher.look()
    Site(tmp_path / "keys").operator.revoke("vm1")
    watcher.look()
    assert [each.nodes for each in said] == [["vm1"]]

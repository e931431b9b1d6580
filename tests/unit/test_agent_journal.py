"""The journal remembers what was taken, whole, and is never replaced when it cannot be understood."""

from pathlib import Path
from random import Random

import pytest

from agent.journal import Journal, JournalProblem
from crds.messages import Stamp
from tests.simulation.drivers import SimClock


def open_journal(path: Path, seed: int = 1) -> Journal:
    return Journal.open(path, SimClock(), Random(seed))


def test_remembers_what_was_taken(tmp_path: Path) -> None:
    first = open_journal(tmp_path / "journal")
    assert (first.stamp, first.envelope) == (Stamp(0, 0), b"")
    assert first.take(Stamp(3, 7), b"\x00signed\xff") == "taken"
    first.steps("host").save({"a@prod": "x"})
    again = open_journal(tmp_path / "journal", seed=2)
    assert (again.stamp, again.envelope) == (Stamp(3, 7), b"\x00signed\xff")
    assert again.incarnation == first.incarnation
    assert again.steps("host").load() == {"a@prod": "x"}
    assert again.steps("balancer").load() == {}


@pytest.mark.parametrize(
    ("stamp", "verdict"),
    [
        (Stamp(3, 8), "taken"),
        (Stamp(4, 1), "taken"),
        (Stamp(3, 7), "same"),
        (Stamp(3, 6), "older"),
        (Stamp(2, 900), "older"),
    ],
)
def test_takes_only_what_is_newer(tmp_path: Path, stamp: Stamp, verdict: str) -> None:
    open_journal(tmp_path / "journal").take(Stamp(3, 7), b"old")
    journal = open_journal(tmp_path / "journal")
    assert journal.take(stamp, b"new") == verdict
    kept = open_journal(tmp_path / "journal")
    assert kept.envelope == (b"new" if verdict == "taken" else b"old")


def test_report_numbers_grow_across_restarts(tmp_path: Path) -> None:
    numbers = [open_journal(tmp_path / "journal").next_number() for _ in range(4)]
    assert numbers == sorted(set(numbers))
    journal = open_journal(tmp_path / "journal")
    assert journal.next_number() < journal.next_number()


def test_an_empty_state_is_a_new_incarnation(tmp_path: Path) -> None:
    assert open_journal(tmp_path / "a", 1).incarnation != open_journal(tmp_path / "b", 2).incarnation


def test_what_a_role_changes_later_is_not_in_the_journal(tmp_path: Path) -> None:
    steps = open_journal(tmp_path / "journal").steps("host")
    mine = {"list": [1]}
    steps.save(mine)
    mine["list"].append(2)
    steps.load()["list"].append(3)
    assert steps.load() == {"list": [1]}


def damages(whole: bytes) -> dict[str, bytes]:
    return {
        "empty": b"",
        "truncated": whole[:100],
        "one bit in both copies": whole.replace(b'"serial": 7', b'"serial": 6'),
        "other format": whole.replace(b"drumbeat-journal 2 ", b"drumbeat-journal 3 "),
        "other file": b"hello world\n",
        "binary": bytes(range(256)),
    }


@pytest.mark.parametrize("damage", sorted(damages(b"x" * 20)))  # the names of them
def test_a_damaged_journal_is_reported_and_never_overwritten(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "journal"
    open_journal(path).take(Stamp(3, 7), b"signed")
    damaged = damages(path.read_bytes())[damage]
    assert damaged != path.read_bytes()
    path.write_bytes(damaged)
    with pytest.raises(JournalProblem, match="journal"):
        open_journal(path)
    assert path.read_bytes() == damaged


@pytest.mark.parametrize("pointing", ["journal", "away", "."], ids=["to itself", "to nothing", "to a folder"])
def test_a_journal_that_cannot_be_read_is_no_new_one(tmp_path: Path, pointing: str) -> None:
    """With it would go the newest trust document, and what fences former leaders."""
    path = tmp_path / "journal"
    path.symlink_to(pointing)
    with pytest.raises(JournalProblem, match=str(path)):
        open_journal(path)
    assert path.is_symlink()


def test_a_full_disk_takes_nothing_and_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "journal"
    journal = open_journal(path)
    journal.take(Stamp(1, 1), b"one")

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as planted:
        planted.setattr("agent.files.os.fsync", full)
        with pytest.raises(JournalProblem, match="No space left"):
            journal.take(Stamp(1, 2), b"two" * 100_000)  # for which the file is too small
    assert journal.stamp == Stamp(1, 1)
    assert open_journal(path).envelope == b"one"
    assert journal.take(Stamp(1, 2), b"two") == "taken"


def test_a_disk_that_fails_takes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = open_journal(tmp_path / "journal")

    def broken(handle: int) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as planted:
        planted.setattr("agent.copies.sync_data", broken)
        with pytest.raises(JournalProblem, match="Input/output error"):
            journal.take(Stamp(1, 1), b"one")
    assert journal.stamp == Stamp(0, 0)
    assert journal.take(Stamp(1, 1), b"one") == "taken"
    assert open_journal(tmp_path / "journal").envelope == b"one"


def test_a_journal_that_grows_is_whole(tmp_path: Path) -> None:
    for serial, size in enumerate((10, 100_000, 20, 3_000_000, 0), start=1):
        open_journal(tmp_path / "journal").take(Stamp(1, serial), b"e" * size)
        assert open_journal(tmp_path / "journal").envelope == b"e" * size


def test_a_journal_that_was_moved_away_is_written_anew(tmp_path: Path) -> None:
    journal = open_journal(tmp_path / "journal")
    (tmp_path / "journal").unlink()
    journal.take(Stamp(1, 1), b"one")
    assert open_journal(tmp_path / "journal").envelope == b"one"

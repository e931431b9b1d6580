"""Following a repository: what is handed over, and how soon."""

import os
import queue
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

import pytest

from bus.keys import CONTROLLER_KEY_FILE
from controller.mailbox import RevisionRead, SourceFailed
from controller.source import commit_signatures
from controller.source.commit_rule import FOLDER, CommitRule
from controller.source.in_force import revision_in_force
from controller.source.mirror import Mirror, SourceError
from controller.source.watch import SourceWatcher
from tests.support.controller import PretendController
from tests.support.git import commit_all, git, repository
from tests.support.pretend import Pretence
from tests.support.state_files import spoiled, write

Handed = queue.SimpleQueue[RevisionRead | SourceFailed]
INTERVAL = 60.0
"""Longer than any test: what arrives sooner was noticed."""


class Following:
    """A watcher over a repository of its own."""

    def __init__(self, folder: Path) -> None:
        self.origin = write(repository(folder / "origin"))
        self.first = commit_all(self.origin, "Begin")
        self.handed: Handed = queue.SimpleQueue()
        self.folder, self.keys = folder, folder / "keys"
        self.keys.mkdir()
        (self.keys / CONTROLLER_KEY_FILE).touch()
        self.in_force: str | None = None
        self.watcher = self.watching(lambda: self.in_force)
        self.again = self.watching(lambda: self.in_force)
        """Another life of the watcher, with the mirror of the one before."""

    def watching(self, in_force: Callable[[], str | None]) -> SourceWatcher:
        mirror = Mirror(str(self.origin), "main", ".", self.folder / "mirror.git")
        return SourceWatcher(mirror, INTERVAL, self.handed.put, Random(1), in_force, CommitRule(self.keys))

    def pin(self, name: str) -> Path:
        """The private key of somebody whose signature counts."""
        key = self.folder / name
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", key], check=True)
        (self.keys / FOLDER).mkdir(exist_ok=True)
        (self.keys / FOLDER / f"{name}.pub").write_text(Path(f"{key}.pub").read_text())
        return key

    def sign(self, key: Path) -> str:
        """A commit that is signed with the key; its id."""
        signing = ("-c", "gpg.format=ssh", "-c", f"user.signingKey={key}")
        git(self.origin, *signing, "commit", "--quiet", "--allow-empty", "-S", "--message", "Signed")
        return git(self.origin, "rev-parse", "HEAD")

    def next(self) -> RevisionRead:
        found = self.handed.get(timeout=20)
        assert isinstance(found, RevisionRead), found
        return found

    def failure(self) -> str:
        found = self.handed.get(timeout=20)
        assert isinstance(found, SourceFailed), found
        return found.message


@pytest.fixture
def following(tmp_path: Path) -> Following:
    return Following(tmp_path)


@pytest.fixture
def running(following: Following) -> Iterator[Following]:
    stop = threading.Event()

    def follow() -> None:
        while not stop.is_set():
            following.watcher.wait(following.watcher.step(), stop)

    thread = threading.Thread(target=follow)
    thread.start()
    yield following
    stop.set()
    thread.join(timeout=20)
    assert not thread.is_alive()


def test_a_revision_is_handed_over_once(following: Following) -> None:
    wait = following.watcher.step()
    following.watcher.step()
    read = following.next()

    assert read.revision == following.first
    assert read.state is not None
    assert (read.author, read.subject, read.forced) == ("Ann <ann@example.com>", "Begin", False)
    assert read.problems == []
    assert following.handed.empty()
    assert INTERVAL * 0.9 <= wait <= INTERVAL * 1.1


def test_a_refused_commit_is_handed_over_with_its_problems(following: Following) -> None:
    write(following.origin, spoiled("versions/prod/api.yaml", '"1.0.0"', "1.10"))
    revision = commit_all(following.origin)
    following.watcher.step()
    read = following.next()

    assert (read.revision, read.state) == (revision, None)
    assert read.problems == [
        'versions/prod/api.yaml:2:10: error: version: 1.10 is a number, not text (write version: "1.10")'
    ]


def test_what_was_in_force_stays_so_after_a_restart_while_the_newest_is_refused(following: Following) -> None:
    following.watcher.step()
    following.in_force = following.next().revision
    write(following.origin, spoiled("versions/prod/api.yaml", '"1.0.0"', "1.10"))
    refused = commit_all(following.origin)
    following.again.step()
    following.again.step()

    resumed, newest = following.next(), following.next()
    assert (resumed.revision, resumed.state is not None, resumed.resumed) == (following.first, True, True)
    assert (newest.revision, newest.state, newest.resumed) == (refused, None, False)
    assert following.handed.empty()


def test_what_was_in_force_stays_so_after_a_restart_while_the_repository_is_away(following: Following) -> None:
    following.watcher.step()
    following.in_force = following.next().revision
    following.origin.rename(following.origin.with_name("away"))
    following.again.step()
    following.again.step()

    assert following.next().resumed
    assert all(isinstance(following.handed.get(timeout=1), SourceFailed) for _ in range(2))
    assert following.handed.empty()


def deciding(folder: Path) -> PretendController:
    """A deciding thread, which answers once it is entered."""
    return PretendController(folder, 1, Pretence(), 3600.0)


def test_no_old_commit_is_played_again_while_the_store_is_slow_after_a_restart(following: Following) -> None:
    """No answer does not mean that nothing was in force."""
    ann = following.pin("ann")
    old, new = following.sign(ann), following.sign(ann)
    following.watcher.step()
    with deciding(following.folder) as before:
        before.mailbox.put(following.next())
        assert before.ask(lambda asked: asked.revisions.in_force.id) == new
    git(following.origin, "update-ref", "refs/heads/main", old)
    after = deciding(following.folder)
    again = following.watching(partial(revision_in_force, after.mailbox, 0.05))
    again.step()

    assert "not known yet which revision was in force" in following.failure()
    assert following.handed.empty()
    with after:
        following.watching(partial(revision_in_force, after.mailbox, 20)).step()
    resumed, newest = following.next(), following.next()
    assert (resumed.revision, resumed.resumed) == (new, True)
    assert (newest.revision, newest.state) == (old, None)
    assert f"does not follow {new[:12]}" in newest.problems[0]


def test_what_was_in_force_is_resumed_once_the_store_answers(following: Following) -> None:
    """Whatever keeps the newest commit from being put in force."""
    following.watcher.step()
    in_force = following.next().revision
    write(following.origin, spoiled("versions/prod/api.yaml", '"1.0.0"', "1.10"))
    refused = commit_all(following.origin)
    answers = iter([SourceError("slow"), SourceError("slow"), in_force])

    def asked() -> str:
        answer = next(answers)
        if isinstance(answer, SourceError):
            raise answer
        return answer

    again = following.watching(asked)
    again.step()
    again.step()

    assert following.failure() == "slow"
    assert [(each.revision, each.resumed) for each in (following.next(), following.next())] == [
        (in_force, True),
        (refused, False),
    ]


def test_where_nothing_was_in_force_any_signed_commit_may_be(following: Following) -> None:
    revision = following.sign(following.pin("ann"))
    with deciding(following.folder) as first:
        following.watching(partial(revision_in_force, first.mailbox, 20)).step()

    read = following.next()
    assert (read.revision, read.signer, read.state is not None) == (revision, "ann", True)


def test_a_commit_that_was_refused_is_put_in_force_once_its_signer_is_pinned(following: Following) -> None:
    following.pin("ann")
    bob = following.pin("bob")
    pinned = following.keys / FOLDER / "bob.pub"
    pinned.rename(following.keys / "bob.pub")
    revision = following.sign(bob)
    following.watcher.step()
    following.watcher.step()
    refused = following.next()
    assert (refused.revision, refused.state, following.handed.empty()) == (revision, None, True)

    (following.keys / "bob.pub").rename(pinned)
    following.watcher.step()
    following.watcher.step()
    read = following.next()
    assert (read.revision, read.state is not None, read.signer) == (revision, True, "bob")
    assert following.handed.empty()


def test_a_history_that_was_begun_anew_is_read_once_the_rule_is_away(following: Following) -> None:
    """As docs/signed-commits.md says; and the folder can be put back then."""
    ann = following.pin("ann")
    following.sign(ann)
    following.watcher.step()
    git(following.origin, "checkout", "--quiet", "--orphan", "anew")
    revision = following.sign(ann)
    git(following.origin, "checkout", "--quiet", "-B", "main")
    following.watcher.step()
    following.next()
    assert "does not follow" in following.next().problems[0]

    away = (following.keys / FOLDER).rename(following.keys / "away")
    following.watcher.step()
    read = following.next()
    assert (read.revision, read.state is not None, read.forced) == (revision, True, True)
    away.rename(following.keys / FOLDER)
    following.sign(ann)
    following.watcher.step()
    assert following.next().signer == "ann"


def test_another_reason_for_the_same_refusal_is_handed_over(following: Following) -> None:
    following.pin("ann")
    following.watcher.step()
    stray = following.keys / FOLDER / "ann.pub~"
    stray.touch()
    following.watcher.step()

    assert "it is not signed" in following.next().problems[0]
    assert str(stray) in following.next().problems[0]


def test_a_commit_in_force_stays_so_whatever_happens_to_its_signers_key(following: Following) -> None:
    following.sign(following.pin("ann"))
    following.watcher.step()
    following.pin("bob")
    (following.keys / FOLDER / "ann.pub").unlink()
    following.watcher.step()

    assert following.next().signer == "ann"
    assert following.handed.empty()


def test_a_program_that_does_not_end_is_no_refusal(following: Following, monkeypatch: pytest.MonkeyPatch) -> None:
    ann = following.pin("ann")
    revision = following.sign(ann)
    programs = following.folder / "programs"
    programs.mkdir()
    slow = programs / "ssh-keygen"
    slow.write_text("#!/bin/sh\nexec sleep 60\n")
    slow.chmod(0o755)
    with monkeypatch.context() as patched:
        patched.setattr(commit_signatures, "DEADLINE", 0.2)
        patched.setenv("PATH", str(programs), prepend=os.pathsep)
        following.watcher.step()
    following.watcher.step()

    assert "ssh-keygen did not end within 0.2 seconds" in following.failure()
    assert (following.next().revision, following.handed.empty()) == (revision, True)


def test_a_disk_that_cannot_be_written_is_no_refusal(following: Following, monkeypatch: pytest.MonkeyPatch) -> None:
    revision = following.sign(following.pin("ann"))
    with monkeypatch.context() as patched:
        patched.setattr(commit_signatures, "TemporaryDirectory", partial(TemporaryDirectory, dir="/proc/self"))
        following.watcher.step()
    following.watcher.step()

    assert f"whether commit {revision[:12]} is signed cannot be found out now: " in following.failure()
    assert (following.next().revision, following.handed.empty()) == (revision, True)


def test_warnings_come_with_their_target(following: Following) -> None:
    write(following.origin, spoiled("services/api.yaml", "{role: api}", "{role: web}"))
    commit_all(following.origin)
    following.watcher.step()
    read = following.next()

    assert read.state is not None
    assert list(read.targets_warned) == ["api@prod"]
    assert "no host of fleet prod has role: web" in read.targets_warned["api@prod"]


def test_a_forced_branch_is_said_to_be_forced(following: Following) -> None:
    following.watcher.step()
    git(following.origin, "commit", "--quiet", "--amend", "--message", "Another past")
    following.watcher.step()

    assert [following.next().forced, following.next().forced] == [False, True]


def test_failures_wait_longer_each_time_and_end_with_the_state_again(following: Following) -> None:
    following.watcher.step()
    hidden = following.origin.rename(following.origin.with_name("away"))
    waits = [following.watcher.step() for _ in range(10)]
    hidden.rename(following.origin)
    following.watcher.step()

    first, *failures, last = [following.handed.get(timeout=1) for _ in range(12)]
    assert all(isinstance(each, SourceFailed) and "git repository" in each.message for each in failures)
    assert first == last
    assert 0.5 <= waits[0] <= 1 and 1 <= waits[1] <= 2
    assert INTERVAL / 2 <= waits[-1] <= INTERVAL


def test_a_local_commit_is_noticed_at_once(running: Following) -> None:
    assert running.next().revision == running.first
    spent = []
    for number in range(3):
        time.sleep(0.1)  # the watch begins after the first look, and each commit must be noticed by itself
        revision = commit_all(running.origin, f"change {number}")
        begun = time.monotonic()
        assert running.next().revision == revision
        spent.append(time.monotonic() - begun)

    assert min(spent) < 1.0


def test_a_commit_before_the_watch_began_is_not_missed(following: Following) -> None:
    """The watch begins with the first wait, after the first look; what happens in between must be looked for."""
    following.watcher.step()
    following.next()
    revision = commit_all(following.origin)
    stop = threading.Event()
    late = threading.Timer(20, stop.set)
    late.start()
    following.watcher.wait(INTERVAL, stop)
    late.cancel()
    following.watcher.step()

    assert not stop.is_set()
    assert following.next().revision == revision


def test_packing_references_is_no_revision_and_hides_none(running: Following) -> None:
    running.next()
    git(running.origin, "pack-refs", "--all")
    git(running.origin, "gc", "--quiet")
    revision = commit_all(running.origin)

    assert running.next().revision == revision


def test_a_stop_ends_the_wait(following: Following) -> None:
    stop = threading.Event()
    following.watcher.wait(following.watcher.step(), stop)
    begun = time.monotonic()
    threading.Timer(0.1, stop.set).start()
    following.watcher.wait(INTERVAL, stop)

    assert time.monotonic() - begun < 10

"""Changes of the ring of nodes by several threads and processes: none undoes another."""

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bus.keyring import KeyRing, write_node_keys
from bus.keys import generate_key

CONTROLLER = generate_key().public_key


@pytest.mark.parametrize("shared", [True, False], ids=["one ring", "a ring for each"])
def test_no_change_of_the_ring_undoes_another(tmp_path: Path, shared: bool) -> None:
    """The controller disputes a node while an operator revokes it."""
    operator = KeyRing(tmp_path)
    controller = operator if shared else KeyRing(tmp_path)
    write_node_keys(tmp_path / "x", "host-1", operator, [CONTROLLER])
    for number in range(50):
        at_once(lambda number=number: controller.dispute("host-1", f"{number}"), lambda: operator.revoke("host-1"))
        entry = KeyRing(tmp_path).entry("host-1")
        assert entry is not None
        assert (entry.revoked, entry.disputed) == (True, f"{number}")
        operator.restore("host-1")


def test_a_process_that_has_the_ring_to_itself_is_waited_for(tmp_path: Path) -> None:
    ring = KeyRing(tmp_path / "ring")
    write_node_keys(tmp_path / "x", "host-1", ring, [CONTROLLER])
    with holding(tmp_path / "ring") as other:
        change = threading.Thread(target=ring.revoke, args=("host-1",))
        change.start()
        change.join(0.3)  # it could have done it by now
        other.communicate(b"\n", timeout=30)
        change.join(30)
    entry = ring.entry("host-1")
    assert entry is not None
    assert (entry.revoked, entry.disputed) == (True, "by another process")


def test_a_process_that_does_not_go_on_is_not_waited_for_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bus.keyring._PATIENCE", 0.05)
    ring = KeyRing(tmp_path / "ring")
    write_node_keys(tmp_path / "x", "host-1", ring, [CONTROLLER])
    with holding(tmp_path / "ring") as other:
        with pytest.raises(TimeoutError, match="another process"):
            ring.revoke("host-1")
        other.kill()
        other.wait()
        monkeypatch.setattr("bus.keyring._PATIENCE", 30.0)
        ring.revoke("host-1")
    assert ring.public_key("host-1") is None, "whoever has died keeps nobody out"


def test_a_folder_of_keys_that_is_away_is_not_made(tmp_path: Path) -> None:
    """It is being replaced: what is moved there would land in the folder that was made."""
    ring = KeyRing(tmp_path / "ring")
    write_node_keys(tmp_path / "x", "host-1", ring, [CONTROLLER])
    moved = (tmp_path / "ring").rename(tmp_path / "away")
    with pytest.raises(FileNotFoundError):
        ring.dispute("host-1", "two agents")
    moved.rename(tmp_path / "ring")
    ring.dispute("host-1", "two agents")
    assert ring.disputed() == {"host-1": "two agents"}


def at_once(*changes: Callable[[], None]) -> None:
    """Do all of it, each in a thread."""
    together = threading.Barrier(len(changes))
    threads = [threading.Thread(target=lambda do=do: (together.wait(), do())) for do in changes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)


@contextmanager
def holding(folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process that has looked at the ring; with the next line from us it writes what it makes of that."""
    code = f"""
from pathlib import Path
from bus.keyring import KeyRing
ring = KeyRing(Path({str(folder)!r}))
with ring.changing():
    entry = ring.entry("host-1")
    print("has it", flush=True)
    input()
    ring.register("host-1", entry.model_copy(update={{"disputed": "by another process"}}))
"""
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"has it\n"
            yield process
        finally:
            process.kill()

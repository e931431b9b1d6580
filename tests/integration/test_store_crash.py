"""A controller that is killed in mid-write leaves whole transactions only."""

import os
import select
import signal
import subprocess
import sys
from pathlib import Path

from controller.store import Store

WRITER = """
import sys
from datetime import UTC, datetime
from controller.store import Store
from crds.messages import Stamp
from crds.status import Event
from reconcilers.fragments import Entry

now = datetime(2026, 1, 2, tzinfo=UTC)
store = Store.open(sys.argv[1])
term = store.take_over(now)
number = store.load().serials.get("node0", 0)
while True:
    number += 1
    with store.transaction(term) as tx:
        for index in range(20):
            tx.put_serial(f"node{index}", number)
            tx.put_entry(f"node{index}", "api@prod", "service", Entry(str(number), Stamp(term, number)))
        tx.add_event(Event(at=now, actor="test", verb="write", object="api@prod", message=str(number)))
    print(number, flush=True)
"""

PATIENCE = (0.0, 0.0002, 0.0005, 0.001, 0.002, 0.02)
"""Seconds from a confirmed transaction to the kill, so that it hits various moments of the next ones."""


def test_kill_9_keeps_whole_transactions_and_loses_none_that_was_confirmed(tmp_path: Path) -> None:
    path = tmp_path / "drumbeat.db"
    confirmed = 0
    for round_number, patience in enumerate(PATIENCE, start=1):
        confirmed = max(confirmed, write_until_killed(path, confirmed + 3, patience))
        store = Store.open(path)
        loaded, events = store.load(), store.events(limit=1_000_000)
        assert store.check_events() is None
        store.close()
        written = set(loaded.serials.values())
        assert len(written) == 1, "a transaction was torn"
        newest = written.pop()
        assert newest in (confirmed, confirmed + 1), "a confirmed transaction was lost"
        assert {entry["api@prod"]["service"].value for entry in loaded.entries.values()} == {str(newest)}
        assert [event.message for event in events] == [str(number) for number in range(1, newest + 1)]
        assert loaded.resource_version == newest
        assert {entry["api@prod"]["service"].stamp.term for entry in loaded.entries.values()} == {round_number}
        confirmed = newest


def write_until_killed(path: Path, enough: int, patience: float) -> int:
    """Let a process write, kill it a moment after it confirmed ``enough``; returns the last number it confirmed."""
    with subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE) as writer:
        assert writer.stdout
        said = b""
        while not said.endswith(b"\n") or int(said.split()[-1]) < enough:
            ready, _, _ = select.select([writer.stdout], [], [], 30)
            chunk = os.read(writer.stdout.fileno(), 65536) if ready else b""
            assert chunk, f"the writer said no more after {said!r}"
            said += chunk
        select.select([], [], [], patience)
        writer.send_signal(signal.SIGKILL)
        said += writer.stdout.read()
    return int(said[: said.rindex(b"\n")].split()[-1])

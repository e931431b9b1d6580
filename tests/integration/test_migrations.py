"""Migrations of a real SQLite database by a real agent: made once, whoever is killed, and whenever."""

import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil
import pytest
from starlette.applications import Starlette

from bus.envelope import open_report, seal_assignment
from bus.http_controller import HttpControllerBus
from bus.keyring import KeyRing, write_node_keys
from bus.keys import generate_key
from bus.port import Received
from crds.messages import Assignment, Migrating, OperationReport, OperationSpec, Report
from tests.conformance.bus.transports import Server
from tests.support.waiting import eventually

ROOT = Path(__file__).parents[2]
MIGRATE = """
import pathlib, sqlite3, sys, time
here = pathlib.Path(__file__).parent
def wait(name):
    (here / f"at-{name}").touch()
    while (here / f"stop-{name}").exists():
        time.sleep(0.01)
print("adds a column for", sys.argv[1], flush=True)
wait("before")
with sqlite3.connect(here / "orders.db") as db:
    db.executescript("BEGIN; ALTER TABLE orders ADD COLUMN note TEXT; INSERT INTO made VALUES (1); COMMIT")
wait("after")
"""
CHECK = """
import pathlib, sqlite3, sys
db = sqlite3.connect(pathlib.Path(__file__).parent / "orders.db")
sys.exit(0 if any(row[1] == "note" for row in db.execute("PRAGMA table_info(orders)")) else 1)
"""


class Bench:
    """A controller's end of the bus, a runner's agent, and a database."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name, text in (("migrate.py", MIGRATE), ("check.py", CHECK)):
            (folder / name).write_text(text)
        with closing(sqlite3.connect(folder / "orders.db")) as database:
            database.executescript("CREATE TABLE orders (id INTEGER); CREATE TABLE made (once INTEGER)")
        self.key, ring = generate_key(), KeyRing(folder / "ring")
        keys = write_node_keys(folder / "keys", "run1", ring, [self.key.public_key])
        self.node_key = keys.signer.public_key
        self.server, self.bus = Server(), HttpControllerBus(ring)
        self.newest: Report | None = None
        self.came = threading.Condition()
        self.bus.start(self.receive)
        self.server.start(Starlette(routes=self.bus.routes()))
        self.config = folder / "agent.yaml"
        self.config.write_text(
            f"node: run1\nbus: http://127.0.0.1:{self.server.port}\ncredentials: keys\nstate: state\n"
            "reportInterval: 1s\nrunner: {scripts: .}\n"
        )
        self.serial = 0
        self.start()

    def receive(self, received: Received) -> None:
        report = open_report(received.envelope, self.node_key, "run1")
        self.bus.settle([received])
        with self.came:
            if report.full:
                self.newest = report
                self.came.notify_all()

    def start(self) -> None:
        command = [sys.executable, "-m", "agent.main", "run", "--config", str(self.config)]
        with (self.folder / "agent.log").open("ab") as log:
            self.agent = subprocess.Popen(command, cwd=ROOT, stderr=log)

    def kill(self) -> None:
        """The agent dies where it stands; what it has started runs on."""
        self.agent.send_signal(signal.SIGKILL)
        self.agent.wait(30)
        self.newest = None

    def commands(self) -> list[psutil.Process]:
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                if process.pid != self.agent.pid and process.cwd() == str(self.folder):
                    found.append(process)
        return found

    def ask(self, identity: str = "once") -> None:
        self.serial += 1
        python = sys.executable
        spec = OperationSpec(
            name="add-column",
            target="api@test",
            version="2.0",
            command=[python, "migrate.py", "{version}"],
            timeout=60.0,
            migration=Migrating(phase="expand", check=[python, "check.py"], lock="orders"),
        )
        expires = datetime.now(UTC) + timedelta(minutes=10)
        said = Assignment(node="run1", term=1, serial=self.serial, expires=expires, operations={identity: spec})
        self.bus.publish("run1", seal_assignment(said, self.key))

    def result(self, identity: str = "once") -> OperationReport:
        def found() -> OperationReport | None:
            said = self.newest.operations.get(identity) if self.newest else None
            return said if said and said.state == "finished" else None

        with self.came:
            assert self.came.wait_for(lambda: found() is not None, 60), (self.folder / "agent.log").read_text()[-2000:]
            said = found()
        assert said is not None
        return said

    def made(self) -> int:
        with closing(sqlite3.connect(self.folder / "orders.db")) as database:
            return int(database.execute("SELECT count(*) FROM made").fetchone()[0])

    def halt(self, where: str) -> Callable[[], None]:
        """Have the command stop there; what is returned lets it go on."""
        stop = self.folder / f"stop-{where}"
        stop.touch()
        return stop.unlink

    def reached(self, where: str) -> None:
        eventually((self.folder / f"at-{where}").exists)

    def close(self) -> None:
        self.agent.kill()
        self.agent.wait()
        for process in self.commands():
            with suppress(psutil.Error):
                process.kill()
        self.bus.stop()
        self.server.stop()


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    yield made
    made.close()


def test_a_migration_is_made_and_its_output_is_kept(bench: Bench) -> None:
    bench.ask()
    said = bench.result()
    assert (said.outcome, said.log_tail) == ("passed", ["adds a column for 2.0"])
    assert said.message.endswith("exit status 0; its check says that it is done")
    bench.ask("another-attempt")
    again = bench.result("another-attempt")
    assert again.message == "its check says that it is done already; nothing was run"
    assert bench.made() == 1


def test_killed_between_effect_and_record_while_the_command_lives_on(bench: Bench) -> None:
    """The agent that comes back finds the command by its lock, and waits for it before it asks the check."""
    go_on = bench.halt("after")
    bench.ask()
    bench.reached("after")
    bench.kill()
    bench.start()
    eventually(lambda: bench.newest is not None)
    assert len(bench.commands()) == 1, "neither killed nor started a second time"
    go_on()
    assert bench.result().outcome == "passed"
    assert bench.made() == 1


@pytest.mark.parametrize("where", ["before", "after"])
def test_a_machine_that_loses_its_power_before_or_after_the_effect(bench: Bench, where: str) -> None:
    go_on = bench.halt(where)
    bench.ask()
    bench.reached(where)
    bench.kill()
    for process in bench.commands():
        process.kill()
        process.wait(30)
    go_on()
    (bench.folder / f"at-{where}").unlink()
    assert bench.made() == (where == "after")
    bench.start()
    assert bench.result().outcome == "passed"
    assert bench.made() == 1
    assert (bench.folder / f"at-{where}").exists() == (where == "before"), "run again only if it was not made"


def test_a_command_that_a_signal_ends_is_judged_by_the_check(bench: Bench) -> None:
    bench.halt("after")
    bench.ask()
    bench.reached("after")
    (command,) = bench.commands()
    command.kill()
    said = bench.result()
    assert (said.outcome, "exit status -9" in said.message) == ("passed", True)

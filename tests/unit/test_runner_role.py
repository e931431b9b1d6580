"""The runner role: each operation once, whatever is repeated, restarted or forgotten."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest

from agent.drivers.contracts import Outcome
from agent.role import Observed
from agent.roles.runner import RunnerPorts, RunnerRole
from agent.trust import NodeTrust
from crds.messages import Migrating, OperationReport, OperationSpec
from tests.simulation.drivers import SimClock, SimExecutor
from tests.support.roles import NOON, MemorySteps, assignment

SPEC = OperationSpec(name="smoke", target="api@prod", host="vm1", version="1.0", command=["smoke"], address="h:80")


def unpinned() -> NodeTrust:
    return NodeTrust(None, MemorySteps(), SimClock())


class Recorder:
    """An operation driver that counts."""

    def __init__(self) -> None:
        self.runs: list[dict[str, str]] = []
        self.outcome = Outcome("passed", "well", ["line"])
        self.defect: Exception | None = None

    def run(self, spec: OperationSpec, values: dict[str, str]) -> Outcome:
        self.runs.append(values)
        if self.defect:
            raise self.defect
        return self.outcome


class Runner:
    """A runner's role; operations take a second."""

    def __init__(self, concurrency: int = 8) -> None:
        self.clock = SimClock()
        self.steps = MemorySteps()
        self.driver = Recorder()
        self.concurrency = concurrency
        self.serial = 0
        self.restart()

    def restart(self) -> None:
        """The agent was killed and started again."""
        self.executor = SimExecutor(self.clock, lambda: 1.0)
        drivers = dict.fromkeys(("exec", "http", "migration"), self.driver)
        self.role = RunnerRole(
            RunnerPorts(drivers, self.executor, self.concurrency, self.steps, self.clock, lambda: None, unpinned())
        )

    def ask(self, *identities: str, expired: bool = False) -> Observed:
        self.serial += 1
        expires = NOON + timedelta(hours=-1 if expired else 1)
        asked = assignment(self.serial, operations=dict.fromkeys(identities, SPEC), expires=expires)
        return self.role.converge(asked, NOON)

    def pass_time(self, seconds: float = 1.0) -> None:
        self.clock.advance(seconds)
        self.executor.run_due()


@pytest.fixture
def runner() -> Runner:
    return Runner()


def told(seen: Observed, identity: str = "one") -> OperationReport:
    return seen.operations[identity]


def test_an_operation_runs_once_and_its_result_is_kept(runner: Runner) -> None:
    assert told(runner.ask("one")).state == "running"
    runner.pass_time()
    seen = told(runner.ask("one"))
    assert (seen.state, seen.outcome, seen.message, seen.log_tail) == ("finished", "passed", "well", ["line"])
    assert seen.seconds == pytest.approx(1.0)
    assert seen.read.serial == 2
    runner.ask("one")
    runner.restart()
    assert told(runner.ask("one")).outcome == "passed"
    assert runner.driver.runs == [{"url": "http://h:80", "host": "vm1", "version": "1.0"}]


def test_a_result_is_forgotten_once_nobody_asks_for_it(runner: Runner) -> None:
    runner.ask("one")
    runner.pass_time()
    runner.ask("one")
    assert runner.ask().operations == {}
    assert runner.steps.load() == {}


def test_what_ran_when_the_runner_ended_is_inconclusive(runner: Runner) -> None:
    runner.ask("one")
    runner.restart()
    seen = told(runner.ask("one"))
    assert (seen.state, seen.outcome) == ("finished", "inconclusive")
    assert "restarted" in seen.message
    assert runner.driver.runs == []


def test_a_migration_that_ran_when_the_runner_ended_is_taken_up_again(runner: Runner) -> None:
    """Its driver asks the check first; another's outcome would be lost."""
    spec = SPEC.model_copy(update={"migration": Migrating(phase="expand", check=["check"], lock="api")})
    asked = {"one": spec}
    runner.role.converge(assignment(1, operations=asked), NOON)
    runner.restart()
    seen = runner.role.converge(assignment(1, operations=asked), NOON)
    assert told(seen).state == "running"
    runner.pass_time()
    assert told(runner.role.converge(assignment(1, operations=asked), NOON)).outcome == "passed"
    runner.restart()
    late = assignment(1, operations={"two": spec}, expires=NOON - timedelta(hours=1))
    assert told(runner.role.converge(late, NOON), "two").state == "expired"


def test_a_start_is_journaled_before_it_happens(runner: Runner) -> None:
    seen: list[object] = []
    submit = runner.executor.submit
    runner.executor.submit = lambda *args: seen.append(runner.steps.load()) or submit(*args)  # type: ignore
    runner.ask("one")
    assert seen == [{"one": {"state": "running"}}]


def test_nothing_is_started_by_an_expired_assignment(runner: Runner) -> None:
    assert told(runner.ask("one", expired=True)).state == "expired", "so that a newer assignment is sent"
    runner.pass_time()
    assert runner.driver.runs == []
    assert told(runner.ask("one")).state == "running"


def test_a_runner_that_stood_still_before_the_start_starts_nothing(
    runner: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the look at the clock and the start lies the writing of the journal; the machine was frozen there."""
    save = runner.steps.save

    def for_a_day(steps: dict[str, Any]) -> None:
        save(steps)
        runner.clock.advance(48 * 3600.0)

    monkeypatch.setattr(runner.steps, "save", for_a_day)
    said = told(runner.ask("one"))
    runner.pass_time()
    assert runner.driver.runs == []
    assert (said.outcome, said.message) == ("inconclusive", "the assignment expired before it began")


def test_no_more_run_at_once_than_allowed() -> None:
    runner = Runner(concurrency=2)
    assert runner.ask("a", "b", "c").operations.keys() == {"a", "b"}
    runner.pass_time()
    seen = runner.ask("a", "b", "c")
    assert [told(seen, name).state for name in "abc"] == ["finished", "finished", "running"]


def test_a_result_that_could_not_be_journaled_is_not_lost(runner: Runner) -> None:
    runner.ask("one")
    runner.pass_time()
    save = runner.steps.save

    def full(steps: object) -> None:
        raise OSError("no space")

    runner.steps.save = full  # type: ignore[method-assign]
    with pytest.raises(OSError, match="no space"):
        runner.ask("one")
    runner.steps.save = save  # type: ignore[method-assign]
    assert told(runner.ask("one")).outcome == "passed"


def test_a_drivers_defect_proves_nothing(runner: Runner) -> None:
    runner.driver.defect = RuntimeError("oops")
    runner.ask("one")
    runner.pass_time()
    seen = told(runner.ask("one"))
    assert (seen.outcome, "oops" in seen.message) == ("inconclusive", True)


def test_the_end_of_an_operation_wakes_the_core() -> None:
    woken: list[bool] = []
    with ThreadPoolExecutor(1) as executor:
        wake = lambda: woken.append(True)  # noqa: E731
        ports = RunnerPorts({"exec": Recorder()}, executor, 1, MemorySteps(), SimClock(), wake, unpinned())
        RunnerRole(ports).converge(assignment(1, operations={"one": SPEC}), NOON)
    assert woken

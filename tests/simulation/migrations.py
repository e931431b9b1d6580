"""Databases behind the simulated services: migrations that take effect, and runners that die around that moment."""

from collections.abc import Mapping, Sequence
from random import Random

from agent.drivers.contracts import Outcome
from agent.drivers.operations.exec import Commands, Ended
from agent.drivers.operations.migration import Driver
from crds.messages import OperationSpec, ProcessIdentity
from tests.simulation.checkers import Checkers
from tests.simulation.faults import Faults


class AgentDied(BaseException):
    """A runner's agent is killed while a command runs. No Exception, so that nothing survives it."""


class Database:
    """What has been migrated. Its commands are what the production driver runs."""

    def __init__(self, random: Random, checkers: Checkers) -> None:
        self.faults: Faults
        self._random, self._checkers = random, checkers

    def migrate(self, spec: OperationSpec, faults: Faults) -> Outcome:
        """A runner's whole operation: the production driver over commands that only exist here."""
        self.faults = faults
        return Driver(_Commands(self), lambda _seconds: None).run(spec, {"version": spec.version})

    def check(self, spec: OperationSpec) -> int:
        """Exit status of the check."""
        if self._random.random() < self.faults.unclear_check:
            return 2
        return 0 if self._checkers.is_migrated(spec.target, spec.version, spec.name) else 1

    def change(self, spec: OperationSpec) -> None:
        """The command's effect. The agent may die before it or after it; nobody is told."""
        died = self._random.random()
        if died < self.faults.died_migrating / 2:
            raise AgentDied
        assert spec.migration is not None
        self._checkers.migrated(spec.target, spec.version, spec.name, spec.migration.phase)
        if died < self.faults.died_migrating:
            raise AgentDied


class _Commands(Commands):
    def __init__(self, database: Database) -> None:
        self._database = database

    def execute(
        self, spec: OperationSpec, command: Sequence[str], timeout: float, values: Mapping[str, str]
    ) -> Ended | Outcome:
        assert spec.migration is not None
        if list(command) == spec.migration.check:
            status = self._database.check(spec)
            return Ended(status, f"check: exit status {status}", [])
        self._database.change(spec)
        return Ended(0, "migrate: exit status 0", [])

    def left_behind(self, lock: str, target: str) -> list[ProcessIdentity]:
        return []

    def end(self, lock: str, target: str) -> None: ...

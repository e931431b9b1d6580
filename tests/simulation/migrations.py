"""Databases behind the simulated services: migrations that take effect, and runners that die around that moment."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from agent.drivers.contracts import Outcome
from agent.drivers.operations.exec import Commands, Ended
from agent.drivers.operations.migration import Driver
from crds.messages import OperationSpec, ProcessIdentity
from tests.simulation.mortality import AgentDied

if TYPE_CHECKING:
    from tests.simulation.simulator import Simulation


class Database:
    """What has been migrated. Its commands are what the production driver runs."""

    def __init__(self, simulation: "Simulation") -> None:
        self._simulation = simulation

    def migrate(self, spec: OperationSpec) -> Outcome:
        """A runner's whole operation: the production driver over commands that only exist here. Raises AgentDied."""
        return Driver(_Commands(self), lambda _seconds: None).run(spec, {"version": spec.version})

    def check(self, spec: OperationSpec) -> int:
        """Exit status of the check."""
        simulation = self._simulation
        if simulation.dice("unclear_check").random() < simulation.faults.unclear_check:
            return 2
        return 0 if simulation.checkers.migrations.is_made(spec.target, spec.version, spec.name) else 1

    def change(self, spec: OperationSpec) -> None:
        """The command's effect. The agent may die before it or after it; nobody is told."""
        simulation = self._simulation
        died, often = simulation.dice("died_migrating").random(), simulation.faults.died_migrating
        if died < often / 2:
            raise AgentDied
        simulation.checkers.migrations.made(spec)
        if died < often:
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

"""What is rolled out, and what its gates find: commits good and bad, artifacts, verdicts."""

from typing import TYPE_CHECKING

from agent.drivers.contracts import Outcome
from controller.mailbox import SourceFailed
from crds.messages import OperationSpec
from tests.simulation.migrations import Database
from tests.simulation.mortality import WRONG, Artifacts
from tests.simulation.nodes import CRASHES, HostNode

if TYPE_CHECKING:
    from tests.simulation.simulator import Simulation

BAD = "-bad"
"""Ends the version of a release whose gates fail."""


class Releases:
    """The state repository, the server of artifacts, and what runners find."""

    def __init__(self, simulation: "Simulation") -> None:
        self._simulation = simulation
        self.artifacts = Artifacts()
        self._database = Database(simulation)

    def commit(self, ending: str = "") -> None:
        """Put the next version of every service into the state repository."""
        simulation = self._simulation
        simulation.outcomes.commits += 1
        version = f"{simulation.outcomes.commits}{ending}"
        simulation.note(f"commit version {version}")
        simulation.controller.commit(version)

    def random_commit(self) -> None:
        """Any commit: good, bad in some way, refused, or a branch put back."""
        simulation, faults = self._simulation, self._simulation.faults
        dice = {kind: simulation.dice(kind).random() for kind in _KINDS}
        heads = simulation.controller.heads
        if dice["bad_commit"] < faults.bad_commit:
            simulation.note("a commit is refused")
            simulation.controller.refuse(f"refused-{simulation.outcomes.commits}")
        elif dice["forced"] < faults.forced and len(heads) > 1:
            head = simulation.dice("forced").choice(heads[:-1])
            simulation.note(f"the branch is put back to {head.revision}")
            simulation.controller.force(head)
        else:
            endings = {"bad_release": BAD, "crash_loop": CRASHES, "wrong_artifact": WRONG}
            self.commit(next((end for kind, end in endings.items() if dice[kind] < getattr(faults, kind)), ""))

    def lose_git(self) -> None:
        """The repository cannot be read for a while; what is in force stays so."""
        self._simulation.note("git cannot be reached")
        self._simulation.controller.tell(SourceFailed("planted: git does not answer"))

    def lose_artifacts(self) -> None:
        """Nothing can be fetched for a while."""
        if not self.artifacts.down:
            simulation = self._simulation
            simulation.note("the server of artifacts is down")
            self.artifacts.down = True
            simulation.at(simulation.dice("artifacts_down").uniform(5.0, 120.0), self.find_artifacts)

    def find_artifacts(self) -> None:
        """The server of artifacts answers."""
        self.artifacts.down = False

    def gate(self, spec: OperationSpec) -> Outcome:
        """What a runner finds."""
        simulation, faults = self._simulation, self._simulation.faults
        if spec.migration is not None:
            return self._database.migrate(spec)
        if simulation.dice("inconclusive").random() < faults.inconclusive:
            return Outcome("inconclusive", "planted: no proof")
        if simulation.dice("flapping").random() < faults.flapping:
            return Outcome("failed", "planted: it fails now and then")
        host, digest = spec.host or "", simulation.digest(spec.host or "", spec.target)
        node = simulation.nodes[host]
        assert isinstance(node, HostNode)
        if spec.target in node.orphans:
            return Outcome("failed", "planted: an old process answers")
        if spec.version.endswith(BAD) or digest is None:
            return Outcome("failed", f"planted: version {spec.version} is bad")
        simulation.checkers.gates_passed(spec.target, host, digest)
        return Outcome("passed")


_KINDS = ("bad_commit", "forced", "bad_release", "crash_loop", "wrong_artifact")

"""Checkers: each promise of docs/INVARIANTS.md that a run can break is looked at when something happens.

They look at the truth (what balancers and processes really are, what arrived, what is on disk), and where they must
take the controller's word, at its records, never at the code that decides.
"""

from datetime import datetime

from controller.deciding import Deciding
from crds.messages import Assignment
from tests.simulation.checkers.acts import Acts
from tests.simulation.checkers.decisions import Decisions
from tests.simulation.checkers.ending import ended
from tests.simulation.checkers.freezes import Freezes
from tests.simulation.checkers.migrations import Migrations
from tests.simulation.checkers.orders import Orders
from tests.simulation.checkers.quarantine import Quarantines
from tests.simulation.checkers.record import Record, same_as_stored
from tests.simulation.checkers.truth import PromiseBroken, Truth

__all__ = ["Checkers", "PromiseBroken", "Truth"]


class Checkers:
    """What the simulator calls; whatever does not hold raises PromiseBroken."""

    def __init__(self, truth: Truth) -> None:
        self.truth = truth
        self.orders = Orders(truth)
        self.acts = Acts(truth, self.orders)
        self.decisions = Decisions(truth, self.acts)
        self.migrations, self.quarantines = Migrations(truth), Quarantines()
        self.freezes = Freezes(truth)
        self.record = Record()

    # --- acts, before they happen (see nodes.Witness)

    def taken_out(self, node: str, pool_name: str, server: str) -> None:
        """A balancer's agent is about to take a server out."""
        self.acts.taken_out(node, pool_name, server)

    def let_in(self, node: str, pool_name: str, server: str) -> None:
        """A balancer's agent is about to make a server ready."""
        self.acts.let_in(node, pool_name, server)

    def replaced(self, host: str, target: str) -> None:
        """A host's agent is about to replace or stop a process."""
        self.acts.replaced(host, target)

    def deployed(self, host: str, target: str, version: str) -> None:
        """A host's agent is about to start that release in place of another."""
        self.migrations.deployed(host, target, version)

    def took(self, node: str) -> None:
        """A node's agent has made a step."""
        self.orders.took(node)

    # --- what happened

    def gates_passed(self, target: str, host: str, digest: str) -> None:
        """A gate passed there, against that release."""
        self.acts.passed.setdefault((target, host), set()).add(digest)

    def forget(self, node: str) -> None:
        """The node's journal was brought back from an older copy, or is lost."""
        self.orders.forget(node)

    def heard(self, node: str) -> None:
        """The controller was brought something from the node."""
        self.decisions.heard(node)

    def store_restored(self) -> None:
        """The store was brought back from an older copy: of what was written to it since, nobody can know."""
        self.record, self.quarantines = Record(), Quarantines()
        self.decisions.store_restored()

    # --- the controller

    def began(self, deciding: Deciding) -> None:
        """A controller has taken over."""
        self.record.check(deciding.store)
        self.decisions.began(deciding)
        self.freezes.began(deciding.world)

    def sealed(self, deciding: Deciding, assignment: Assignment, envelope: bytes) -> None:
        """A controller has signed an assignment, and may publish it."""
        self.orders.sealed(deciding.world, assignment, envelope)

    def decided(self, deciding: Deciding, good: dict[str, dict[str, str]], now: datetime) -> None:
        """A controller has finished a step. ``good``: what each commit says, version by service; ``now``: its time."""
        self.decisions.decided(deciding, good)
        self.freezes.decided(deciding, now)
        self.migrations.decided(deciding.world)
        self.quarantines.check(deciding.world)

    def ended(self, deciding: Deciding) -> None:
        """Faults have stopped, everything has converged, and all that was late has arrived."""
        self.record.check(deciding.store)
        self.record.tamper(deciding.store)
        same_as_stored(deciding.store, deciding.world)
        for target, status in sorted(deciding.world.statuses.items()):
            self.decisions.succeeded(target, status)
        ended(self.truth, deciding)

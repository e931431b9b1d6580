"""Revisions: which commit is in force, which one was refused, and what that makes of the targets."""

from datetime import datetime

import structlog

from controller.mailbox import RevisionRead
from controller.metrics import Metrics
from controller.queue import Queue
from controller.saving import Saving
from controller.store import Revision
from controller.world import World
from crds.desired import DesiredState
from reconcilers.conditions import set_condition
from reconcilers.target import TargetSpec, targets_of
from reconcilers.writes import PutStatus


class Revisions:
    """What is known of the state repository. Raises StoreError and Fenced wherever it writes."""

    def __init__(
        self,
        world: World,
        saving: Saving,
        queue: Queue,
        metrics: Metrics,
        in_force: Revision | None,
        refused: Revision | None,
    ) -> None:
        self.in_force, self.refused, self.source_error = in_force, refused, ""
        self.state: DesiredState | None = None
        """What is in force, once it was read since this start."""
        self._world, self._saving, self._queue, self._metrics = world, saving, queue, metrics
        self._log = structlog.get_logger("controller.deciding")

    def read(self, read: RevisionRead, now: datetime) -> None:
        """Put a commit in force whole, or note why it is refused."""
        self.source_error = self.source_error if read.resumed else ""
        if read.state is None:
            self._refuse(read, now)
            return
        if not read.resumed:
            self._accept(read, now)
        self.state = read.state
        self._put_in_force(targets_of(read.state), now)

    def _refuse(self, read: RevisionRead, now: datetime) -> None:
        if self.refused is None or (self.refused.id, self.refused.problems) != (read.revision, read.problems):
            self.refused = Revision(id=read.revision, state="refused", at=now, problems=read.problems)
            self._saving.tx().put_revision(self.refused)
            problems = "; ".join(read.problems[:3])
            self._saving.event("RevisionRefused", "state", "BadInput", problems, now, read.revision)
            self._log.error("revision.refused", revision=read.revision, problems=read.problems)
        self._metrics.revision_refused.set(1)

    def _accept(self, read: RevisionRead, now: datetime) -> None:
        if self.in_force is None or self.in_force.id != read.revision or self.refused is not None:
            self.in_force = Revision(id=read.revision, state="accepted", at=now, problems=[])
            self._saving.tx().put_revision(self.in_force)
            who = f"{read.author}: {read.subject}" if read.author else read.subject
            who = f"signed by {read.signer}; {who}" if read.signer else who
            self._saving.event("RevisionAccepted", "state", "Applied", who, now, read.revision)
            self._log.info("revision.accepted", revision=read.revision, subject=read.subject, signer=read.signer)
        self.refused = None
        self._metrics.revision_refused.set(0)

    def _put_in_force(self, specs: dict[str, TargetSpec], now: datetime) -> None:
        orphans = {target for target in self._world.statuses if target not in specs}
        for target in sorted(self._world.specs.keys() - specs.keys() | orphans):
            self._orphan(target, now)
        self._world.set_specs(specs, now)

    def _orphan(self, target: str, now: datetime) -> None:
        """Nothing declares the target any more: that removes nothing, and it says so."""
        self._queue.wake(target, None)
        before = self._world.statuses.get(target)
        if before is None:
            return
        message = "its version file is gone; bring it back, or write state: absent to remove the service"
        after = set_condition(before, "Stalled", "True", "Orphaned", message, now)
        if after != before:
            self._saving.save(target, [PutStatus(after)], now)

    def source_failed(self, message: str) -> None:
        """The repository cannot be read."""
        self._metrics.source_errors_total.inc()
        if self.source_error != message:
            self._log.error("source.failed", error=message)
        self.source_error = message

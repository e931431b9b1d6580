"""Relations: which target looks at which, and on which targets the rollouts of a revision have failed."""

from collections import defaultdict
from collections.abc import Collection, Mapping

from crds.status import RolloutStatus
from reconcilers.order import has_failed, signal
from reconcilers.target import TargetSpec


class Relations:
    """Kept step by step: what a changed status costs does not depend on how many targets there are."""

    def __init__(self, statuses: Mapping[str, RolloutStatus]) -> None:
        self._watchers: dict[str, set[str]] = {}
        """By target: those that wait for something about it."""
        self._halting: set[str] = set()
        """Targets that stop when others fail."""
        self._failed: dict[str, set[str]] = defaultdict(set)
        """By revision."""
        for target, status in statuses.items():
            if has_failed(status):
                self._failed[status.rollout_revision].add(target)

    def set_specs(self, specs: Mapping[str, TargetSpec]) -> None:
        """Put a revision in force."""
        self._watchers = defaultdict(set)
        self._halting = {name for name, spec in specs.items() if spec.halt_after is not None}
        for target, spec in specs.items():
            for name in (*spec.depends_on, *spec.earlier, *([spec.after[0]] if spec.after else ())):
                self._watchers[name].add(target)

    def failed(self, revision: str) -> Collection[str]:
        """Targets on which the rollout that the revision began has failed."""
        return self._failed.get(revision, ())

    def changed(self, target: str, before: RolloutStatus | None, after: RolloutStatus) -> set[str]:
        """Take in a target's new status; says which others to plan because of it."""
        if signal(before) == signal(after):
            return set()
        if before is not None and has_failed(before):
            self._failed[before.rollout_revision].discard(target)
        if has_failed(after):
            self._failed[after.rollout_revision].add(target)
        halted = self._halting if (before is not None and has_failed(before)) != has_failed(after) else set()
        return self._watchers.get(target, set()) | halted

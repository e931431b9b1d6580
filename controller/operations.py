"""Operations as the world knows them: by target, by id, and who holds which lock."""

from collections import defaultdict
from collections.abc import Iterator, Mapping

from crds.messages import Report
from crds.status import Operation, RolloutStatus


class Operations:
    """Kept step by step; only the deciding thread touches it."""

    def __init__(self) -> None:
        self.by_target: dict[str, dict[str, Operation]] = defaultdict(dict)
        self._by_id: dict[str, Operation] = {}
        """Also those of targets that nothing declares any more."""
        self._locks: dict[str, dict[str, Operation]] = defaultdict(dict)

    def of(self, target: str) -> dict[str, Operation]:
        """The target's operations by id."""
        return self.by_target[target]

    def locks(self, target: str) -> Mapping[str, Operation]:
        """Migrations that were requested on the target's fleet and have not ended, by their lock."""
        return self._locks[_fleet(target)]

    def put(self, operation: Operation) -> bool:
        """Add or replace it; whether that lets go of a lock."""
        self.by_target[operation.target][operation.id] = self._by_id[operation.id] = operation
        migration, result = operation.spec.migration, operation.result
        if migration is None:
            return False
        if result is None or result.outcome is None:
            self._locks[_fleet(operation.target)][migration.lock] = operation
            return False
        return self._unlock(operation)

    def drop(self, identity: str) -> bool:
        """Forget it; whether that lets go of a lock."""
        dropped = self._by_id.pop(identity, None)
        if dropped is None:
            return False
        self.by_target[dropped.target].pop(identity, None)
        return self._unlock(dropped)

    def fold(self, report: Report) -> Iterator[Operation]:
        """Operations of which the report of their own runner says something new; a result counts once."""
        for identity, result in sorted(report.operations.items()):
            operation = self._by_id.get(identity)
            if operation is None or operation.node != report.node or operation.result == result:
                continue
            if operation.result is None or operation.result.outcome is None:
                yield operation.model_copy(update={"result": result})

    def _unlock(self, operation: Operation) -> bool:
        fleet, migration = _fleet(operation.target), operation.spec.migration
        held = self._locks[fleet].get(migration.lock) if migration else None
        if migration is None or held is None or held.id != operation.id:
            return False
        del self._locks[fleet][migration.lock]
        return True


def _fleet(target: str) -> str:
    return target.rpartition("@")[2]


def waits_in(status: RolloutStatus, fleet: str) -> bool:
    """Whether a target of the fleet has a task that waits, perhaps for a lock."""
    return _fleet(status.target) == fleet and any(task.state == "waiting" for task in status.tasks)

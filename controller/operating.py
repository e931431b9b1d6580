"""Operating: operators' commands, carried out by the deciding thread and answered once they are on disk."""

from concurrent.futures import Future
from datetime import datetime

from controller.mailbox import Commanded
from controller.metrics import Metrics
from controller.saving import Saving
from controller.views.errors import NotFound
from controller.world import World
from reconcilers.operators import Case, Decision, Refused, decide


class Operating:
    """Raises StoreError and Fenced wherever it writes."""

    def __init__(self, world: World, saving: Saving, metrics: Metrics) -> None:
        self._world, self._saving, self._metrics = world, saving, metrics
        self._answers: list[tuple[Future[str], str | Exception]] = []

    def obey(self, asked: Commanded, now: datetime) -> None:
        """Carry out a command, unless nobody waits for it any more: whoever gave up may have changed his mind."""
        if not asked.answer.set_running_or_notify_cancel():
            return
        try:
            decision = self._decided(asked, now)
        except Exception as error:  # noqa: BLE001 - it is the asker's to handle, in the asker's thread
            refused = isinstance(error, Refused | NotFound)
            self._metrics.commands_total.labels(asked.verb, "refused" if refused else "failed").inc()
            self._answers.append((asked.answer, error))
            return
        self._saving.save(asked.object, decision.writes, now)
        self._metrics.commands_total.labels(asked.verb, "done").inc()
        self._answers.append((asked.answer, decision.message))

    def _decided(self, asked: Commanded, now: datetime) -> Decision:
        if asked.verb == "exclude" or asked.verb == "include":  # noqa: PLR1714 - a type checker follows this
            raise Refused("not yet")
        target = self._known_target(asked.object)
        observed = self._world.observed(target)
        # What was new counts as seen now, but it was not planned for yet.
        self._world.look_at_all(target)
        return decide(asked.verb, Case(asked.command, self._world.specs[target], observed, now))

    def _known_target(self, name: str) -> str:
        if name in self._world.specs:
            return name
        if name in self._world.statuses:
            raise Refused(f"no revision in force declares {name}; bring its version file back first")
        raise NotFound("target", name, sorted(self._world.specs))

    def answer(self) -> None:
        """Tell everybody who asked what came of it; called when it is on disk."""
        for future, outcome in self._answers:
            if isinstance(outcome, Exception):
                future.set_exception(outcome)
            else:
                future.set_result(outcome)
        self._answers.clear()

"""Operating: operators' commands, carried out by the deciding thread and answered once they are on disk."""

from collections.abc import Sequence
from concurrent.futures import Future
from datetime import datetime

from controller.mailbox import Commanded
from controller.metrics import Metrics
from controller.saving import Saving
from controller.views.errors import NotFound
from controller.world import World
from reconcilers.exclusions import NodeCase, exclude, include, over, taken_out_again
from reconcilers.marks import is_over
from reconcilers.operators import Case, Decision, Refused, decide
from reconcilers.writes import DropExclusion, Write


class Operating:
    """Raises StoreError and Fenced wherever it writes."""

    def __init__(self, world: World, saving: Saving, metrics: Metrics) -> None:
        self._world, self._saving, self._metrics = world, saving, metrics
        self._answers: list[tuple[Future[str], str | Exception]] = []
        metrics.nodes_excluded.set(len(world.exclusions))

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
        self._save(asked.object, decision.writes, now)
        self._metrics.commands_total.labels(asked.verb, "done").inc()
        self._answers.append((asked.answer, decision.message))

    def _decided(self, asked: Commanded, now: datetime) -> Decision:
        if asked.verb == "exclude":
            return exclude(self._node_case(asked, now))
        if asked.verb == "include":
            return include(self._node_case(asked, now))
        target = self._known_target(asked.object)
        observed = self._world.observed(target)
        # What was new counts as seen now, but it was not planned for yet.
        self._world.look_at_all(target)
        return decide(asked.verb, Case(asked.command, self._world.specs[target], observed, now))

    def _node_case(self, asked: Commanded, now: datetime) -> NodeCase:
        targets, name = self._world.declared.values(), asked.object
        known = {
            node for spec in targets for node in (*spec.hosts, *spec.balancer_nodes)
        } | self._world.exclusions.keys()
        if name not in known:
            if any(name in spec.runners for spec in targets):
                raise Refused(f"{name} is a runner; only hosts and balancer nodes are excluded. Stop its agent instead")
            raise NotFound("node", name, sorted(known))
        return NodeCase(asked.command, name, targets, self._world.exclusions, now)

    def lift(self, now: datetime) -> None:
        """Include again what was excluded until now."""
        for node, mark in sorted(self._world.exclusions.items()):
            if is_over(mark, now):
                self._save(node, over(node, mark), now)

    def next_end(self) -> datetime | None:
        """When the next exclusion lifts itself."""
        return min((mark.until for mark in self._world.exclusions.values() if mark.until), default=None)

    def _save(self, about: str, writes: Sequence[Write], now: datetime) -> None:
        self._saving.save(about, writes, now)
        for node in [write.node for write in writes if isinstance(write, DropExclusion)]:
            self._ask_again(node, now)
        self._metrics.nodes_excluded.set(len(self._world.exclusions))

    def _ask_again(self, node: str, now: datetime) -> None:
        """Of targets that nothing declares now, too: they may be declared again with hosts on their way."""
        for target, journeys in self._world.journeys.items():
            spec = self._world.specs.get(target)
            if spec is None or node in spec.balancer_nodes:
                self._saving.save(target, taken_out_again(target, journeys.values(), now), now)

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

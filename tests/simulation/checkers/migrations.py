"""Checker of promise 20: each migration takes effect once, expand before any host, contract after the last one."""

from collections.abc import Iterator

from controller.world import World
from crds.messages import OperationSpec
from crds.status import Operation, Step
from tests.simulation.checkers.truth import PromiseBroken, Truth


class Migrations:
    """What has been migrated."""

    def __init__(self, truth: Truth) -> None:
        self._truth = truth
        self._made: set[tuple[str, str, str]] = set()
        """(target, version, migration) that have taken effect."""

    def is_made(self, target: str, version: str, name: str) -> bool:
        """The truth: whether a migration has taken effect."""
        return (target, version, name) in self._made

    def made(self, spec: OperationSpec) -> None:
        """A migration takes effect: for the first time, and a contract where no host runs anything older."""
        target, version, name = spec.target, spec.version, spec.name
        if self.is_made(target, version, name):
            raise PromiseBroken(20, f"{name} of {target} {version} takes effect a second time")
        running = {host: self._truth.version(host, target) for host in self._truth.names}
        older = {host: runs for host, runs in running.items() if runs not in (None, version)}
        if spec.migration is not None and spec.migration.phase == "contract" and older:
            raise PromiseBroken(20, f"{name} of {target} {version} takes effect while hosts run {older}")
        self._made.add((target, version, name))

    def deployed(self, host: str, target: str, version: str) -> None:
        """A host gets a release: it was migrated for."""
        if not self.is_made(target, version, "expand"):
            raise PromiseBroken(20, f"{host} gets {target} {version}, for which nothing was migrated")

    def decided(self, world: World) -> None:
        """No host is taken out for a release that was not migrated for; no two migrations run under one lock."""
        for target, journeys in world.journeys.items():
            status = world.statuses[target]
            chosen = [each for each in journeys.values() if status.started and each.begun > status.started]
            out = [each.host for each in chosen if each.step is Step.DRAINING and each.digest == status.digest]
            if out and not self.is_made(target, status.version, "expand"):
                raise PromiseBroken(20, f"{out} are taken out for {target} {status.version} before expand")
        if len(under_way := list(_under_way(world))) > 1:
            raise PromiseBroken(20, f"{[(each.target, each.spec.name) for each in under_way]} run under one lock")


def _under_way(world: World) -> Iterator[Operation]:
    """Migrations that were requested, and of whose end nothing is known."""
    for kept in world.operations.by_target.values():
        for each in kept.values():
            if each.spec.migration is not None and (each.result is None or each.result.outcome is None):
                yield each

"""The end: once faults have stopped and all is told, every run has come to the same state as one without faults."""

from controller.deciding import Deciding
from crds.messages import ServiceAssignment
from reconcilers.fragments import Entry
from tests.simulation.checkers.truth import PromiseBroken, Truth
from tests.simulation.desired import pool


def ended(truth: Truth, deciding: Deciding) -> None:
    """Promise 7: nothing is left of whatever happened, in the world, on balancers, or on hosts."""
    _hosts_are_alike(truth, deciding)
    world = deciding.world
    left = {
        "journeys": {target: sorted(hosts) for target, hosts in world.journeys.items() if hosts},
        "operations": sorted(_operations(deciding)),
        "entries": [
            (node, key)
            for node, targets in world.entries.items()
            for asked in targets.values()
            for key in asked
            if not key.startswith(("pool/", "service"))
        ],
    }
    for what, names in left.items():
        if names:
            raise PromiseBroken(7, f"of all that happened these {what} are left: {names}")
    for node in sorted(world.entries):
        if truth.journal(node).stamp.serial != world.serials[node]:
            raise PromiseBroken(7, f"{node} has not taken what is asked of it: {truth.journal(node).stamp}")


def _operations(deciding: Deciding) -> set[str]:
    """Those that no record of a task names: what came of migrations can be read until the next release."""
    world = deciding.world
    named = {task.operation for status in world.statuses.values() for task in status.tasks}
    return {identity for kept in world.operations.by_target.values() for identity in kept} - named


def _hosts_are_alike(truth: Truth, deciding: Deciding) -> None:
    for service in truth.services:
        target = f"{service}@prod"
        spec = deciding.world.specs[target]
        for host in truth.names:
            _asks_for_one_release(deciding.world.entries[host][target]["service"], spec.digest, f"{host} of {target}")
            if truth.digest(host, target) != spec.digest or not truth.serves(service, host):
                raise PromiseBroken(7, f"{host} of {target} ends with {truth.digest(host, target)}, or out of a pool")
            for node in truth.balancers:
                tested = truth.server(node, pool(service, "tests"), host)
                if tested is None or tested.admin != "maint":
                    raise PromiseBroken(7, f"{host} ends in the maintenance pool of {target} on {node}")


def _asks_for_one_release(entry: Entry, digest: str, whom: str) -> None:
    asked = ServiceAssignment.model_validate_json(entry.value)
    if asked.release is None or asked.release.digest != digest or asked.next is not None:
        raise PromiseBroken(7, f"{whom} is asked for something else in the end: {entry.value}")

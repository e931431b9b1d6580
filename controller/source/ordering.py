"""Checks of what waits for what: names that must be there, and circles in which nobody would ever begin."""

from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from itertools import pairwise

from controller.source.collection import Collection, Deployed
from controller.source.fields import near
from controller.source.problems import FieldPath, Problem


def order_problems(collection: Collection) -> Iterator[Problem]:
    """Everything about ``dependsOn``, ``wave`` and ``after``."""
    deployed = {each.target: each for each in collection.deployed()}
    for each in deployed.values():
        for number, name in enumerate(each.spec.depends_on):
            yield from _dependency(each, ("dependsOn", number), name, collection, deployed)
        if each.spec.after is not None:
            yield from _before(each, each.spec.after.fleet, collection, deployed)
    yield from _circle(deployed)


def _dependency(
    each: Deployed, path: FieldPath, name: str, collection: Collection, deployed: dict[str, Deployed]
) -> Iterator[Problem]:
    if name not in collection.services:
        meant = near(name, collection.services)
        hint = f"did you mean {meant}?" if meant else f"add services/{name}.yaml, or remove this line"
        yield each.problem(path, f"there is no service {name}", hint)
    else:
        yield from _absent(each, path, f"{name}@{each.fleet_name}", collection, deployed)


def _before(each: Deployed, fleet: str, collection: Collection, deployed: dict[str, Deployed]) -> Iterator[Problem]:
    path: FieldPath = ("after", "fleet")
    if fleet not in collection.fleets:
        meant = near(fleet, collection.fleets)
        hint = f"did you mean {meant}?" if meant else f"add fleets/{fleet}.yaml, or remove after"
        yield each.problem(path, f"there is no fleet {fleet}", hint)
    elif fleet == each.fleet_name:
        hint = f"write after below fleets of the fleet that comes later, not for {fleet} itself"
        yield each.problem(path, f"{each.target} would wait for itself", hint)
    else:
        service = each.service.metadata.name
        yield from _absent(each, path, f"{service}@{fleet}", collection, deployed)


def _absent(
    each: Deployed, path: FieldPath, target: str, collection: Collection, deployed: dict[str, Deployed]
) -> Iterator[Problem]:
    service, _, fleet = target.partition("@")
    found = deployed.get(target)
    if found is None and (fleet, service) not in collection.versions:
        hint = f"add versions/{fleet}/{service}.yaml, or override this for fleet {each.fleet_name}"
        yield each.problem(path, f"{each.target} waits for {target}, which is not deployed", hint)
    elif found is not None and found.version.state == "absent" and each.version.state == "present":
        hint = "remove this line, or keep the service"
        yield each.problem(path, f"{each.target} waits for {target}, which is to be removed", hint)


def _circle(deployed: dict[str, Deployed]) -> Iterator[Problem]:
    try:
        TopologicalSorter(_graph(deployed)).prepare()
    except CycleError as error:
        named = [name for name in reversed(error.args[1]) if name in deployed]
        if len(named) > 1 and named[0] != named[-1]:
            named.append(named[0])
        each = deployed[named[0]]
        path: FieldPath = ("dependsOn",) if each.spec.depends_on else ("after",) if each.spec.after else ("wave",)
        message = f"nobody would ever begin: {', which waits for '.join(named)}"
        yield each.problem(path, message, "take one of these out of dependsOn, wave or after")


def _graph(deployed: dict[str, Deployed]) -> dict[str, set[str]]:
    """What each target waits for. A wave waits for the one below it, so that the graph stays small."""
    graph: dict[str, set[str]] = {}
    waves: dict[str, set[int]] = {}
    for each in deployed.values():
        waves.setdefault(each.fleet_name, set()).add(each.spec.wave)
    for target, each in deployed.items():
        waits = graph.setdefault(target, set())
        waits |= {f"{name}@{each.fleet_name}" for name in each.spec.depends_on} & deployed.keys()
        if each.spec.after is not None and each.spec.after.fleet != each.fleet_name:
            waits |= {f"{each.service.metadata.name}@{each.spec.after.fleet}"} & deployed.keys()
        lower = [wave for wave in waves[each.fleet_name] if wave < each.spec.wave]
        if lower:
            waits.add(f"wave {max(lower)} of {each.fleet_name}")
        graph.setdefault(f"wave {each.spec.wave} of {each.fleet_name}", set()).add(target)
    for fleet, numbers in waves.items():
        ordered = sorted(numbers)
        for below, above in pairwise(ordered):
            graph[f"wave {above} of {fleet}"].add(f"wave {below} of {fleet}")
    return graph

"""Checks between files: names that must agree, and nodes that must be one machine's alone."""

from collections.abc import Iterable, Iterator

from controller.source.collection import Collection
from controller.source.fields import near
from controller.source.problems import FieldPath, Problem
from controller.source.validating import Loaded
from crds.fleet import Fleet
from crds.freeze import Freeze
from crds.loadbalancer import LoadBalancer
from crds.policy import Policy
from crds.service import Service


def name_problems(collection: Collection) -> Iterator[Problem]:
    """Everything about names that hold files together."""
    named = (collection.fleets, collection.services, collection.balancers, collection.policies, collection.freezes)
    for files in named:
        for loaded in files.values():
            yield from _differs_from_file(loaded, {other.place.name: other for other in files.values()})
    yield from _unknown_fleets(collection)
    yield from _unknown_services(collection)
    yield from _overrides_for_nobody(collection)
    yield from _fleets_of_policies(collection)
    yield from _frozen_names(collection)
    yield from _nodes_twice(collection)
    yield from _unknown_nodes(collection)


def _differs_from_file(loaded: Loaded, others: dict[str, Loaded]) -> Iterator[Problem]:
    if not isinstance(loaded.model, Fleet | Service | LoadBalancer | Policy | Freeze):
        return
    name, file = loaded.model.metadata.name, loaded.place
    if name == file.name:
        return
    hint = f"write name: {file.name}, or rename the file to {name}.yaml"
    if name in others:
        hint = f"write name: {file.name}; {others[name].place.path} has the name {name} already"
    yield loaded.document.problem(("metadata", "name"), f"{name} is not what the file is called", hint)


def _unknown_fleets(collection: Collection) -> Iterator[Problem]:
    for loaded in [*collection.balancers.values(), *collection.versions.values()]:
        fleet = loaded.place.fleet
        if fleet not in collection.fleets:
            hint = _meant(fleet, collection.fleets, f"add fleets/{fleet}.yaml, or move this file")
            yield Problem("error", loaded.place.path, f"there is no fleet {fleet}", hint, 1, 1)


def _unknown_services(collection: Collection) -> Iterator[Problem]:
    for loaded in collection.versions.values():
        service = loaded.place.name
        if service not in collection.services:
            hint = _meant(service, collection.services, f"add services/{service}.yaml, or remove this file")
            yield Problem("error", loaded.place.path, f"there is no service {service}", hint, 1, 1)


def _overrides_for_nobody(collection: Collection) -> Iterator[Problem]:
    for loaded in collection.services.values():
        if isinstance(loaded.model, Service):
            for fleet in loaded.model.spec.fleets:
                if fleet not in collection.fleets:
                    hint = _meant(fleet, collection.fleets, f"add fleets/{fleet}.yaml, or remove these lines")
                    path = ("spec", "fleets", fleet)
                    yield loaded.document.problem(path, f"there is no fleet {fleet}", hint, key=True)


def _fleets_of_policies(collection: Collection) -> Iterator[Problem]:
    """A fleet has one policy: of two, nobody could tell which counts."""
    seen: dict[str, Loaded] = {}
    for loaded in collection.policies.values():
        if not isinstance(loaded.model, Policy):
            continue
        for number, fleet in enumerate(loaded.model.spec.fleets):
            path, first = ("spec", "fleets", number), seen.setdefault(fleet, loaded)
            if fleet not in collection.fleets:
                hint = _meant(fleet, collection.fleets, f"add fleets/{fleet}.yaml, or remove this line")
                yield loaded.document.problem(path, f"there is no fleet {fleet}", hint)
            elif first is not loaded:
                message = f"fleet {fleet} already has a policy: {first.place.path}"
                yield loaded.document.problem(path, message, "remove the fleet from one of them")


def _frozen_names(collection: Collection) -> Iterator[Problem]:
    """A freeze of a name that nobody bears would freeze nothing, and nobody would notice in time."""
    for loaded in collection.freezes.values():
        if not isinstance(loaded.model, Freeze):
            continue
        spec = loaded.model.spec
        for field, names, known in (
            ("fleets", spec.fleets, collection.fleets),
            ("services", spec.services, collection.services),
        ):
            for number, name in enumerate(names):
                if name not in known:
                    hint = _meant(name, known, "remove it, or leave the whole list out to freeze all")
                    yield loaded.document.problem(("spec", field, number), f"there is no {field[:-1]} {name}", hint)


def _nodes_twice(collection: Collection) -> Iterator[Problem]:
    """A node's name is its agent's identity: one machine, in one fleet; it may have several roles there."""
    seen: dict[str, tuple[Loaded, FieldPath]] = {}
    for loaded in collection.fleets.values():
        for path, name in _nodes(loaded):
            first, at = seen.setdefault(name, (loaded, path))
            if first is not loaded:
                where = f"{first.place.path}:{first.document.place(at)[0]}"
                message = f"{name} is already in fleet {first.place.name} ({where})"
                yield loaded.document.problem(path, message, "a machine belongs to one fleet; remove one of them")
            elif at[:2] == path[:2] and at != path:
                line = loaded.document.place(at)[0]
                yield loaded.document.problem(path, f"{name} is already in line {line}", "remove one of them")


def _nodes(loaded: Loaded) -> Iterator[tuple[FieldPath, str]]:
    """Every node's name with its field."""
    if not isinstance(loaded.model, Fleet):
        return
    spec = loaded.model.spec
    roles = {
        "hosts": [host.name for host in spec.hosts],
        "balancers": [balancer.name for balancer in spec.balancers],
        "runners": [runner.name for runner in spec.runners],
    }
    for role, names in roles.items():
        for number, name in enumerate(names):
            yield ("spec", role, number, "name"), name


def _unknown_nodes(collection: Collection) -> Iterator[Problem]:
    for loaded in collection.balancers.values():
        fleet = collection.fleets.get(loaded.place.fleet)
        if not isinstance(loaded.model, LoadBalancer) or fleet is None or not isinstance(fleet.model, Fleet):
            continue
        known = [node.name for node in fleet.model.spec.balancers]
        nodes = loaded.model.spec.nodes
        for number, name in enumerate(nodes):
            path = ("spec", "nodes", number)
            if name not in known:
                hint = _meant(name, known, f"add it to spec.balancers in {fleet.place.path}")
                yield loaded.document.problem(path, f"{name} is no balancer of fleet {fleet.place.name}", hint)
            elif name in nodes[:number]:
                yield loaded.document.problem(path, f"{name} is named twice", "remove one of them")


def _meant(wrong: str, known: Iterable[str], otherwise: str) -> str:
    meant = near(wrong, known)
    return f"did you mean {meant}? Otherwise {otherwise}" if meant else otherwise

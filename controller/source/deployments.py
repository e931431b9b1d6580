"""Checks of each service on each fleet where it is deployed: pools, gates, hosts."""

from collections.abc import Iterator

from controller.source.budgets import never_moves
from controller.source.collection import Collection, Deployed
from controller.source.fields import near
from controller.source.placeholders import unknown_placeholders
from controller.source.problems import Problem
from controller.source.validating import Loaded
from crds.loadbalancer import LoadBalancer
from crds.service import PoolRef, Service


def deployment_problems(collection: Collection) -> Iterator[Problem]:
    """Errors and warnings of all targets."""
    for service in collection.services.values():
        yield from _placeholders(service)
    deployed = list(collection.deployed())
    for each in deployed:
        yield from _override_placeholders(each)
        yield from _profile(each, collection)
        yield from _pools(each, collection)
        if each.version.state == "present":
            yield from _runners(each)
            yield from _hosts(each)
            yield from never_moves(each)
    yield from _pools_twice(deployed)


def _placeholders(service: Loaded) -> Iterator[Problem]:
    if isinstance(service.model, Service):
        for path, message, hint in unknown_placeholders(service.model.spec):
            yield service.document.problem(("spec", *path), message, hint)


def _override_placeholders(each: Deployed) -> Iterator[Problem]:
    for path, message, hint in unknown_placeholders(each.spec):
        problem = each.problem(path, message, hint)
        if problem.field.startswith("spec.fleets."):
            yield problem


def _profile(each: Deployed, collection: Collection) -> Iterator[Problem]:
    profile, known, service = each.version.profile, each.spec.rollout.profiles, each.service.metadata.name
    if profile is None or profile in known:
        return
    meant = near(profile, known)
    add = f"add it to spec.rollout.profiles in {each.file.place.path}, or leave it out"
    hint = f"did you mean {meant}?" if meant else add
    file = collection.versions[each.fleet_name, service]
    yield file.document.problem(("profile",), f"service {service} has no profile {profile}", hint)


def _pools(each: Deployed, collection: Collection) -> Iterator[Problem]:
    for number, pool in enumerate(each.spec.pools):
        balancer = collection.balancers.get((each.fleet_name, pool.balancer))
        if balancer is None:
            yield _unknown_balancer(each, number, pool, collection)
        elif isinstance(balancer.model, LoadBalancer):
            yield from _pool(each, number, pool, balancer, balancer.model)


def _unknown_balancer(each: Deployed, number: int, pool: PoolRef, collection: Collection) -> Problem:
    known = [name for fleet, name in collection.balancers if fleet == each.fleet_name]
    meant = near(pool.balancer, known)
    hint = f"did you mean {meant}?" if meant else f"add balancers/{each.fleet_name}/{pool.balancer}.yaml"
    message = f"fleet {each.fleet_name} has no balancer {pool.balancer}"
    return each.problem(("pools", number, "balancer"), message, hint)


def _pool(each: Deployed, number: int, pool: PoolRef, file: Loaded, balancer: LoadBalancer) -> Iterator[Problem]:
    pools = balancer.spec.pools
    for role, name in (("online", pool.online), ("maintenance", pool.maintenance)):
        if name is not None and name not in pools:
            meant = near(name, pools)
            hint = f"did you mean {meant}?" if meant else f"add it to spec.pools in {file.place.path}"
            message = f"balancer {pool.balancer} of fleet {each.fleet_name} has no pool {name}"
            yield each.problem(("pools", number, role), message, hint)
    gates = [gate for gate in each.spec.gates if gate.when == "maintenance" and gate.prometheus is None]
    tested = pool.maintenance if gates and each.version.state == "present" else None
    entry = pools.get(tested) if tested else None
    if tested in pools and (entry is None or entry.port is None):
        message = f"gates cannot reach {tested} on fleet {each.fleet_name}: it has no port"
        hint = f"write {tested}: {{port: PORT}} in {file.place.path}, the port of its frontend"
        yield each.problem(("pools", number, "maintenance"), message, hint)


def _runners(each: Deployed) -> Iterator[Problem]:
    migrations = each.spec.migrations.expand or each.spec.migrations.contract
    if (each.spec.gates or migrations) and not each.fleet.spec.runners:
        what, none = ("gates", "gates: []") if each.spec.gates else ("migrations", "migrations")
        hint = f"add spec.runners to fleets/{each.fleet_name}.yaml, or override {none} for this fleet"
        yield each.problem((what,), f"fleet {each.fleet_name} has no runner to run {what} on", hint)


def _hosts(each: Deployed) -> Iterator[Problem]:
    if not each.hosts:
        said = ", ".join(f"{name}: {value}" for name, value in each.spec.hosts.items())
        message = f"no host of fleet {each.fleet_name} has {said or 'been named'}"
        hint = f"label hosts in fleets/{each.fleet_name}.yaml, or change the selector"
        yield each.problem(("hosts",), message, hint, "warning")
    elif len(each.hosts) > 1 and each.spec.singleton:
        names = ", ".join(host.name for host in each.hosts[:3])
        message = f"a singleton runs on one host, and the selector matches {len(each.hosts)} of fleet {each.fleet_name}"
        yield each.problem(("hosts",), message, f"narrow it to one of {names}, or leave singleton out")
    elif len(each.hosts) == 1 and each.spec.rollout.downtime == "refused":
        message = f"{each.hosts[0].name} is the only host on fleet {each.fleet_name}, and nobody replaces it"
        hint = "add a host, or write downtime: allowed in rollout; until then no rollout begins"
        yield each.problem(("rollout", "downtime"), message, hint, "warning")


def _pools_twice(deployed: list[Deployed]) -> Iterator[Problem]:
    """A pool is one service's, in one role: two would take each other's servers out."""
    seen: dict[tuple[str, str, str], str] = {}
    for each in deployed:
        for number, pool in enumerate(each.spec.pools):
            for role, name in (("online", pool.online), ("maintenance", pool.maintenance)):
                if name is None:
                    continue
                use = f"the {role} pool of {each.target}"
                first = seen.setdefault((each.fleet_name, pool.balancer, name), use)
                if first != use or pool in each.spec.pools[:number]:
                    message = f"{name} on balancer {pool.balancer} is already {first}"
                    yield each.problem(("pools", number, role), message, "give each service pools of its own")

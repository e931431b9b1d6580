"""Desired states of any size: one service on every host, and hundreds of others on a few hundred hosts each."""

import json
from typing import Any, TypeVar

from pydantic import BaseModel

from crds.desired import DesiredState
from crds.fleet import Fleet
from crds.loadbalancer import LoadBalancer
from crds.service import Service
from crds.versionfile import VersionFile

COMMON = "common"
"""The service on every host, or on the first so many: the one that is rolled out."""
HOSTS_EACH = 333
"""Of each other service."""
SERVICES_EACH = 3
"""On one pair of balancer nodes."""
_API = {"apiVersion": "drumbeat/v1alpha1"}
_Model = TypeVar("_Model", bound=BaseModel)


def estate(version: str, hosts: int, common: int, batch: int) -> DesiredState:
    """The fleet ``prod``: ``common`` of its hosts have the common service, which goes by batches of that many hosts."""
    others = max(hosts // HOSTS_EACH, 1)
    pairs = (others + SERVICES_EACH - 1) // SERVICES_EACH
    names = [f"s{number}" for number in range(others)]
    services = {COMMON: _service(COMMON, {"common": "yes"}, "edge", batch)}
    for place, name in enumerate(names):
        services[name] = _service(name, {"role": name}, f"edge{place // SERVICES_EACH}", 1)
    balancers = {("prod", "edge"): _balancer("edge", [COMMON])}
    for pair in range(pairs):
        on_it = names[pair * SERVICES_EACH : (pair + 1) * SERVICES_EACH]
        balancers["prod", f"edge{pair}"] = _balancer(f"edge{pair}", on_it)
    versions = {("prod", name): _version("1") for name in names} | {("prod", COMMON): _version(version)}
    return DesiredState(
        revision=f"commit-{version}",
        fleets={"prod": _fleet(hosts, common, others, sorted(name for _, name in balancers))},
        services=services,
        balancers=balancers,
        versions=versions,
    )


def _made(model: type[_Model], said: dict[str, Any]) -> _Model:
    return model.model_validate_json(json.dumps({**_API, **said}))


def _fleet(hosts: int, common: int, others: int, balancers: list[str]) -> Fleet:
    rows = [
        {
            "name": f"vm{number}",
            "address": f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}",
            "labels": {"role": f"s{number % others}", "common": "yes" if number < common else "no"},
            "zone": "abc"[number % 3],
        }
        for number in range(hosts)
    ]
    nodes = [{"name": f"{name}-{side}", "address": "10.255.0.1"} for name in balancers for side in "ab"]
    limits = {"maxUnavailable": "50%", "rollouts": 5}
    spec = {"hosts": rows, "balancers": nodes, "limits": limits}
    return _made(Fleet, {"kind": "Fleet", "metadata": {"name": "prod"}, "spec": spec})


def _service(name: str, selector: dict[str, str], balancer: str, batch: int) -> Service:
    spec = {
        "hosts": selector,
        "artifact": {"url": "http://artifacts.invalid/{version}.tar.gz", "run": [name]},
        "pools": [{"balancer": balancer, "online": name, "maintenance": f"{name}-tests", "port": 8080}],
        "rollout": {"batches": [batch], "maxUnavailable": batch, "soak": "0s"},
    }
    return _made(Service, {"kind": "Service", "metadata": {"name": name}, "spec": spec})


def _balancer(name: str, services: list[str]) -> LoadBalancer:
    pools: dict[str, Any] = dict.fromkeys(services)
    pools |= {f"{service}-tests": {"port": 9000} for service in services}
    spec = {"nodes": [f"{name}-a", f"{name}-b"], "pools": pools}
    return _made(LoadBalancer, {"kind": "LoadBalancer", "metadata": {"name": name}, "spec": spec})


def _version(version: str) -> VersionFile:
    return _made(VersionFile, {"version": version, "sha256": "a" * 64})

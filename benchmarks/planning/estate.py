"""Desired states of any size: a service on every host, one on a part of them, hundreds on a few hundred hosts each."""

import json
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import BaseModel

from crds.desired import DesiredState
from crds.fleet import Fleet
from crds.loadbalancer import LoadBalancer
from crds.service import Service
from crds.versionfile import VersionFile

EVERYWHERE, PART = "everywhere", "part"
"""The service on every host, and the one on some of them: those that are rolled out."""
HOSTS_EACH = 333
"""Of each other service."""
SERVICES_EACH = 3
"""On one pair of balancer nodes."""


@dataclass(frozen=True)
class Size:
    """How large a fleet is, and how its rollouts go."""

    hosts: int
    part_step: int
    """Every so many-th host has the service of a part."""
    batch: int
    """Hosts of the service on every host that go together."""
    part_batch: int

    @property
    def others(self) -> int:
        """Services on a few hundred hosts each."""
        return max(self.hosts // HOSTS_EACH - 2, 1)


_API = {"apiVersion": "drumbeat/v1alpha1"}
_Model = TypeVar("_Model", bound=BaseModel)


def estate(size: Size, versions: dict[str, str]) -> DesiredState:
    """The fleet ``prod`` with these versions of the two services that are rolled out."""
    names = [f"s{number}" for number in range(size.others)]
    services = {EVERYWHERE: _service(EVERYWHERE, {"everywhere": "yes"}, "edge", size.batch)}
    services[PART] = _service(PART, {"part": "yes"}, "partedge", size.part_batch)
    balancers = {("prod", "edge"): _balancer("edge", [EVERYWHERE]), ("prod", "partedge"): _balancer("partedge", [PART])}
    for place, name in enumerate(names):
        balancer = f"edge{place // SERVICES_EACH}"
        services[name] = _service(name, {"role": name}, balancer, 1)
        first = place - place % SERVICES_EACH
        balancers["prod", balancer] = _balancer(balancer, names[first : first + SERVICES_EACH])
    return DesiredState(
        revision=f"commit-{versions}",
        fleets={"prod": _fleet(size, sorted(name for _, name in balancers))},
        services=services,
        balancers=balancers,
        versions={("prod", name): _version(versions.get(name, "1")) for name in services},
    )


def _made(model: type[_Model], said: dict[str, Any]) -> _Model:
    return model.model_validate_json(json.dumps({**_API, **said}))


def _fleet(size: Size, balancers: list[str]) -> Fleet:
    rows = [
        {
            "name": f"vm{number}",
            "address": f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}",
            "labels": {
                "role": f"s{min(number // HOSTS_EACH, size.others - 1)}",
                "everywhere": "yes",
                "part": "yes" if number % size.part_step == 0 else "no",
            },
            "zone": "abc"[number % 3],
        }
        for number in range(size.hosts)
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

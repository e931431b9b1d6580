"""The state that the simulated fleet is asked to be in."""

import json
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from pydantic import BaseModel

from crds.desired import DesiredState
from crds.fleet import Fleet
from crds.freeze import Freeze
from crds.loadbalancer import LoadBalancer
from crds.service import Service
from crds.versionfile import VersionFile

BALANCERS = ("lb1", "lb2")
RUNNERS = ("runner1", "runner2")
MOST_SERVICES = 300
ON_FAILURE: dict[str, dict[str, Any]] = {
    "api": {
        "onFailure": "rollback",
        "progressDeadline": "15m",
        "rolloutDeadline": "2h",
        "onDeadline": "rollback",
        "rollback": {"batches": ["50%"], "soak": "0s"},
    },
    "web": {"retries": 2},
}
"""What becomes of a release that fails, of services where it does not just stay where it is."""
QUIESCE: dict[str, Any] = {"web": {"quiesce": {"command": ["leave"]}}}
"""What is run before a process is stopped, of services that have it so."""
FLEET_SHARE, ZONE_SHARE = 40, 67
"""Percent of the fleet's hosts, and of a zone's, that may be out at once for all services together."""
MIGRATIONS = {
    phase: [{"name": phase, "command": ["migrate", "{version}"], "check": ["check", "{version}"], "lock": "database"}]
    for phase in ("expand", "contract")
}
"""All services migrate the same database."""
Model = TypeVar("Model", bound=BaseModel)


def host_names(count: int) -> list[str]:
    """vm1, vm2 ..."""
    return [f"vm{number}" for number in range(1, count + 1)]


def zone_of(host: str) -> str:
    """The zones a, b, c by turns."""
    return "abc"[(int(host.removeprefix("vm")) - 1) % 3]


def service_names(count: int) -> list[str]:
    """api, web, svc3, svc4 ..."""
    if not 1 <= count <= MOST_SERVICES:
        raise ValueError(f"{count} services: write a number from 1 to {MOST_SERVICES}")
    return ["api", "web", *(f"svc{number}" for number in range(3, count + 1))][:count]


def port(service: str) -> int:
    """Where the service listens; tests reach it at the port after that."""
    place = {"api": 0, "web": 1}.get(service)
    return 8080 + 10 * (int(service.removeprefix("svc")) - 1 if place is None else place)


def address(host: str, service: str) -> str:
    """ADDRESS:PORT of a service on a host."""
    return f"{_address(host)}:{port(service)}"


def pool(service: str, kind: str) -> str:
    """The name of a service's online or maintenance pool."""
    return f"{service}_{kind}"


def desired(revision: str, hosts: int, versions: dict[str, str], freezes: Mapping[str, Freeze]) -> DesiredState:
    """Every service of ``versions`` on every host of the fleet ``prod``, in that version."""
    return DesiredState(
        revision=revision,
        fleets={"prod": _fleet(hosts)},
        services={service: _service(service) for service in versions},
        balancers={("prod", "edge"): _balancer(versions)},
        versions={("prod", service): _version(version) for service, version in versions.items()},
        freezes=dict(freezes),
    )


def freeze(name: str, effect: str, services: list[str], begins: str, ends: str, rollbacks: str) -> Freeze:
    """A freeze of these services with one window, in UTC."""
    spec = {
        "reason": "planted",
        "effect": effect,
        "services": services,
        "windows": [{"from": begins, "until": ends}],
        "rollbacks": rollbacks,
    }
    return _read(Freeze, {"kind": "Freeze", "metadata": {"name": name}, "spec": spec})


def _address(host: str) -> str:
    number = int(host.removeprefix("vm"))
    return f"10.0.{number // 250}.{number % 250 + 1}"


def _read(model: type[Model], said: dict[str, Any]) -> Model:
    return model.model_validate_json(json.dumps({"apiVersion": "drumbeat/v1alpha1", **said}))


def _fleet(hosts: int) -> Fleet:
    spec = {
        "hosts": [
            {"name": name, "address": _address(name), "labels": {"role": "app"}, "zone": zone_of(name)}
            for name in host_names(hosts)
        ],
        "balancers": [{"name": name, "address": "10.1.0.1"} for name in BALANCERS],
        "runners": [{"name": name} for name in RUNNERS],
        "limits": {"maxUnavailable": f"{FLEET_SHARE}%", "perZone": f"{ZONE_SHARE}%"},
    }
    return _read(Fleet, {"kind": "Fleet", "metadata": {"name": "prod"}, "spec": spec})


def _service(name: str) -> Service:
    spec = {
        "hosts": {"role": "app"},
        "artifact": {"url": "http://artifacts.invalid/{version}.tar.gz", "run": [name], **QUIESCE.get(name, {})},
        "probes": [{"tcp": {"port": port(name)}, "interval": "20s"}],
        "pools": [
            {
                "balancer": "edge",
                "online": pool(name, "online"),
                "maintenance": pool(name, "tests"),
                "port": port(name),
            }
        ],
        "gates": [{"name": "smoke", "exec": {"command": ["smoke", "{url}"]}}],
        "migrations": MIGRATIONS,
        "rollout": {
            "batches": [1, "25%", "50%"],
            "maxUnavailable": "25%",
            "soak": "5s",
            "deadline": "10m",
            **ON_FAILURE.get(name, {}),
        },
    }
    return _read(Service, {"kind": "Service", "metadata": {"name": name}, "spec": spec})


def _balancer(services: Iterable[str]) -> LoadBalancer:
    pools: dict[str, Any] = {}
    for service in services:
        pools |= {pool(service, "online"): None, pool(service, "tests"): {"port": port(service) + 1}}
    spec = {"nodes": list(BALANCERS), "pools": pools}
    return _read(LoadBalancer, {"kind": "LoadBalancer", "metadata": {"name": "edge"}, "spec": spec})


def _version(version: str) -> VersionFile:
    return _read(VersionFile, {"version": version, "sha256": "a" * 64})

"""The state that the simulated fleet is asked to be in."""

import json
from typing import Any, TypeVar

from pydantic import BaseModel

from crds.desired import DesiredState
from crds.fleet import Fleet
from crds.loadbalancer import LoadBalancer
from crds.service import Service
from crds.versionfile import VersionFile

BALANCERS = ("lb1", "lb2")
RUNNERS = ("runner1", "runner2")
PORTS = {"api": 8080, "web": 8090}
ON_FAILURE: dict[str, dict[str, Any]] = {
    "api": {
        "onFailure": "rollback",
        "progressDeadline": "15m",
        "rolloutDeadline": "2h",
        "onDeadline": "rollback",
        "rollback": {"batches": ["50%"], "soak": "0s"},
    },
    "web": {},
}
"""What differs in the rollouts of the services: what becomes of one that fails."""
FLEET_SHARE, ZONE_SHARE = 40, 67
"""Percent of the fleet's hosts, and of a zone's, that may be out at once for both services together."""
Model = TypeVar("Model", bound=BaseModel)


_MIGRATIONS = {
    phase: [{"name": phase, "command": ["migrate", "{version}"], "check": ["check", "{version}"], "lock": "database"}]
    for phase in ("expand", "contract")
}
"""Both services migrate the same database."""


def host_names(count: int) -> list[str]:
    """vm1, vm2 ..."""
    return [f"vm{number}" for number in range(1, count + 1)]


def zone_of(host: str) -> str:
    """The zones a, b, c by turns."""
    return "abc"[(int(host.removeprefix("vm")) - 1) % 3]


def address(host: str, service: str) -> str:
    """ADDRESS:PORT of a service on a host."""
    return f"{_address(host)}:{PORTS[service]}"


def pool(service: str, kind: str) -> str:
    """The name of a service's online or maintenance pool."""
    return f"{service}_{kind}"


def desired(revision: str, hosts: int, versions: dict[str, str]) -> DesiredState:
    """Every service of ``versions`` on every host of the fleet ``prod``, in that version."""
    return DesiredState(
        revision=revision,
        fleets={"prod": _fleet(hosts)},
        services={service: _service(service) for service in versions},
        balancers={("prod", "edge"): _balancer()},
        versions={("prod", service): _version(version) for service, version in versions.items()},
    )


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
        "artifact": {"url": "http://artifacts.invalid/{version}.tar.gz", "run": [name]},
        "probes": [{"tcp": {"port": PORTS[name]}, "interval": "10s"}],
        "pools": [
            {
                "balancer": "edge",
                "online": pool(name, "online"),
                "maintenance": pool(name, "tests"),
                "port": PORTS[name],
            }
        ],
        "gates": [{"name": "smoke", "exec": {"command": ["smoke", "{url}"]}}],
        "migrations": _MIGRATIONS,
        "rollout": {
            "batches": [1, "25%", "50%"],
            "maxUnavailable": "25%",
            "soak": "5s",
            "deadline": "10m",
            **ON_FAILURE[name],
        },
    }
    return _read(Service, {"kind": "Service", "metadata": {"name": name}, "spec": spec})


def _balancer() -> LoadBalancer:
    pools = {pool(service, "online"): None for service in PORTS}
    pools |= {pool(service, "tests"): {"port": PORTS[service] + 1} for service in PORTS}
    spec = {"nodes": list(BALANCERS), "pools": pools}
    return _read(LoadBalancer, {"kind": "LoadBalancer", "metadata": {"name": "edge"}, "spec": spec})


def _version(version: str) -> VersionFile:
    return _read(VersionFile, {"version": version, "sha256": "a" * 64})

"""Desired states out of a few words: one service, api, on one fleet, prod."""

import json
from dataclasses import replace
from typing import Any, TypeVar

from pydantic import BaseModel

from controller.mailbox import RevisionRead
from crds.desired import DesiredState
from crds.fleet import Fleet
from crds.loadbalancer import LoadBalancer
from crds.service import Service
from crds.versionfile import VersionFile

Model = TypeVar("Model", bound=BaseModel)
API = {"apiVersion": "drumbeat/v1alpha1"}
BALANCERS = ("lb1", "lb2")
RUNNER = "runner1"
PORT = 80


def made(model: type[Model], content: dict[str, Any]) -> Model:
    """A resource as it would be written in a file."""
    return model.model_validate_json(json.dumps(content))


def address(host: str) -> str:
    """The address of vm1, vm2 ..."""
    return f"127.0.0.{10 + int(host.removeprefix('vm'))}"


def fleet(hosts: int) -> Fleet:
    """vm1, vm2 ... in the zones a and b, two balancer nodes, one runner."""
    names = [f"vm{number}" for number in range(1, hosts + 1)]
    rows = [
        {"name": name, "address": address(name), "labels": {"role": "api"}, "zone": "ab"[place % 2]}
        for place, name in enumerate(names)
    ]
    spec = {
        "hosts": rows,
        "balancers": [{"name": name, "address": "127.0.0.1"} for name in BALANCERS],
        "runners": [{"name": RUNNER}],
    }
    return made(Fleet, {**API, "kind": "Fleet", "metadata": {"name": "prod"}, "spec": spec})


def service(role: str = "api", **rollout: Any) -> Service:
    """Behind the pools on and mt, with one gate, smoke."""
    spec = {
        "hosts": {"role": role},
        "artifact": {"url": "http://artifacts.invalid/{version}.tar.gz", "run": ["bin/api"]},
        "pools": [{"balancer": "edge", "online": "on", "maintenance": "mt", "port": PORT}],
        "gates": [{"name": "smoke", "exec": {"command": ["./smoke.sh"]}}],
        "rollout": {"batches": [1, "50%"], **rollout},
    }
    return made(Service, {**API, "kind": "Service", "metadata": {"name": "api"}, "spec": spec})


def balancer() -> LoadBalancer:
    """edge, on both nodes."""
    spec = {"nodes": list(BALANCERS), "pools": {"on": None, "mt": {"port": 8081}}}
    return made(LoadBalancer, {**API, "kind": "LoadBalancer", "metadata": {"name": "edge"}, "spec": spec})


def state(version: str, hosts: int = 4, revision: str = "", role: str = "api", **rollout: Any) -> DesiredState:
    """api@prod in that version; the revision is named after it unless told otherwise."""
    return DesiredState(
        revision=revision or f"rev{version}",
        fleets={"prod": fleet(hosts)},
        services={"api": service(role, **rollout)},
        balancers={("prod", "edge"): balancer()},
        versions={("prod", "api"): made(VersionFile, {**API, "version": version, "sha256": "a" * 64})},
    )


def managed(version: str) -> RevisionRead:
    """A revision that declares api@prod in that version, and that it is ours."""
    desired = state(version)
    service = desired.services["api"]
    ours = service.model_copy(update={"spec": service.spec.model_copy(update={"mode": "manage"})})
    return RevisionRead(f"r{version}", replace(desired, services={"api": ours}), [], {})

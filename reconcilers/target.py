"""TargetSpec: one service on one fleet, with everything that its rollout needs, resolved from the desired state."""

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from crds.desired import DesiredState
from crds.fleet import Fleet
from crds.probe import Probe
from crds.release import Release, canonical_json
from crds.service import Gate, Migrations, PoolRef, Rollout, ServiceSpec
from reconcilers.overrides import service_on
from reconcilers.releases import release_of


@dataclass(frozen=True)
class HostSpec:
    """A host of the target."""

    name: str
    address: str
    zone: str
    rank: tuple[int, str, str]
    """Orders hosts so that neighbours lie in different zones: place within the zone, zone, name."""


@dataclass(frozen=True)
class BalancerNodeSpec:
    """A node of a balancer, and where the maintenance pool is reached on it."""

    name: str
    address: str


@dataclass(frozen=True)
class PoolSpec:
    """The pools on one balancer through which the service is reached."""

    balancer: str
    driver: str
    nodes: tuple[BalancerNodeSpec, ...]
    online: str
    port: int
    maintenance: str | None
    maintenance_port: int | None

    @property
    def names(self) -> tuple[str, ...]:
        """The online pool, then the maintenance pool if there is one."""
        return (self.online, self.maintenance) if self.maintenance else (self.online,)


@dataclass(frozen=True)
class TargetSpec:
    """What one target should be. Frozen: a new commit makes a new one."""

    name: str
    revision: str
    release: Release | None
    """None: the service is to be removed."""
    version: str
    hosts: dict[str, HostSpec]
    pools: tuple[PoolSpec, ...]
    runners: tuple[str, ...]
    probes: tuple[Probe, ...]
    gates: tuple[Gate, ...]
    rollout: Rollout
    migrations: Migrations = field(default_factory=Migrations)
    statement: str | None = None
    """What was signed about the release, for nodes to judge."""
    trust: str | None = None
    """The fleet's trust document, likewise."""
    unsigned: str = ""
    """Why the release does not meet the fleet's policy, and what to do; empty if it does, or nothing is demanded."""

    @cached_property
    def digest(self) -> str:
        """The release's digest; ``absent`` where the service is to be removed."""
        return self.release.digest if self.release else "absent"

    @cached_property
    def balancer_nodes(self) -> tuple[str, ...]:
        """Every node of every balancer of the target, once each, in order."""
        return tuple(sorted({node.name for pool in self.pools for node in pool.nodes}))

    @cached_property
    def fingerprint(self) -> str:
        """Changes whenever anything but the revision changes."""
        said: dict[str, Any] = {
            "release": self.digest,
            "hosts": {name: [host.address, host.zone] for name, host in self.hosts.items()},
            "pools": [[repr(pool)] for pool in self.pools],
            "runners": list(self.runners),
            "probes": [probe.model_dump(mode="json") for probe in self.probes],
            "gates": [gate.model_dump(mode="json") for gate in self.gates],
            "rollout": self.rollout.model_dump(mode="json"),
        }
        if self.migrations != Migrations():
            said["migrations"] = self.migrations.model_dump(mode="json")
        signed = [self.statement, self.trust, self.unsigned]
        if any(signed):
            said["signed"] = signed
        return hashlib.sha256(canonical_json(said)).hexdigest()[:16]


def targets_of(state: DesiredState) -> dict[str, TargetSpec]:
    """Every target that the revision declares: one for each version file."""
    found = {}
    for fleet_name, service_name in sorted(state.versions):
        target = f"{service_name}@{fleet_name}"
        found[target] = _target(state, target, fleet_name, service_name)
    return found


def _target(state: DesiredState, name: str, fleet_name: str, service_name: str) -> TargetSpec:
    fleet, version = state.fleets[fleet_name], state.versions[fleet_name, service_name]
    spec = service_on(state, service_name, fleet_name)
    return TargetSpec(
        name=name,
        revision=state.revision,
        release=release_of(spec, version) if version.state == "present" else None,
        version=version.version or "",
        hosts={host.name: host for host in _selected(fleet, spec)},
        pools=tuple(_pool(state, fleet, ref) for ref in spec.pools),
        runners=tuple(runner.name for runner in fleet.spec.runners),
        probes=tuple(spec.probes),
        gates=tuple(spec.gates),
        rollout=spec.rollout,
        migrations=spec.migrations,
        statement=state.statements.get((fleet_name, service_name)),
        trust=state.trust.get(fleet_name),
        unsigned=state.unsigned.get((fleet_name, service_name), ""),
    )


def _selected(fleet: Fleet, spec: ServiceSpec) -> Iterator[HostSpec]:
    seats: dict[str, int] = {}
    for host in sorted(fleet.spec.hosts, key=lambda host: _natural(host.name)):
        if all(host.labels.get(label) == value for label, value in spec.hosts.items()):
            zone = host.zone or ""
            seat = seats[zone] = seats.get(zone, -1) + 1
            yield HostSpec(host.name, host.address, zone, (seat, zone, host.name))


def _natural(name: str) -> tuple[str | int, ...]:
    """Sort vm2 before vm10: text and numbers take turns, so that like is compared with like."""
    return tuple(int(part) if place % 2 else part for place, part in enumerate(re.split(r"(\d+)", name)))


def _pool(state: DesiredState, fleet: Fleet, ref: PoolRef) -> PoolSpec:
    balancer = state.balancers[fleet.metadata.name, ref.balancer].spec
    addresses = {node.name: node.address for node in fleet.spec.balancers}
    entry = balancer.pools.get(ref.maintenance) if ref.maintenance else None
    return PoolSpec(
        balancer=ref.balancer,
        driver=balancer.driver,
        nodes=tuple(BalancerNodeSpec(name, addresses[name]) for name in sorted(balancer.nodes)),
        online=ref.online,
        port=ref.port,
        maintenance=ref.maintenance,
        maintenance_port=entry.port if entry else None,
    )

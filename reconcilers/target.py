"""TargetSpec: one service on one fleet, with everything that its rollout needs, resolved from the desired state."""

import hashlib
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal

from crds.base import Amount
from crds.desired import DesiredState
from crds.fleet import Fleet, Host
from crds.freeze import Freeze
from crds.probe import Probe
from crds.release import Release, canonical_json
from crds.service import Gate, Migrations, Mode, PoolRef, Rollout, ServiceSpec
from reconcilers.freezes import freezes_of
from reconcilers.limits import FleetLimits, limits_of
from reconcilers.order import edition_of
from reconcilers.overrides import service_on, with_profile
from reconcilers.releases import release_of


@dataclass(frozen=True)
class HostSpec:
    """A host of the target."""

    name: str
    address: str
    zone: str
    rank: tuple[int, str, str]
    """Orders hosts so that each zone has its share of every stretch of them: place, zone, name."""


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
    max_unavailable: Amount | None = None
    """What the balancer's owners allow at most, whatever the service asks for."""

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
    limits: FleetLimits | None = None
    """What its fleet allows all of its targets together; no part of the target, hence of no fingerprint."""
    unsigned: str = ""
    """Why the release does not meet the fleet's policy, and what to do; empty if it does, or nothing is demanded."""
    edition: str = ""
    """Names version and service revision, on whatever fleet."""
    depends_on: tuple[str, ...] = ()
    """Targets that must be ready before a new release comes here."""
    earlier: tuple[str, ...] = ()
    """Targets of lower waves on the fleet."""
    after: tuple[str, float] | None = None
    """The target that must have proven the edition, and for how many seconds."""
    halt_after: int | None = None
    in_place_of: str = ""
    """The version that git declares, where the last good release takes its place (see rollback.py)."""
    profile: str = ""
    """The one that the version file chose; what it says is in ``rollout``."""
    break_glass: str = ""
    """Why this deployment may pass a freeze; empty: it may not."""
    freezes: tuple[Freeze, ...] = ()
    """Those that hold for it, whether in force now or not."""
    mode: Mode | Literal[""] = "manage"
    """Empty: git says nothing about it, and it is not known yet that nobody else manages the service here."""
    singleton: bool = False
    """At most one process of it may be on the whole fleet."""
    adopt: str | None = None
    """Regular expression by which the running process is known."""

    @property
    def is_observed(self) -> bool:
        """Nothing of it is touched."""
        return self.mode in ("", "observe")

    def in_mode(self, mode: Mode) -> "TargetSpec":
        """The same target in that mode."""
        return replace(self, mode=mode)

    def without_adoption(self) -> "TargetSpec":
        """The same target, with no further process to be taken over."""
        return replace(self, adopt=None) if self.adopt is not None else self

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
        """Changes whenever anything but the revision, and what is the fleet's, changes."""
        said: dict[str, Any] = {
            "release": self.digest,
            "hosts": {name: [host.address, host.zone] for name, host in self.hosts.items()},
            "pools": [[repr(pool)] for pool in self.pools],
            "runners": list(self.runners),
            "probes": [probe.model_dump(mode="json") for probe in self.probes],
            "gates": [gate.model_dump(mode="json") for gate in self.gates],
            "rollout": self.rollout.model_dump(mode="json"),
        }
        if self.mode in ("observe", "adopt"):  # what follows from no mode is no change of the spec
            said["mode"] = [self.mode, self.adopt if self.mode == "adopt" else None]
        if self.migrations != Migrations():
            said["migrations"] = self.migrations.model_dump(mode="json")
        signed = [self.statement, self.trust, self.unsigned]
        if any(signed):
            said["signed"] = signed
        if self.break_glass:
            said["break_glass"] = self.break_glass
        if self.singleton:
            said["singleton"] = True
        return hashlib.sha256(canonical_json(said)).hexdigest()[:16]


def targets_of(state: DesiredState) -> dict[str, TargetSpec]:
    """Every target that the revision declares: one for each version file."""
    specs = {(fleet, service): service_on(state, service, fleet) for fleet, service in sorted(state.versions)}
    waves, fleets = Waves(specs), {name: FleetHosts(fleet) for name, fleet in state.fleets.items()}
    made = (_target(state, fleets[fleet], service, spec, waves) for (fleet, service), spec in specs.items())
    return {target.name: target for target in made}


class FleetHosts:
    """A fleet's hosts by label, and its limits: worked out once for all of its services."""

    def __init__(self, fleet: Fleet) -> None:
        self.fleet, self.limits = fleet, limits_of(fleet)
        self._by_label: dict[tuple[str, str], list[Host]] = {}
        for host in fleet.spec.hosts:
            for label in host.labels.items():
                self._by_label.setdefault(label, []).append(host)

    def selected(self, wanted: Mapping[str, str]) -> list[Host]:
        """The hosts that have every one of these labels."""
        found = (self._by_label.get(label, []) for label in wanted.items())
        fewest = min(found, key=len, default=self.fleet.spec.hosts)
        return [host for host in fewest if wanted.items() <= host.labels.items()]


class Waves:
    """The waves of each fleet."""

    def __init__(self, specs: Mapping[tuple[str, str], ServiceSpec]) -> None:
        """``specs``: by (fleet, service), in order."""
        self._targets: dict[tuple[str, int], list[str]] = {}
        for (fleet, service), spec in specs.items():
            self._targets.setdefault((fleet, spec.wave), []).append(f"{service}@{fleet}")
        self._before: dict[tuple[str, int], tuple[str, ...]] = {}

    def before(self, fleet: str, wave: int) -> tuple[str, ...]:
        """Targets of lower waves; one tuple for all targets of a wave."""
        if (fleet, wave) not in self._before:
            lower = sorted(key for key in self._targets if key[0] == fleet and key[1] < wave)
            self._before[fleet, wave] = tuple(target for key in lower for target in self._targets[key])
        return self._before[fleet, wave]


def _target(state: DesiredState, on: FleetHosts, service_name: str, spec: ServiceSpec, waves: Waves) -> TargetSpec:
    fleet, fleet_name = on.fleet, on.fleet.metadata.name
    version = state.versions[fleet_name, service_name]
    return TargetSpec(
        name=f"{service_name}@{fleet_name}",
        revision=state.revision,
        release=release_of(spec, version) if version.state == "present" else None,
        version=version.version or "",
        hosts=_spread(on.selected(spec.hosts)),
        pools=tuple(_pool(state, fleet, ref) for ref in spec.pools),
        runners=tuple(runner.name for runner in fleet.spec.runners),
        probes=tuple(spec.probes),
        gates=tuple(spec.gates),
        rollout=with_profile(spec.rollout, version.profile),
        migrations=spec.migrations,
        profile=version.profile or "",
        break_glass=version.break_glass.reason if version.break_glass else "",
        statement=state.statements.get((fleet_name, service_name)),
        trust=state.trust.get(fleet_name),
        limits=on.limits,
        unsigned=state.unsigned.get((fleet_name, service_name), ""),
        edition=edition_of(state.services[service_name].spec, version),
        depends_on=tuple(f"{name}@{fleet_name}" for name in spec.depends_on),
        earlier=waves.before(fleet_name, spec.wave),
        after=(f"{service_name}@{spec.after.fleet}", spec.after.soak) if spec.after else None,
        halt_after=fleet.spec.halt_after,
        freezes=freezes_of(state, fleet_name, service_name),
        mode=spec.mode or "",
        adopt=spec.adopt.process if spec.adopt else None,
        singleton=spec.singleton,
    )


def _spread(hosts: list[Host]) -> dict[str, HostSpec]:
    """The hosts, ranked so that any stretch of them has as many of each zone as fits the zone's size.

    The host number k (from 0) of a zone of n comes at (2k + 1) / 2n of the way: Webster's method of apportionment
    (Balinski and Young, Fair Representation, 1982). Within a zone names decide, vm2 before vm10.
    """
    ordered = sorted(hosts, key=lambda host: _natural(host.name))
    sizes, seats = Counter(host.zone or "" for host in hosts), Counter[str]()
    way = {}
    for host in ordered:
        zone = host.zone or ""
        way[host.name] = ((2 * seats[zone] + 1) / (2 * sizes[zone]), zone)
        seats[zone] += 1
    places = {host.name: place for place, host in enumerate(sorted(ordered, key=lambda host: way[host.name]))}
    ranks = {host.name: (places[host.name], host.zone or "", host.name) for host in ordered}
    return {host.name: HostSpec(host.name, host.address, host.zone or "", ranks[host.name]) for host in ordered}


def _natural(name: str) -> tuple[str | int, ...]:
    """Sort vm2 before vm10: text and numbers take turns, so that like is compared with like."""
    return tuple(int(part) if place % 2 else part for place, part in enumerate(re.split(r"(\d+)", name)))


def _pool(state: DesiredState, fleet: Fleet, ref: PoolRef) -> PoolSpec:
    balancer = state.balancers[fleet.metadata.name, ref.balancer].spec
    addresses = {node.name: node.address for node in fleet.spec.balancers}
    online = balancer.pools.get(ref.online)
    tests = balancer.pools.get(ref.maintenance) if ref.maintenance else None
    return PoolSpec(
        balancer=ref.balancer,
        driver=balancer.driver,
        nodes=tuple(BalancerNodeSpec(name, addresses[name]) for name in sorted(balancer.nodes)),
        online=ref.online,
        port=ref.port,
        maintenance=ref.maintenance,
        maintenance_port=tests.port if tests else None,
        max_unavailable=online.max_unavailable if online else None,
    )

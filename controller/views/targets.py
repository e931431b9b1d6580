"""Targets: what each should be, where it is, and how each of its hosts stands."""

from collections import Counter
from datetime import datetime
from typing import TYPE_CHECKING

from controller.views.common import list_meta, selected, target_labels
from controller.views.errors import NotFound
from controller.views.hosts import host_rows, leaving_rows
from controller.views.resources import (
    Meta,
    PoolNames,
    Running,
    TargetList,
    TargetResource,
    TargetResourceSpec,
    TargetResourceStatus,
)
from controller.views.selector import Matches
from crds.service import Migrations
from crds.status import Mark, RolloutStatus, status_of
from reconcilers.conditions import headline, is_restarting
from reconcilers.target import PoolSpec, TargetSpec

if TYPE_CHECKING:
    from controller.deciding import Deciding
    from controller.world import World


def target_names(world: "World") -> list[str]:
    """Every target that is declared, or of which something is still kept."""
    return sorted(world.specs.keys() | world.statuses.keys())


def known_target(world: "World", name: str) -> str:
    """The name, if there is such a target. Raises NotFound."""
    if name not in world.specs and name not in world.statuses:
        raise NotFound("target", name, target_names(world))
    return name


def targets(deciding: "Deciding", matches: Matches, now: datetime) -> TargetList:
    """All targets whose labels match, without the rows of their hosts."""
    items = selected(target_names(deciding.world), lambda name: _resource(deciding, name, now), matches)
    return TargetList(metadata=list_meta(deciding, now), items=items)


def target(deciding: "Deciding", name: str, now: datetime, with_hosts: bool = True) -> TargetResource:
    """One target, with its hosts unless told otherwise: their rows are nearly all that it costs. Raises NotFound."""
    found = _resource(deciding, known_target(deciding.world, name), now)
    if not with_hosts:
        return found
    world = deciding.world
    rows = {"hosts": host_rows(world, name), "leaving": leaving_rows(world, name)}
    status = found.status.model_copy(update=rows)
    return found.model_copy(update={"status": status})


def target_meta(status: RolloutStatus, version: str, now: datetime) -> Meta:
    """Metadata of a target and of its rollout."""
    labels = target_labels(status.target, version)
    return Meta(name=status.target, labels=labels, generation=status.generation, observed_at=now)


def _resource(deciding: "Deciding", name: str, now: datetime) -> TargetResource:
    world = deciding.world
    declared, status = world.declared.get(name), status_of(world.statuses, name)
    return TargetResource(
        metadata=target_meta(status, declared.version if declared else status.version, now),
        spec=_spec(declared, status, world.specs.get(name)),
        status=_status(deciding, world.specs.get(name), status, now),
    )


def _spec(spec: TargetSpec | None, status: RolloutStatus, planned: TargetSpec | None) -> TargetResourceSpec:
    return TargetResourceSpec(
        declared=spec is not None,
        revision=spec.revision if spec else status.revision,
        version=spec.version if spec else status.version,
        digest=spec.digest if spec else status.digest,
        hosts=len(spec.hosts) if spec else 0,
        pools=[_pool(pool) for pool in spec.pools] if spec else [],
        gates=[gate.name for gate in spec.gates] if spec else [],
        migrations=_migrations(spec.migrations) if spec else [],
        runners=list(spec.runners) if spec else [],
        freezes=[freeze.metadata.name for freeze in spec.freezes] if spec else [],
        profile=spec.profile if spec else "",
        break_glass=spec.break_glass if spec else "",
        mode=(planned.mode or "observe") if planned else "",
    )


def _migrations(said: Migrations) -> list[str]:
    return [each.name for each in (*said.expand, *said.contract)]


def _pool(pool: PoolSpec) -> PoolNames:
    return PoolNames(
        balancer=pool.balancer,
        nodes=[node.name for node in pool.nodes],
        online=pool.online,
        maintenance=pool.maintenance,
        port=pool.port,
    )


def _status(
    deciding: "Deciding", spec: TargetSpec | None, status: RolloutStatus, now: datetime
) -> TargetResourceStatus:
    running, unknown = _running(deciding.world, spec) if spec else ([], 0)
    return TargetResourceStatus(
        headline=headline(status),
        observed_generation=status.observed_generation,
        revision=status.revision,
        version=status.version,
        digest=status.digest,
        succeeded_digest=status.succeeded_digest,
        restarting=is_restarting(status),
        batch=status.batch,
        started=status.started,
        finished=status.finished,
        hold=status.hold,
        pause=status.pause,
        excluded=_excluded(deciding.world, spec.name) if spec else {},
        quarantine=status.quarantine,
        good_version=status.good.release.version if status.good else "",
        counts=status.counts,
        tasks=status.tasks,
        no_return=status.no_return,
        conditions=status.conditions,
        running=running,
        unknown=unknown,
        planning_fails=deciding.queue.rests(status.target, now),
        next_wake=deciding.queue.wake_at(status.target),
    )


def _excluded(world: "World", target: str) -> dict[str, Mark]:
    spec = world.declared[target]
    return {
        node: mark
        for node, mark in sorted(world.exclusions.items())
        if node in spec.hosts or node in spec.balancer_nodes
    }


def _running(world: "World", spec: TargetSpec) -> tuple[list[Running], int]:
    """What the hosts run by their own word, the most frequent first; how many are silent."""
    found: Counter[tuple[str, str]] = Counter()
    unknown = 0
    for host in spec.hosts:
        node = world.nodes.get(host)
        if node.silent or node.report is None:
            unknown += 1
            continue
        service = node.report.services.get(spec.name)
        found[(service.version or "", service.digest or "") if service else ("", "")] += 1
    ordered = sorted(found.items(), key=lambda each: (-each[1], each[0]))
    return [Running(version=v or None, digest=d or None, hosts=count) for (v, d), count in ordered], unknown

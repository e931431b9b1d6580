"""What one revision changes against another, target by target."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

from crds.desired import DesiredState
from reconcilers.overrides import service_on
from reconcilers.target import TargetSpec, targets_of

Effect = Literal["deploys", "moves", "settings", "removes", "orphans"]


@dataclass(frozen=True)
class FieldChange:
    """A field's value before and after; None where it was not there, or is not any more."""

    field: str
    old: Any
    new: Any


@dataclass(frozen=True)
class TargetChange:
    """One target that differs."""

    target: str
    effect: Effect
    """deploys: new; moves: another release; settings: no host moves; removes: state absent; orphans: no file."""
    old_version: str | None
    new_version: str | None
    hosts: int
    """That the effect concerns: 0 for settings and orphans, but for hosts that the target gains."""
    fields: list[FieldChange] = field(default_factory=list)


def changes(old: DesiredState, new: DesiredState) -> list[TargetChange]:
    """Every target that differs, by name."""
    before, after = targets_of(old), targets_of(new)
    found = (_change(name, (old, before.get(name)), (new, after.get(name))) for name in sorted(before | after))
    return [change for change in found if change is not None]


_Side = tuple[DesiredState, TargetSpec | None]


def _change(name: str, old: _Side, new: _Side) -> TargetChange | None:
    fields = list(_differences(_said(*old), _said(*new)))
    before, after = old[1], new[1]
    if not fields and _version(before) == _version(after):
        return None
    effect, hosts = _effect(before, after)
    shown = fields if before and after else []
    return TargetChange(name, effect, _version(before), _version(after), hosts, shown)


def _effect(before: TargetSpec | None, after: TargetSpec | None) -> tuple[Effect, int]:
    if after is None:
        return "orphans", 0
    if before is None:
        return "deploys", len(after.hosts)
    if after.release is None:
        return "removes", len(before.hosts) if before.release else 0
    if before.digest != after.digest:
        return "moves", len(after.hosts)
    gained = len(after.hosts.keys() - before.hosts.keys())
    return ("deploys", gained) if gained else ("settings", 0)


def _version(target: TargetSpec | None) -> str | None:
    if target is None:
        return None
    return target.version if target.release else "absent"


def _said(state: DesiredState, target: TargetSpec | None) -> dict[str, Any]:
    """Everything about a target by the field that says it."""
    if target is None:
        return {}
    service, _, fleet = target.name.rpartition("@")
    spec = service_on(state, service, fleet).model_dump(mode="json", by_alias=True, exclude={"fleets"})
    said = {f"spec.{name}": value for name, value in _flat(spec)}
    version = state.versions[fleet, service]
    if version.profile:
        said["profile"] = version.profile
    if version.break_glass:
        said["breakGlass"] = version.break_glass.reason
    if target.release:
        said["sha256"] = target.release.sha256
    said |= {f"hosts.{host.name}": host.address for host in target.hosts.values()}
    said |= {f"zones.{host.name}": host.zone for host in target.hosts.values() if host.zone}
    said["runners"] = list(target.runners)
    for pool in target.pools:
        said[f"balancers.{pool.balancer}.nodes"] = {node.name: node.address for node in pool.nodes}
        if pool.maintenance:
            said[f"balancers.{pool.balancer}.pools.{pool.maintenance}.port"] = pool.maintenance_port
    return said


def _flat(value: dict[str, Any], at: str = "") -> Iterator[tuple[str, Any]]:
    """Fields of fields, dotted; lists stay whole."""
    for name, inner in value.items():
        path = f"{at}.{name}" if at else name
        if isinstance(inner, dict) and inner:
            yield from _flat(inner, path)
        else:
            yield path, inner


def _differences(old: dict[str, Any], new: dict[str, Any]) -> Iterator[FieldChange]:
    for name in [*old, *(name for name in new if name not in old)]:
        if old.get(name) != new.get(name):
            yield FieldChange(name, old.get(name), new.get(name))

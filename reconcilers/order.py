"""Order between targets: what must be ready, finished or proven elsewhere before a release goes to a target's hosts.

All of it is about releases that are new to a target. Hosts that are to run what all others ran already (drift,
returning hosts) wait for nobody here.
"""

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from crds.base import format_duration
from crds.release import canonical_json
from crds.service import ServiceSpec
from crds.status import ProvenEdition, RolloutStatus
from crds.versionfile import VersionFile
from reconcilers.conditions import find
from reconcilers.watched import watched_from
from reconcilers.words import listed

if TYPE_CHECKING:
    from reconcilers.target import TargetSpec

_KEPT = 10
"""Editions that a target's status remembers."""
_HOW = {"fleets", "mode", "adopt", "rollout", "depends_on", "wave", "after"}
"""Fields of a Service that say how and when, not what."""


@dataclass(frozen=True)
class Other:
    """Another target, as it should be and as it stood when it was planned last."""

    spec: "TargetSpec"
    status: RolloutStatus
    watching_since: datetime
    """When this controller began to observe it: what was before proves nothing."""


Others = Callable[[str], Other | None]
"""By name; None: no revision in force declares it."""


@dataclass(frozen=True)
class Unproven:
    """The release may not come here yet."""

    words: str
    until: datetime | None = None
    """When its soak elsewhere is over, if nothing happens there."""


def edition_of(spec: ServiceSpec, version: VersionFile) -> str:
    """Names version and service revision together: what two fleets have in common when both run "the same".

    Digests of releases may differ between fleets, by what differs on each (``spec.fleets``).
    """
    what = spec.model_dump(mode="json", by_alias=True, exclude_defaults=True, exclude=_HOW)
    said = [what, version.model_dump(mode="json", by_alias=True, include={"version", "sha256"})]
    return hashlib.sha256(canonical_json(said)).hexdigest()[:16]


def noted(
    status: RolloutStatus, spec: "TargetSpec", ready: bool, now: datetime, watching_since: datetime
) -> RolloutStatus:
    """Keep for how long at most each of the last editions was ready here without a break, as far as watched."""
    known = {each.edition: each for each in status.editions}
    changed = dict(known)
    for edition, each in known.items():
        if each.ready_since is not None and not (ready and edition == spec.edition):
            watched = now - watched_from(each.ready_since, now, watching_since)
            lasted = max(each.longest, watched.total_seconds())
            changed[edition] = each.model_copy(update={"ready_since": None, "longest": lasted})
    if ready and (current := changed.get(spec.edition)) is None:
        changed[spec.edition] = ProvenEdition(edition=spec.edition, version=spec.version, ready_since=now)
    elif ready and current is not None and current.ready_since is None:
        changed[spec.edition] = current.model_copy(update={"ready_since": now})
    if changed == known:
        return status
    return status.model_copy(update={"editions": list(changed.values())[-_KEPT:]})


def not_ready(names: Iterable[str], others: Others) -> str:
    """In words, which of the targets that it depends on are not ready with their release; empty if all are."""
    missing = [f"{name} ({why})" for name in names if (why := _unready(others(name)))]
    return listed(missing)


def _unready(other: Other | None) -> str:
    if other is None:
        return "not deployed"
    ready = find(other.status.conditions, "Ready")
    if other.status.digest != other.spec.digest:
        return "its release has just changed"
    if ready is None or ready.status != "True":
        return ready.message if ready else "not looked at yet"
    return ""


def unfinished(names: Iterable[str], others: Others) -> str:
    """In words, which targets of earlier waves have not finished the rollout of their release; empty if all have."""
    found = [(name, others(name)) for name in names]
    waiting = [
        name
        for name, other in found
        if other is not None and (other.status.digest != other.spec.digest or other.status.finished is None)
    ]
    return listed(waiting)


def unproven(spec: "TargetSpec", others: Others, now: datetime) -> Unproven | None:
    """Whether version and service revision have been ready for long enough on the fleet that comes before.

    Only time that this controller watched counts: while nobody looked, nothing was proven.
    """
    if spec.after is None:
        return None
    name, soak = spec.after
    other = others(name)
    if other is None:
        return Unproven(f"{name} comes first, and is not deployed")
    edition = next((each for each in other.status.editions if each.edition == spec.edition), None)
    if edition is not None and edition.longest >= soak:
        return None
    where = f"{name} for {format_duration(soak)}" if soak else name
    if edition is None or edition.ready_since is None:
        must = f"version {spec.version} of this revision of the service must first be ready on {where}"
        return Unproven(must + _instead(spec, other))
    since = watched_from(edition.ready_since, now, other.watching_since)
    until = since + timedelta(seconds=soak)
    if until <= now:
        return None
    return Unproven(
        f"version {spec.version} must first be ready on {where}, which it is at {until:%H:%M:%S} UTC", until
    )


def _instead(spec: "TargetSpec", other: Other) -> str:
    """In words, what is declared there instead, or was ready there; empty where just this edition is on its way."""
    there, name, bad = other.spec, other.spec.name, other.status.quarantine
    if there.version != spec.version:
        return f"; {name} declares version {there.version or 'none'}"
    if there.edition != spec.edition:
        return f"; {name} declares version {there.version} with another sha256"
    if bad is not None and bad.digest == there.digest:
        return "; it was taken back there"
    known = {each.edition for each in other.status.editions if each.version == spec.version}
    if known and spec.edition not in known:
        return f"; version {spec.version} was ready there with another revision of the service only"
    return ""


def halted(spec: "TargetSpec", failed: Iterable[str]) -> str:
    """In words, why rollouts of the revision stop everywhere, and what ends it; empty where it failed too seldom."""
    names = sorted(failed)
    if spec.halt_after is None or len(names) < spec.halt_after:
        return ""
    many = len(names) - spec.halt_after + 1
    whom = "that one" if len(names) == 1 else f"{many} of them"
    retry = f"'drumbeat rollout retry {names[0] if many == 1 else 'TARGET'}'"
    return (
        f"rollouts of its revision failed on {listed(names)}, and haltAfter is {spec.halt_after}; "
        f"it goes on with a newer revision, or once {retry} lets {whom} go on"
    )


def signal(status: RolloutStatus | None) -> tuple[object, ...]:
    """What others look at: while it stays the same, nobody else need be planned anew."""
    if status is None:
        return ()
    ready = find(status.conditions, "Ready")
    editions = tuple((each.edition, each.ready_since) for each in status.editions)
    return (ready and ready.status, status.digest, status.finished is None, has_failed(status), editions)


def has_failed(status: RolloutStatus) -> bool:
    """The rollout failed here, whether it is held or was taken back; that a person ended it is no failure."""
    held = status.hold is not None and status.hold.reason != "Aborted"
    return held or (status.quarantine is not None and status.quarantine.reason != "Undone")

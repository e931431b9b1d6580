"""Forecasts: what would happen to a target if a spec were in force and nothing went wrong, and what is in the way.

Batches are chosen by the code that chooses them when they happen (batch.py), from an index in which the hosts of each
batch have arrived; obstacles are those of obstacles.py. So a forecast cannot say anything else than what then happens
(a property test compares the two). Nothing that was observed is changed.
"""

import hashlib
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Literal

from crds.release import canonical_json
from crds.status import RolloutStatus, Step
from reconcilers.batch import needs_downtime, next_batch
from reconcilers.beginnings import Beginning, put_out, with_rollouts
from reconcilers.classify import Classification, Standing, classify
from reconcilers.conditions import find
from reconcilers.draft import Draft, Observed
from reconcilers.index import TargetIndex
from reconcilers.marks import lift_pause
from reconcilers.modes import adopted, heed_mode, resolved, what_would_happen
from reconcilers.obstacles import Obstacle, obstacles
from reconcilers.plan import notice_spec
from reconcilers.room import Room
from reconcilers.stages import PREPARING, foreseen
from reconcilers.target import TargetSpec

Effect = Literal[
    "deploys", "moves", "settings", "removes", "orphans", "adopts", "observes", "rolledBack", "unsigned", "noHosts"
]


@dataclass(frozen=True)
class ForecastBatch:
    """Hosts that go together."""

    number: int
    hosts: tuple[str, ...]
    """In the order of their turns."""
    at_once: int
    """How many of them may be out at the same time when the batch begins; the others wait for these."""
    waits: str = ""
    """The first host for which the budget leaves no room even once the others are back, and why, in words."""
    awaits_go: bool = False
    """After it a person must say go."""
    under_way: bool = False
    """They have left the pool already, and turn to the release from where they are."""


@dataclass(frozen=True)
class LeftOut:
    """A host that no batch would take."""

    host: str
    standing: Standing
    why: str


@dataclass(frozen=True)
class Forecast:
    """What would happen to one target."""

    target: str
    effect: Effect
    """As ``drumbeat diff`` says it, or why nothing would happen.

    adopts: what runs is taken over as it is. observes: nothing is touched, because the mode says so.
    rolledBack: the release is in quarantine here, the last good one stays in its place.
    """
    old_version: str | None
    """None: nothing is declared; ``absent``: the service is removed."""
    new_version: str | None
    release: str = ""
    """The digest of the release that the hosts would run; ``absent`` where the service is removed."""
    hosts: int = 0
    """Of the target."""
    batches: tuple[ForecastBatch, ...] = ()
    before: tuple[str, ...] = ()
    """Gates and migrations before the first host, in words."""
    after: tuple[str, ...] = ()
    """The same once the last one has arrived."""
    obstacles: tuple[Obstacle, ...] = ()
    left_out: tuple[LeftOut, ...] = ()
    """Hosts that are not on the release, and would not be taken: unknown, excluded, unhealthy, failed."""
    adopted: tuple[str, ...] = ()
    """Hosts whose agents will look for the process that runs there, and take it over without a restart."""
    forgotten: tuple[str, ...] = ()
    """Hosts that the target loses."""
    message: str = ""
    """Why nothing would happen, for people."""
    spec: TargetSpec | None = None
    """What the forecast is for."""
    digest: str = field(default="", compare=False)

    @property
    def happens(self) -> bool:
        """Some host would move or be taken over, at once or when the obstacles are gone."""
        return bool(self.batches or self.adopted or self.forgotten) and self.effect != "unsigned"


class Beginnings:
    """Who begins at once of the targets that one commit changes, as far as they were foretold: in order of names."""

    def __init__(self) -> None:
        self._by_fleet = defaultdict[str, list[Beginning]](list)

    def ahead_of(self, target: str) -> list[Beginning]:
        """Those on the same fleet, so far."""
        return self._by_fleet[target.partition("@")[2]]

    def note(self, made: Forecast) -> None:
        """Whoever has something in the way, or to do first, begins later."""
        if made.spec is None or not made.batches or made.obstacles or made.before:
            return
        first = made.batches[0]
        out = () if first.under_way else first.hosts[: first.at_once]
        zones = {host: made.spec.hosts[host].zone for host in out}
        self.ahead_of(made.target).append(Beginning(made.target, zones))


def forecast(
    spec: TargetSpec, observed: Observed, before: TargetSpec | None, now: datetime, begun: Beginnings | None = None
) -> Forecast:
    """What would happen if the spec took the place of ``before``; None: nothing was declared.

    ``observed``: with the spec supposed, so that its index says how hosts stand towards it. ``begun``: others that the
    same commit changes; it is noted there whether this one begins at once.
    """
    ahead = begun.ahead_of(spec.name) if begun else []
    made = _forecast(spec, replace(observed, fleet=with_rollouts(observed.fleet, ahead)), before, now, ahead)
    if begun:
        begun.note(made)
    return made


def _forecast(
    spec: TargetSpec, observed: Observed, before: TargetSpec | None, now: datetime, ahead: Sequence[Beginning]
) -> Forecast:
    draft = Draft(spec, observed, now, observed.status, dict(observed.journeys))
    notice_spec(draft)
    heed_mode(draft)
    spec = draft.target = resolved(spec, draft.status)
    lift_pause(draft)
    index = _as_it_begins(draft)
    first, last = foreseen(draft)
    in_the_way = tuple(_in_the_way(draft, index, observed.status))
    batches = tuple(_batches(draft, index.copied(), [] if first or in_the_way else ahead))
    if not batches:
        first, last, in_the_way = [], [], ()
    taken_over = _in_order(spec, adopted(draft, index))
    effect = _effect(spec, before, batches, taken_over)
    made = Forecast(
        target=spec.name,
        effect=effect,
        old_version=_version(before),
        new_version=spec.in_place_of or _version(spec),
        release=spec.digest,
        hosts=len(spec.hosts),
        batches=batches,
        before=tuple(job.words for job in first),
        after=tuple(job.words + (", once a person approves" if job.approval else "") for job in last),
        obstacles=in_the_way,
        left_out=tuple(_left_out(index, taken_over)) if effect != "observes" else (),
        adopted=taken_over,
        forgotten=_forgotten(spec, before),
        message=_message(draft, effect),
        spec=spec,
    )
    return replace(made, digest=_digest(made))


def orphaned(before: TargetSpec) -> Forecast:
    """What would happen if nothing declared the target any more: nothing is removed."""
    message = "its version file would be gone: nothing is removed; write state: absent to remove the service"
    made = Forecast(before.name, "orphans", _version(before), None, hosts=len(before.hosts), message=message)
    return replace(made, digest=_digest(made))


def differs(before: TargetSpec | None, after: TargetSpec) -> bool:
    """Whether the two may lead to different plans; the revision alone does not."""
    return before is None or _said(before) != _said(after)


def _said(spec: TargetSpec) -> tuple[object, ...]:
    order = (spec.edition, spec.depends_on, spec.earlier, spec.after, spec.halt_after, spec.limits)
    return (spec.fingerprint, spec.version, spec.mode, order, spec.freezes)


def digest_of(forecasts: Iterable[Forecast]) -> str:
    """Names all of what would happen, so that an approval can bind to it; see docs/planning.md for what it covers."""
    return _hash(sorted([each.target, each.digest] for each in forecasts))


# --- batches


def _as_it_begins(draft: Draft) -> TargetIndex:
    """The index once the spec was noticed: hosts whose journeys ended by that are ordinary ones again."""
    index = draft.observed.index.copied()
    for host in sorted(draft.moved & draft.target.hosts.keys()):
        index.put(draft.target.hosts[host], classify(draft.target, draft.facts(host)))
    return index


def _batches(draft: Draft, index: TargetIndex, ahead: Sequence[Beginning]) -> Iterator[ForecastBatch]:
    """``index`` is changed on the way. Nobody begins where nothing is to be touched; who is under way arrives."""
    target, status = draft.target, draft.status
    observed = replace(draft.observed, index=index, journeys={}, fleet=deepcopy(draft.observed.fleet))
    under_way = [host for host, journey in draft.journeys.items() if journey.step is not Step.FAILED]
    if under_way:
        hosts = _in_order(target, under_way)
        yield ForecastBatch(max(status.batch, 1), hosts, len(hosts), under_way=True)
        _arrive(target, observed, hosts)
    put_out(observed.fleet, ahead, out=True)
    while index.candidates and target.mode != "observe":
        at = Draft(target, observed, draft.now, status, {})
        number, chosen = next_batch(at)
        yield _batch(at, number, _in_order(target, chosen), ahead)
        ahead = []
        status = status.model_copy(update={"batch": number, "finished": None})


def _in_order(target: TargetSpec, hosts: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(hosts, key=lambda host: target.hosts[host].rank))


def _batch(draft: Draft, number: int, hosts: tuple[str, ...], ahead: Sequence[Beginning]) -> ForecastBatch:
    """The batch, gone through: as many as may be out together go, until all have arrived or nobody may go any more.

    Hosts of others that are out as it begins come back meanwhile.
    """
    together, left, waits = 0, hosts, ""
    while left and not waits:
        going, lacks = _who_may_go(draft, left)
        put_out(draft.observed.fleet, ahead, out=False)
        together = together or len(going)
        _arrive(draft.target, draft.observed, going)
        left = tuple(host for host in left if host not in going)
        waits = "" if going or ahead else f"{left[0]}: {lacks}"
        ahead = []
    _arrive(draft.target, draft.observed, left)
    is_new = draft.status.succeeded_digest != draft.target.digest
    awaits_go = is_new and number in draft.target.rollout.pause_after
    return ForecastBatch(number, hosts, together, waits, awaits_go)


def _who_may_go(draft: Draft, hosts: tuple[str, ...]) -> tuple[list[str], str]:
    """Those of the hosts that may be taken out together now, and why the first of the others may not."""
    room, going, why = Room(draft), list[str](), ""
    for host in hosts:
        lacks = room.lacks(host)
        why = why or lacks
        if not lacks:
            room.take(host)
            going.append(host)
    return going, why


def _arrive(target: TargetSpec, observed: Observed, hosts: Iterable[str]) -> None:
    arrived = Classification(Standing.CURRENT, available=target.release is not None, settled=True)
    for host in hosts:
        observed.index.put(target.hosts[host], arrived)
        if observed.fleet is not None:
            observed.fleet.put_host(target.name, host, target.hosts[host].zone, out=False)


# --- what is in the way, and what would not happen


def _in_the_way(draft: Draft, index: TargetIndex, status: RolloutStatus) -> Iterator[Obstacle]:
    at = replace(draft, observed=replace(draft.observed, index=index))
    found = [each for each in obstacles(at) if each.reason not in PREPARING]
    if not draft.journeys and needs_downtime(at):
        words = "the only host serves customers; write rollout.downtime: allowed, or add a host"
        found.append(Obstacle("NeedsDowntime", words, stalls=True))
    for each in found:
        yield each if each.since else replace(each, since=_since(each, status))


def _since(each: Obstacle, status: RolloutStatus) -> datetime | None:
    """Since when it has been in the way already; None if it would begin to be."""
    for kind in ("Stalled", "Reconciling"):
        shown = find(status.conditions, kind)
        if shown and (shown.status, shown.reason) == ("True", each.reason):
            return shown.last_transition_time
    return None


def _left_out(index: TargetIndex, taken_over: Collection[str]) -> Iterator[LeftOut]:
    taken = (Standing.CURRENT, Standing.OUTDATED, Standing.OUT, Standing.IN_FLIGHT)
    for host, now in sorted(index.hosts.items()):
        if now.standing not in taken and host not in taken_over:
            yield LeftOut(host, now.standing, now.why)


def _forgotten(spec: TargetSpec, before: TargetSpec | None) -> tuple[str, ...]:
    if before is None or spec.mode == "observe":
        return ()
    return tuple(sorted(before.hosts.keys() - spec.hosts.keys()))


def _effect(
    spec: TargetSpec, before: TargetSpec | None, batches: tuple[ForecastBatch, ...], taken_over: Collection[str]
) -> Effect:
    if not spec.hosts:
        return "noHosts"
    if not batches:
        return _without_batches(spec, taken_over)
    if spec.unsigned:
        return "unsigned"
    if spec.in_place_of:
        return "rolledBack"
    if spec.release is None:
        return "removes"
    return "moves" if before and before.digest != spec.digest and before.release else "deploys"


def _without_batches(spec: TargetSpec, taken_over: Collection[str]) -> Effect:
    if spec.mode == "observe":
        return "observes"
    if spec.in_place_of:
        return "rolledBack"
    return "adopts" if taken_over else "settings"


def _message(draft: Draft, effect: Effect) -> str:
    spec = draft.target
    if effect == "observes":
        return f"mode is observe, so nothing is touched; {what_would_happen(draft)}"
    if effect == "noHosts":
        return "the service's selector matches no host of the fleet"
    if effect == "unsigned":
        return spec.unsigned
    if effect == "rolledBack":
        runs = f"version {spec.version}" if spec.version else "nothing"
        return f"version {spec.in_place_of} failed here and is in quarantine: {runs} takes its place"
    return ""


def _version(spec: TargetSpec | None) -> str | None:
    if spec is None:
        return None
    return spec.version if spec.release else "absent"


# --- the digest


def _digest(made: Forecast) -> str:
    said: Mapping[str, object] = {
        "target": made.target,
        "effect": made.effect,
        "release": made.release,
        "spec": made.spec.fingerprint if made.spec else "",
        "batches": [[each.number, list(each.hosts), each.under_way] for each in made.batches],
        "obstacles": sorted([each.reason, each.name] for each in made.obstacles),
        "leftOut": [[each.host, each.standing.value] for each in made.left_out],
        "adopted": list(made.adopted),
        "forgotten": list(made.forgotten),
    }
    return _hash(said)


def _hash(said: object) -> str:
    return hashlib.sha256(canonical_json(said)).hexdigest()

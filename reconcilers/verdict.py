"""How a target stands after a pass: its conditions, and whether its rollout has succeeded."""

from typing import Literal

from crds.status import Quarantine, Step
from reconcilers.batch import needs_downtime
from reconcilers.classify import Standing
from reconcilers.conditions import find, is_restarting, set_condition
from reconcilers.draft import Draft
from reconcilers.leaving import leaving_words
from reconcilers.lost import lost_hosts
from reconcilers.obstacles import obstacle, obstacles
from reconcilers.order import noted
from reconcilers.rollback import remembered
from reconcilers.room import Room
from reconcilers.stages import arrived, contract, unverified
from reconcilers.turns import take_turn
from reconcilers.words import NAMED, listed


def conclude(draft: Draft) -> None:
    """Set counts and conditions, and end the rollout once every host but the excluded ones has arrived."""
    draft.status = draft.status.model_copy(update={"counts": draft.observed.index.counts()})
    verifying = unverified(draft) if arrived(draft) else None
    complete = arrived(draft) and verifying is None
    if complete:
        _finish(draft)
    take_turn(draft)
    in_the_way = next(obstacles(draft), None) if complete else None
    follows = contract(draft, in_the_way.message if in_the_way else "") if complete else None
    stalled = follows[:2] if follows and follows[2] else _stalled(draft, complete)
    _condition(draft, "Stalled", stalled)
    waits = follows[:2] if follows else verifying if verifying else _leaving(draft) if complete else _reconciling(draft)
    _condition(draft, "Reconciling", None if stalled else waits)
    _ready(draft, complete)
    ready = complete and not draft.target.in_place_of
    draft.status = noted(draft.status, draft.target, ready, draft.now, draft.observed.watching_since)
    _rolled_back(draft, complete)
    _drifted(draft)


def _finish(draft: Draft) -> None:
    status = remembered(draft.status, draft.target, draft.now)
    draft.status = status.model_copy(update={"hold": None})
    if draft.status.finished is None:
        draft.status = draft.status.model_copy(update={"finished": draft.now, "succeeded_digest": draft.target.digest})
        verb, reason = ("RolledBack", "RolledBack") if draft.target.in_place_of else ("RolloutSucceeded", "Converged")
        draft.event(verb, draft.target.name, reason, f"version {draft.target.version or 'none'}")


def _condition(draft: Draft, kind: str, because: tuple[str, str] | None) -> None:
    value: Literal["True", "False"] = "True" if because else "False"
    reason, message = because or (f"Not{kind}", "")
    draft.status = set_condition(draft.status, kind, value, reason, message, draft.now)


def _ready(draft: Draft, complete: bool) -> None:
    counts, version = draft.status.counts, draft.target.version or "nothing"
    run = "restarted with" if is_restarting(draft.status) else "run"
    message = f"{counts.current} of {counts.total} hosts {run} {version}, healthy and online"
    if counts.excluded:
        message += f"; excluded: {_names(draft, Standing.EXCLUDED)}"
    if complete and (lost := lost_hosts(draft)):
        message += f"; lost: {listed([f'{host} ({draft.facts(host).silence()})' for host in lost])}"
    if draft.target.in_place_of:
        message += f", in place of {draft.target.in_place_of}"
    ready = complete and not draft.target.in_place_of
    reason = "Converged" if ready else "RolledBack" if complete else "NotConverged"
    draft.status = set_condition(draft.status, "Ready", "True" if ready else "False", reason, message, draft.now)


def _drifted(draft: Draft) -> None:
    """Who runs something else than what it was brought to, and what; gone once nobody does."""
    index = draft.observed.index
    if index.standings[Standing.DRIFTED]:
        message = _names(draft, Standing.DRIFTED)
        draft.status = set_condition(draft.status, "Drifted", "True", "Reported", message, draft.now)
        return
    repaired = {host: what for host, what in draft.status.drifted.items() if host in draft.journeys}
    if repaired != draft.status.drifted:
        draft.status = draft.status.model_copy(update={"drifted": repaired})
    if repaired:
        message = listed([f"{host} ({what})" for host, what in sorted(repaired.items())])
        draft.status = set_condition(draft.status, "Drifted", "True", "Repaired", message, draft.now)
    elif find(draft.status.conditions, "Drifted"):
        _condition(draft, "Drifted", None)


def _rolled_back(draft: Draft, complete: bool) -> None:
    """Which release failed and why, and what takes its place; False once git or somebody has moved on."""
    bad = draft.status.quarantine
    if draft.target.in_place_of and bad is not None:
        gone = "runs in its place" if complete else "takes its place"
        message = f"{_why(bad)}; version {draft.target.version} {gone}"
        draft.status = set_condition(draft.status, "RolledBack", "True", bad.reason, message, draft.now)
    elif find(draft.status.conditions, "RolledBack"):
        _condition(draft, "RolledBack", None)


def _why(bad: Quarantine) -> str:
    return f"version {bad.version or 'none'} was taken back: {bad.message}"


def _stalled(draft: Draft, complete: bool) -> tuple[str, str] | None:
    """Why nothing will move until somebody changes something."""
    bad = draft.status.quarantine
    if complete and draft.target.in_place_of and bad is not None:
        ends = f"It goes on with the next release, or 'drumbeat rollout retry {draft.target.name}'"
        return "RolledBack", f"{_why(bad)}; version {draft.target.version} runs in its place. {ends}"
    if not draft.target.hosts:
        return "NoHosts", "the service's selector matches no host of the fleet; change spec.hosts or a host's labels"
    for each in obstacles(draft):
        if each.stalls and (not complete or draft.status.counts.current < draft.status.counts.total):
            return each.reason, each.message
    if not draft.journeys and needs_downtime(draft):
        return "NeedsDowntime", "the only host serves customers; write rollout.downtime: allowed, or add a host"
    return _left_over(draft)


def _left_over(draft: Draft) -> tuple[str, str] | None:
    """Hosts for which nothing is tried any more, once nobody else is on the way."""
    if words := _stopped_by_failed_hosts(draft):
        return "HostsFailed", words
    if words := _stopped_by_others(draft):
        return "PlacesKept", words
    index = draft.observed.index
    if draft.journeys or index.candidates or index.standings[Standing.UNKNOWN]:
        return None
    if index.standings[Standing.DRIFTED]:
        left = _names(draft, Standing.DRIFTED)
        return "Drifted", f"rollout.drift is report, so that these are left as they are: {left}"
    if index.standings[Standing.UNADOPTED]:
        return "NotAdopted", f"left alone, as nothing was taken over there: {_names(draft, Standing.UNADOPTED)}"
    return None


def _stopped_by_failed_hosts(draft: Draft) -> str:
    """In words, that nobody moves any more but for hosts which have failed and are tolerated; empty if somebody may.

    Either all others have arrived, or what the failed ones take of the budget leaves no room for the next.
    """
    index = draft.observed.index
    failed = sorted(host for host, journey in draft.journeys.items() if journey.step is Step.FAILED)
    waiting = [host for host, journey in draft.journeys.items() if journey.step is Step.WAITING]
    if not failed or len(failed) + len(waiting) < len(draft.journeys) or index.standings[Standing.UNKNOWN]:
        return ""
    named = listed([f"{host} ({draft.journeys[host].reason})" for host in failed])
    if not waiting:
        return "" if index.candidates else f"all others have arrived: {named}"
    room, others, fleet = Room(draft), index.unavailable - len(failed), draft.observed.fleet
    if others > 0 or obstacle(draft) or not all(room.lacks(host) for host in waiting):
        return ""
    if fleet and not fleet.stay_full(room.lacking, draft.target.name):
        return ""
    return f"failed hosts take up the budget: {named}"


def _stopped_by_others(draft: Draft) -> str:
    """In words, that it waits for places of its fleet which stay taken until somebody mends another target."""
    fleet, name, limits = draft.observed.fleet, draft.target.name, draft.lacking
    if fleet is None or not draft.stuck or not limits or obstacle(draft):
        return ""
    has_some = any(fleet.holders[limit, name] for limit in limits)
    if has_some or draft.observed.index.standings[Standing.UNKNOWN] or not fleet.stay_full(limits, name):
        return ""
    words = "; ".join(fleet.words(limit, name) for limit in sorted(limits))
    return f"{words}. They stay out until somebody mends what failed there: {listed(fleet.others_with(limits, name))}"


def _reconciling(draft: Draft) -> tuple[str, str]:
    """What the target waits for now, and whether on its way forward or back."""
    reason, message = _waits_for(draft)
    back = draft.target.in_place_of
    return reason, f"rolling back from {back} to {draft.target.version}: {message}" if back else message


def _leaving(draft: Draft) -> tuple[str, str] | None:
    """All who stay have arrived, and others have not left yet."""
    words = leaving_words(draft)
    return ("HostsLeaving", words) if words else None


def _waits_for(draft: Draft) -> tuple[str, str]:
    if in_the_way := obstacle(draft):
        return in_the_way.reason, in_the_way.message
    batch = [journey for journey in draft.journeys.values() if journey.step is not Step.FAILED]
    moving = [f"{journey.host} {journey.step}" for journey in batch if journey.step is not Step.WAITING]
    if moving:
        return "BatchUnderWay", f"batch {draft.status.batch}: {listed(moving)}"
    if batch:
        return "Waiting", f"{batch[0].host}: {batch[0].reason}"
    if draft.observed.index.candidates:
        return "NextBatch", "the next batch begins"
    for standing in (Standing.UNKNOWN, Standing.UNHEALTHY):
        if draft.observed.index.standings[standing]:
            return f"Hosts{standing.capitalize()}", _names(draft, standing)
    return "Settling", "the last answers are awaited"


def _names(draft: Draft, standing: Standing) -> str:
    index = draft.observed.index
    names = index.named.get(standing, [])
    return listed([f"{name} ({index.hosts[name].why})" for name in names[:NAMED]], len(names))

"""What keeps hosts from being taken out: the one list, asked when a batch would begin and at each host's boundary.

Whoever is under way already is not held up by any of these: hosts are finished, not left half-way. An obstacle may end
by time alone (``until``), by an answer, or only by somebody's change (``stalls``).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from crds.status import Step
from reconcilers.classify import Standing
from reconcilers.draft import Draft
from reconcilers.freezes import Frozen, frozen
from reconcilers.index import Need
from reconcilers.limits import ROLLOUTS, FleetIndex
from reconcilers.manual import awaits_go
from reconcilers.marks import marked
from reconcilers.modes import what_would_happen
from reconcilers.order import halted, not_ready, unfinished, unproven
from reconcilers.rollback import is_quarantined
from reconcilers.singletons import runs_elsewhere
from reconcilers.sizes import limit_of
from reconcilers.stages import PREPARING, unprepared

ROLLOUTS_LIMITED = "RolloutsLimited"


@dataclass(frozen=True)
class Obstacle:
    """Why no host is taken out now."""

    reason: str
    """One word in CamelCase: the reason of the condition that shows it."""
    message: str
    """One sentence for people."""
    stalls: bool = False
    """Nothing moves until somebody changes something."""
    mends: bool = False
    """Hosts that serve nobody may be brought to the release that all others ran already: it disrupts nothing."""
    until: datetime | None = None
    """When time alone ends it; None if time does not."""
    since: datetime | None = None
    """Since when, where it knows that itself; otherwise the condition that shows it does."""
    name: str = ""
    """Which one, where there may be several with this reason."""


def obstacle(draft: Draft, serving: bool = True) -> Obstacle | None:
    """The first thing that is in the way; None: hosts may be taken out.

    ``serving``: of hosts that serve customers; for hosts that serve nobody less may be in the way.
    """
    return next((each for each in obstacles(draft) if serving or not (each.mends and _is_proven(draft))), None)


def _is_proven(draft: Draft) -> bool:
    return draft.status.succeeded_digest == draft.target.digest


def may_prepare(draft: Draft) -> bool:
    """Only the preparation itself is in the way of the hosts that go first; less is, where those serve nobody."""
    candidates = draft.observed.index.candidates
    waits_outside = any(journey.step is Step.LEAVING for journey in draft.journeys.values())
    mends = _is_proven(draft) and (waits_outside or bool(candidates and candidates[0][0] is not Need.BUDGET))
    return all(each.reason in PREPARING or (mends and each.mends) for each in obstacles(draft))


def obstacles(draft: Draft) -> Iterator[Obstacle]:
    """Everything that is in the way, in the order in which people should hear of it."""
    yield from _observed(draft)
    if draft.status.hold is not None:
        hold = draft.status.hold
        goes_on = f"It goes on with the next release, or 'drumbeat rollout retry {draft.target.name}'"
        yield Obstacle(hold.reason, f"{hold.message}. {goes_on}", stalls=True, since=hold.since)
    if draft.status.pause is not None:
        pause = draft.status.pause
        message = f"paused {marked(pause)}. 'drumbeat rollout resume {draft.target.name}' lets it go on"
        yield Obstacle("Paused", message, stalls=pause.until is None, until=pause.until, since=pause.since)
    if awaits_go(draft.target, draft.status, draft.journeys):
        go = f"'drumbeat rollout resume {draft.target.name}' begins the next"
        yield Obstacle("AwaitingGo", f"batch {draft.status.batch} is done; {go}", stalls=True)
    if is_quarantined(draft.target, draft.status):
        yield Obstacle("Quarantined", "the release is in quarantine: another one takes its place")
    if draft.target.unsigned:
        yield Obstacle("Unsigned", draft.target.unsigned, stalls=True)
    if draft.observed.silent_balancers:
        yield Obstacle("BalancerSilent", "; ".join(draft.observed.silent_balancers))
    yield from _elsewhere(draft)
    if unknown := _too_many_unknown(draft):
        yield Obstacle("TooManyUnknown", unknown)
    if not _is_proven(draft) and not draft.target.in_place_of:
        yield from _out_of_order(draft)
    back = bool(draft.target.in_place_of)
    freeze = None if draft.target.break_glass else frozen(draft.target.freezes, draft.now, rolling_back=back)
    if freeze:
        yield Obstacle("Frozen", _frozen_words(freeze), mends=True, until=freeze.until, name=freeze.name)
    fleet = draft.observed.fleet
    if fleet and _begins(draft, fleet) and fleet.left(ROLLOUTS, draft.target.name) <= 0:
        yield Obstacle(ROLLOUTS_LIMITED, fleet.words(ROLLOUTS, draft.target.name))
    if because := unprepared(draft):
        yield Obstacle(*because)
    yield from _undecided(draft)


def _begins(draft: Draft, fleet: FleetIndex) -> bool:
    """Hosts are to be taken out for a rollout that is not under way, or is one too many and between two batches.

    It may be since the fleet allows fewer than before, or since its target was not declared for a while.
    """
    moves = any(journey.step not in (Step.WAITING, Step.FAILED) for journey in draft.journeys.values())
    goes_on = draft.status.under_way and (moves or not fleet.exceeds(ROLLOUTS))
    return draft.has_hosts_to_take() and not goes_on


def _elsewhere(draft: Draft) -> Iterator[Obstacle]:
    if found := runs_elsewhere(draft):
        message, until = found
        yield Obstacle("RunsElsewhere", message, until=until)


def _undecided(draft: Draft) -> Iterator[Obstacle]:
    unknown = draft.target.mode == "" and not draft.status.unclaimed
    if unknown and (draft.undecided or draft.observed.index.candidates):
        yield Obstacle("Undecided", draft.undecided or "the first answers about its hosts are awaited")


def _observed(draft: Draft) -> Iterator[Obstacle]:
    """Nothing is touched: because the mode says so, or because nobody has said whose the service is."""
    if draft.target.mode == "observe":
        yield Obstacle("Observed", f"mode is observe, so nothing is touched; {what_would_happen(draft)}", stalls=True)
    elif draft.target.mode == "" and draft.status.unclaimed:
        remedy = "write mode: adopt to take over what runs, manage to roll releases out, or observe to leave it so"
        message = f"{draft.status.unclaimed}; {remedy}. If managed, {what_would_happen(draft)}"
        yield Obstacle("Unclaimed", message, stalls=True)


def _out_of_order(draft: Draft) -> Iterator[Obstacle]:
    """What must come before a release that is new here."""
    target, observed = draft.target, draft.observed
    if words := halted(target, observed.failed(draft.status.rollout_revision)):
        yield Obstacle("Halted", words, stalls=True)
    if words := not_ready(target.depends_on, observed.others):
        yield Obstacle("DependsOn", f"waits until these are ready with their release: {words}")
    if words := unfinished(target.earlier, observed.others):
        yield Obstacle("Wave", f"services of earlier waves come first: {words}")
    if missing := unproven(target, observed.others, draft.now):
        yield Obstacle("After", missing.words, until=missing.until)


def _too_many_unknown(draft: Draft) -> str:
    """In words, how many hosts cannot be told more than are tolerated; empty if they are not too many."""
    limit, total = draft.target.rollout.max_unknown, len(draft.target.hosts)
    unknown = draft.observed.index.standings[Standing.UNKNOWN]
    if limit is None or unknown <= limit_of(limit, total):
        return ""
    return f"{unknown} of {total} hosts are unknown, and maxUnknown tolerates {limit_of(limit, total)}"


def _frozen_words(freeze: Frozen) -> str:
    until = f"until {freeze.until:%Y-%m-%d %H:%M} UTC" if freeze.until else "without an end"
    return f"frozen {until} by {freeze.name}: {freeze.reason}"

"""Rolling back: which release takes the place of one that failed here, and how people change their mind about it.

Git keeps declaring the failed release; Drumbeat does not fight it by commits. The release is put into quarantine, and
while git declares it, the target is planned as if git declared the last good release in its place. Everything else is
the ordinary machinery: batches, budget, drains, gates. It ends when git declares another release, or by ``retried``.
"""

from dataclasses import replace
from datetime import datetime

from crds.service import Migrations, Rollout
from crds.status import GoodRelease, Quarantine, RolloutStatus
from reconcilers.target import TargetSpec


def effective(declared: TargetSpec, status: RolloutStatus) -> TargetSpec:
    """What the target is to be now: as declared, with the last good release in the place of a quarantined one.

    That release comes with its own probes and gates, since those of the failed one may ask for what it does not have,
    and with its own statement: nodes judge it as they would any other. Hosts, pools and runners are the declared ones.
    """
    if status.quarantine is None or status.quarantine.digest != declared.digest:
        return declared
    good = way_back(status, declared.digest)
    if good is None:
        return declared
    return replace(
        declared,
        release=good.release,
        version=good.release.version,
        probes=tuple(good.probes),
        gates=tuple(good.gates),
        migrations=Migrations(),
        rollout=_on_the_way_back(declared.rollout),
        statement=good.statement,
        unsigned=_unsigned(declared, good),
        in_place_of=declared.version or "nothing",
    )


def _on_the_way_back(rollout: Rollout) -> Rollout:
    """The rollout with what ``rollback`` says in place of its own."""
    other = rollout.rollback
    chosen = {"batches": other.batches, "max_unavailable": other.max_unavailable, "soak": other.soak}
    return rollout.model_copy(update={name: value for name, value in chosen.items() if value is not None})


def _unsigned(declared: TargetSpec, good: GoodRelease) -> str:
    """A fleet that demands signatures demands them of this release, too. Whether they still count, its nodes say."""
    if declared.trust is None or good.statement is not None:
        return ""
    return f"version {good.release.version}, which would be gone back to, was never signed; release another version"


def way_back(status: RolloutStatus, digest: str) -> GoodRelease | None:
    """The last good release other than the one with this digest; None on a first deployment."""
    known = (good for good in (status.good, status.former) if good is not None)
    return next((good for good in known if good.release.digest != digest), None)


def rollback_barred(status: RolloutStatus) -> str:
    """In words, why there is no way back from what was done to the target; empty if there is."""
    return f"there is no way back: {status.no_return}" if status.no_return else ""


def is_quarantined(target: TargetSpec, status: RolloutStatus) -> bool:
    """The very release that is planned for is not to be tried here."""
    return status.quarantine is not None and status.quarantine.digest == target.digest


def cannot_roll_back(target: TargetSpec, status: RolloutStatus) -> str:
    """In words, why the rollout of this release is held rather than rolled back; empty if it may be rolled back."""
    if target.in_place_of:
        return "rolling back has failed itself"
    if target.release is None:
        return "a removal is not rolled back"
    if status.good is not None and status.good.release.digest == target.digest:
        return "every host ran this release before, so that it is not rolled back"
    if way_back(status, target.digest) is None:
        return "there is nothing to go back to: no other release ran on every host yet"
    return rollback_barred(status)


def quarantined(status: RolloutStatus, quarantine: Quarantine) -> RolloutStatus:
    """The status once the release is not to be tried again; a hold ends, since the way back is another rollout."""
    return status.model_copy(update={"quarantine": quarantine, "hold": None, "stopwatch": None})


def undone(status: RolloutStatus, by: str, message: str, now: datetime) -> RolloutStatus:
    """The status once somebody has asked to go back to the good release before the present one.

    Raises ValueError where that cannot be, with the reason in words.
    """
    if status.quarantine is not None:
        raise ValueError(f"version {status.quarantine.version} is in quarantine already; version {status.version} runs")
    if way_back(status, status.digest) is None:
        raise ValueError("there is nothing to go back to: no other release ran on every host yet")
    if barred := rollback_barred(status):
        raise ValueError(barred)
    digest, version = status.digest, status.version
    asked = Quarantine(digest=digest, version=version, reason="Undone", message=message, since=now, by=by)
    return quarantined(status, asked)


def retried(status: RolloutStatus, now: datetime) -> RolloutStatus:
    """The status once somebody has asked to try again: quarantine and hold end, older failures count no more."""
    return status.model_copy(update={"quarantine": None, "hold": None, "stopwatch": None, "retried": now})


def remembered(status: RolloutStatus, target: TargetSpec, now: datetime) -> RolloutStatus:
    """The status once every host of the target runs its release: that is the good one now.

    The one before is kept for ``undone``, unless it is in quarantine. A removed service begins anew.
    """
    if target.release is None:
        return status.model_copy(update={"good": None, "former": None})
    known = status.good
    since = known.since if known and known.release.digest == target.digest else now
    good = GoodRelease(
        release=target.release,
        statement=target.statement,
        probes=list(target.probes),
        gates=list(target.gates),
        since=since,
    )
    if good == known:
        return status
    former = way_back(status, target.digest)
    bad = status.quarantine.digest if status.quarantine else ""
    if former is not None and former.release.digest == bad:
        former = None
    return status.model_copy(update={"good": good, "former": former})


def settled(status: RolloutStatus, target: TargetSpec) -> RolloutStatus:
    """The status without a quarantine that git has left behind by declaring another release."""
    bad = status.quarantine
    if bad is None or bad.digest == target.digest or target.in_place_of:
        return status
    return status.model_copy(update={"quarantine": None})

"""Standing aside: a host that waits in MAINT for people, or for a migration, is left to other targets meanwhile.

A claim keeps two targets from moving one host at once. Once a rollout is held or paused, its hosts that are out of the
pools (MAINT was read back) yield: they go on as long as nobody else wants them, and another service's hotfix may take
them. So do hosts that are out while what comes before a newer release is not done yet: a freeze may keep it from
beginning for days.
While another target has the host, its journey stands still, whatever happens to its own rollout; it goes on from the
same step once the other one has arrived or failed there.
"""

from crds.status import Journey, Step
from reconcilers.draft import Draft
from reconcilers.stages import unprepared


def stand_aside(draft: Draft) -> None:
    """Note which journeys yield now. Only a journey that does not yield is a claim."""
    held = draft.status.hold is not None or draft.status.pause is not None
    waits = unprepared(draft) is not None
    for host, journey in list(draft.journeys.items()):
        if journey.step in (Step.WAITING, Step.FAILED) or not (held or waits or journey.yields or draft.concerns(host)):
            continue
        free = journey.out and (held or (waits and journey.step is Step.LEAVING))
        yields = free or draft.facts(host).claimed_by is not None
        if journey.yields != yields:
            draft.put(host, journey.model_copy(update={"yields": yields}))


def stands_still(draft: Draft, journey: Journey) -> bool:
    """Another target has the host: nothing is concluded about it until it is ours again, and no time runs."""
    return journey.yields and draft.facts(journey.host).claimed_by is not None

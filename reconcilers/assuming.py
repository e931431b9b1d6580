"""Assuming: forecasts from desired states alone, where no controller can say how hosts really stand.

It is assumed that every host runs what was declared before, healthy, online and reporting, and that all of it has been
so for as long as anybody may ask.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from math import inf

from crds.status import Condition, ProvenEdition, RolloutStatus, status_of
from reconcilers.classify import Classification, Standing
from reconcilers.draft import Observed
from reconcilers.facts import HostFacts
from reconcilers.forecast import Beginnings, Forecast, differs, forecast, orphaned
from reconcilers.index import rebuilt
from reconcilers.limits import FleetIndex
from reconcilers.order import Other
from reconcilers.target import TargetSpec

Specs = Mapping[str, TargetSpec]


def assumed_forecasts(before: Specs, after: Specs, now: datetime) -> list[Forecast]:
    """What would happen to each target that differs, by name."""
    statuses = {name: _status(spec, now) for name, spec in before.items()}

    def other(name: str) -> Other | None:
        spec = after.get(name)
        return Other(spec, status_of(statuses, name), now) if spec else None

    changed, begun = [after[name] for name in sorted(after) if differs(before.get(name), after[name])], Beginnings()
    found = [
        forecast(spec, _observed(spec, before.get(spec.name), statuses, other, now), before.get(spec.name), now, begun)
        for spec in changed
    ]
    found += [orphaned(before[name]) for name in before.keys() - after.keys()]
    return sorted(found, key=lambda each: each.target)


def _status(spec: TargetSpec, now: datetime) -> RolloutStatus:
    ready = Condition(type="Ready", status="True", reason="Converged", last_transition_time=now, observed_generation=1)
    return RolloutStatus(
        target=spec.name,
        digest=spec.digest,
        succeeded_digest=spec.digest,
        finished=now,
        conditions=[ready],
        editions=[ProvenEdition(edition=spec.edition, version=spec.version, longest=inf)],
    )


def _observed(
    spec: TargetSpec,
    before: TargetSpec | None,
    statuses: Mapping[str, RolloutStatus],
    other: Callable[[str], Other | None],
    now: datetime,
) -> Observed:
    return Observed(
        status=status_of(statuses, spec.name),
        index=rebuilt(spec.hosts, {host: _stands(spec, before, host) for host in spec.hosts}),
        facts=lambda host: HostFacts(spec.hosts[host], silent=False),
        journeys={},
        operations={},
        runners=spec.runners,
        others=other,
        fleet=FleetIndex(spec.limits) if spec.limits else None,
        watching_since=now,
    )


def _stands(spec: TargetSpec, before: TargetSpec | None, host: str) -> Classification:
    """Hosts that are new to the target run nothing yet, and serve nobody."""
    runs = before.digest if before and before.release and host in before.hosts else "absent"
    current = runs == spec.digest
    behind = Standing.UNADOPTED if spec.mode == "adopt" and runs == "absent" else Standing.OUTDATED
    standing = Standing.CURRENT if current else behind
    return Classification(standing, available=runs != "absent", settled=current)

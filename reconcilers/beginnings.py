"""Beginnings: what targets that one commit changes take at once of what their fleet allows all of them.

Targets are planned in the order of their names: whoever comes first has the first choice of places, and the others wait
for it, or begin with other hosts.
"""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass

from crds.status import RolloutStatus
from reconcilers.limits import FleetIndex


@dataclass(frozen=True)
class Beginning:
    """A target that begins as soon as the commit is in force."""

    target: str
    zones: Mapping[str, str]
    """Of the hosts that it takes out at once, by name."""


def with_rollouts(fleet: FleetIndex | None, ahead: Sequence[Beginning]) -> FleetIndex | None:
    """What is known of the fleet, as a copy with these rollouts under way as well."""
    if fleet is None or not ahead:
        return fleet
    found = deepcopy(fleet)
    for each in ahead:
        found.put_status(RolloutStatus(target=each.target, under_way=True))
    return found


def put_out(fleet: FleetIndex | None, ahead: Sequence[Beginning], out: bool) -> None:
    """Count their first hosts as out, or as back."""
    if fleet is None:
        return
    for each in ahead:
        for host, zone in each.zones.items():
            fleet.put_host(each.target, host, zone, out)

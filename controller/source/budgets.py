"""Checks of how many hosts may be missing: what could never move is refused, with what to write instead."""

from collections.abc import Iterator

from controller.source.collection import Collection, Deployed
from controller.source.problems import Problem
from controller.source.validating import Loaded
from crds.fleet import Fleet
from reconcilers.sizes import at_least


def limit_problems(collection: Collection) -> Iterator[Problem]:
    """Warnings of fleets."""
    for fleet in collection.fleets.values():
        yield from _zones(fleet)


def _zones(fleet: Loaded) -> Iterator[Problem]:
    if not isinstance(fleet.model, Fleet) or fleet.model.spec.limits.per_zone is None:
        return
    without = [host.name for host in fleet.model.spec.hosts if host.zone is None]
    if without:
        message = f"{len(without)} hosts have no zone and are not limited by it, {without[0]} for one"
        yield fleet.document.problem(("spec", "limits", "perZone"), message, "write their zone", severity="warning")


def never_moves(each: Deployed) -> Iterator[Problem]:
    """An error where a service that is to be present asks for every one of its hosts."""
    amount, total = each.spec.rollout.min_available, len(each.hosts)
    # A single host that must not be missing is told apart: it needs leave for downtime first.
    possible = total > 1 or (total == 1 and each.spec.rollout.downtime == "allowed")
    if amount is None or not possible or at_least(amount, total) < total:
        return
    if total == 1:
        message = f"{amount} of 1 host on fleet {each.fleet_name} must be available, so that downtime never is allowed"
        hint = f"add a host, or leave minAvailable out for {each.fleet_name}"
    else:
        most = total - 1 if isinstance(amount, int) else f'"{(total - 1) * 100 // total}%"'
        message = f"{amount} of {total} hosts on fleet {each.fleet_name} are all of them: none could ever be taken out"
        hint = f"write at most {most}, or another amount for {each.fleet_name} in spec.fleets"
    yield each.problem(("rollout", "minAvailable"), message, hint)

"""Operators' commands on a pretend site."""

from crds.command import OperatorCommand, RolloutVerb
from crds.messages import Stamp
from reconcilers.operators import Case, Decision, decide
from reconcilers.writes import AddEvent
from tests.support.site import Site


def asked(reason: str = "looking into it", by: str = "ann", until: str = "") -> OperatorCommand:
    """What ann asks for."""
    return OperatorCommand(by=by, reason=reason, until=until)


def command(site: Site, verb: RolloutVerb, said: OperatorCommand | None = None, target: str = "api@prod") -> Decision:
    """Carry out a command, as the controller does. Raises Refused."""
    observed = site.world.observed(target)
    site.world.look_at_all(target)
    decision = decide(verb, Case(said or asked(), site.world.specs[target], observed, site.now))
    for write in decision.writes:
        if isinstance(write, AddEvent):
            site.events.append(write)
        site.world.apply(target, write, Stamp(0, 0))
    return decision

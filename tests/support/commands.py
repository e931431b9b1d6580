"""Operators' commands on a pretend site."""

from crds.command import NodeVerb, OperatorCommand, RolloutVerb
from crds.messages import Stamp
from reconcilers.exclusions import NodeCase, exclude, include, taken_out_again
from reconcilers.operators import Case, Decision, decide
from reconcilers.writes import AddEvent, DropExclusion, Write
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
        _carry_out(site, target, write)
    return decision


def command_node(site: Site, verb: NodeVerb, node: str, said: OperatorCommand | None = None) -> Decision:
    """The same about a node."""
    world = site.world
    case = NodeCase(said or asked(), node, world.declared.values(), world.exclusions, site.now)
    decision = exclude(case) if verb == "exclude" else include(case)
    for write in decision.writes:
        _carry_out(site, node, write)
        if isinstance(write, DropExclusion):
            for target, journeys in world.journeys.items():
                if target not in world.specs or node in world.specs[target].balancer_nodes:
                    for again in taken_out_again(target, list(journeys.values()), site.now):
                        _carry_out(site, target, again)
    return decision


def _carry_out(site: Site, about: str, write: Write) -> None:
    if isinstance(write, AddEvent):
        site.events.append(write)
    site.world.apply(about, write, Stamp(0, 0))

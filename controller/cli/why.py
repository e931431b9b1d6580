""" "Why is it not moving?": the conditions, who is waited for, and the next look, in words."""

from controller.cli.client import Resource
from controller.cli.words import age, hosts, leading, next_look, short

_NAMED = 8
"""Hosts that are named before "and N more"."""
_NOT_BELIEVED = ("it is revoked", "it is disputed")
"""How it is said that a host is silent because nobody listens to it."""


def why(target: Resource, state: Resource) -> list[str]:
    """The answer, the most important first; always at least one line."""
    return [*_condition(target), *_planning(target), *_waited_for(target), *_state(state), next_line(target)]


def _condition(target: Resource) -> list[str]:
    found = leading(target)
    if found is None:
        if not target["spec"]["declared"]:
            return ["Unknown: no revision that was read since the controller started declares it"]
        return ["Unknown: it has not been looked at yet"]
    for_how_long = f", for {age(found['lastTransitionTime'], target)}"
    return [f"{found['type']} ({found['reason']}{for_how_long}): {found['message']}"]


def _planning(target: Resource) -> list[str]:
    if not target["status"]["planningFails"]:
        return []
    return ["planning it raised an error; the controller's log says which ('plan.failed'), and it is tried again"]


def _waited_for(target: Resource) -> list[str]:
    """Every host that is on its way, and every one that nobody can act on, with its reason."""
    lines = [line for host in target["status"]["hosts"] if (line := _of_host(host, target))]
    lines += [_of_a_leaver(host, target) for host in target["status"]["leaving"]]
    rest = len(lines) - _NAMED
    return lines[:_NAMED] + ([f"and {hosts(rest)} more, see below"] if rest > 0 else [])


def _of_host(host: Resource, target: Resource) -> str:
    if host["step"]:
        reason = f": {host['reason']}" if host["reason"] else ""
        does = "has failed" if host["step"] == "failed" else f"is {host['step']}"
        return f"{host['name']} {does}, for {age(host['since'], target)}{reason}"
    if host["standing"] == "unknown" and host["silent"] and not host["why"].startswith(_NOT_BELIEVED):
        seen = f"for {age(host['lastSeen'], target)}" if host["lastSeen"] else "since the controller started"
        return f"{host['name']} is silent {seen}: it counts as unavailable, and is not acted on"
    if host["standing"] in ("unknown", "unhealthy", "excluded"):
        return f"{host['name']} is {host['standing']}: {host['why']}"
    return ""


def _of_a_leaver(host: Resource, target: Resource) -> str:
    does = f"leaves: {host['step']}" + (f", for {age(host['since'], target)}" if host["since"] else "")
    return f"{host['name']} {does}: {host['reason']}"


def _state(state: Resource) -> list[str]:
    lines = []
    if state["refused"]:
        in_force = short(state["revision"]["id"]) if state["revision"] else "nothing"
        lines.append(f"revision {short(state['refused']['id'])} was refused, {in_force} stays in force:")
        lines += [f"  {problem}" for problem in state["refused"]["problems"]]
    if state["sourceError"]:
        lines.append(f"the repository cannot be read, what is in force stays so: {state['sourceError']}")
    return lines


def next_line(target: Resource) -> str:
    """When the controller looks at it again."""
    return f"Next: {next_look(target)}"

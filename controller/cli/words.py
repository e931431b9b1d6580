"""Resources in words: ages, conditions, hosts."""

from datetime import datetime
from typing import Any

from controller.cli.client import Resource

_STEPS = ((120, "s", 1), (7200, "m", 60), (172800, "h", 3600))


def span(seconds: float) -> str:
    """A span of time in one number: 12s, 5m, 3h, 2d."""
    whole = max(int(seconds), 0)
    for limit, unit, size in _STEPS:
        if whole < limit:
            return f"{whole // size}{unit}"
    return f"{whole // 86400}d"


def age(time: str | None, resource: Resource) -> str:
    """How long before the resource was read that was, by the controller's own clock; ``-`` for never."""
    if not time:
        return "-"
    return span((observed_at(resource) - datetime.fromisoformat(time)).total_seconds())


def observed_at(resource: Resource) -> datetime:
    """The controller's time when it said this."""
    return datetime.fromisoformat(resource["metadata"]["observedAt"])


def short(digest: str | None) -> str:
    """The first twelve digits of a digest or a commit."""
    return digest[:12] if digest else "-"


def condition(resource: Resource, kind: str) -> dict[str, Any] | None:
    """The condition of that type, if it is True."""
    found = (each for each in resource["status"]["conditions"] if each["type"] == kind and each["status"] == "True")
    return next(found, None)


def leading(resource: Resource) -> dict[str, Any] | None:
    """The condition that the headline is made of."""
    found = (condition(resource, kind) for kind in ("Stalled", "Reconciling", "Ready"))
    return next((each for each in found if each), None)


def message_of(resource: Resource) -> str:
    """What the leading condition says."""
    found = leading(resource)
    return str(found["message"]) if found else ""


def hosts(count: int) -> str:
    """``1 host``, ``2 hosts``."""
    return f"{count} host" if count == 1 else f"{count} hosts"


def converged(resource: Resource) -> str:
    """``5 of 8 hosts run 2.14.1, healthy and online``."""
    counts = resource["status"]["counts"]
    version = resource["status"].get("version", resource["spec"]["version"]) or "nothing"
    excluded = f" ({counts['excluded']} excluded)" if counts["excluded"] else ""
    run = "restarted with" if resource["status"]["restarting"] else "run"
    return f"{counts['current']} of {counts['total']} hosts {run} {version}, healthy and online{excluded}"


def next_look(resource: Resource) -> str:
    """When the controller looks again, in words."""
    at = resource["status"]["nextWake"]
    if not at:
        return "looks again when a report or a commit arrives"
    seconds = (datetime.fromisoformat(at) - observed_at(resource)).total_seconds()
    return f"looks again in {span(seconds)}, or when a report or a commit arrives"

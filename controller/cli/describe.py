"""``drumbeat describe``: one resource in full, and the one answer to "why is it not moving?"."""

from collections.abc import Callable, Sequence
from typing import Annotated, get_args

import typer

from controller.cli.client import Client, Resource
from controller.cli.decided import decided
from controller.cli.events import TITLES, event_row
from controller.cli.kinds import POOL, kind_of, name_of
from controller.cli.options import SERVER, Server, explained
from controller.cli.tables import Table, colored, show
from controller.cli.why import why
from controller.cli.words import age, converged, hosts, short
from crds.status import Task

_EVENTS = 10
_LOGS = 4
"""Hosts whose log's end is shown."""


def describe(
    kind: Annotated[str, typer.Argument(help="target, node, rollout or pool; plural and short names will do.")],
    name: Annotated[str, typer.Argument(help="Its name; a pool is named NODE/POOL.")],
    server: Server = SERVER,
) -> None:
    """Show one target, node, rollout or pool in full; of a target also why it is not moving.

    Exit codes: 0 shown, 1 not found or no answer, 2 wrong use.
    """
    asked, client = kind_of(kind), Client(server)
    with explained():
        found = client.named(asked.plural, name)
        recent = _events(client, name) if asked is not POOL else []
        show(_DESCRIBERS[asked.name](client, found) + recent)


def _target(client: Client, target: Resource) -> list[str]:
    spec, status = target["spec"], target["status"]
    return [
        *_heading(target, converged(target)),
        *_fields(
            target,
            {
                "Profile": spec["profile"],
                "Break glass": spec["breakGlass"],
                "Gates": ", ".join(spec["gates"]),
                "Migrations": ", ".join(spec["migrations"]),
                "Freezes": ", ".join(spec["freezes"]),
                "No way back": status["noReturn"],
            },
        ),
        *_section("Decided by people", decided(target)),
        *_section("Why", why(target, client.state())),
        *_section("Conditions", _conditions(target)),
        *_section("Tasks", _tasks(target)),
        *_section("Hosts", _hosts(target)),
        *_section("Leaving", _leaving(target)),
        *_section("Logs", _logs(target)),
        *_section("Pools", _pools(target)),
        *_section("Runs", _running(status)),
    ]


def _rollout(client: Client, rollout: Resource) -> list[str]:
    target = client.named("targets", name_of(rollout))
    settings = rollout["spec"]["rollout"] or {}
    journeys = [
        (row["host"], row["batch"], row["step"], age(row["since"], rollout), row["reason"])
        for row in rollout["status"]["journeys"]
    ]
    operations = [
        (row["name"], row["host"], row["node"], row["state"], row["outcome"], row["message"])
        for row in rollout["status"]["operations"]
    ]
    plan = {
        "Batches": ", ".join(str(size) for size in settings.get("batches", [])),
        "Unavailable": f"{rollout['status']['counts']['unavailable']}, at most {settings.get('maxUnavailable', '-')}"
        + (f", at least {stays} available" if (stays := settings.get("minAvailable")) else ""),
        "Soak": settings.get("soak", "-"),
        "Approved": _approval(rollout),
        "No way back": rollout["status"]["noReturn"],
        "On failure": f"{settings.get('onFailure', '-')}, with more than {settings.get('maxFailed', 0)} failed hosts",
    }
    return [
        *_heading(rollout, converged(rollout)),
        *_fields(target, plan),
        *_section("Why", why(target, client.state())),
        *_section("Journeys", _table(("HOST", "BATCH", "STEP", "FOR", "REASON"), journeys)),
        *_section("Tasks", _tasks(rollout)),
        *_section("Operations", _table(("NAME", "HOST", "RUNNER", "STATE", "OUTCOME", "MESSAGE"), operations)),
        *_section("Output", _output(rollout)),
    ]


def _tasks(resource: Resource) -> list[str]:
    """What the release has done once, around its hosts, in order."""
    rows = [
        (row["task"], row["name"], row["state"], age(row["since"], resource), row["attempt"] + 1, row["message"])
        for row in sorted(resource["status"]["tasks"], key=lambda row: get_args(Task).index(row["task"]))
    ]
    return _table(("TASK", "NAME", "STATE", "FOR", "ATTEMPT", "MESSAGE"), rows)


def _output(rollout: Resource) -> list[str]:
    """The end of what operations have written that are about no host."""
    kept = [row for row in rollout["status"]["operations"] if not row["host"] and row["logTail"]]
    return [f"{row['name']}: {line}" for row in kept for line in row["logTail"]]


def _approval(rollout: Resource) -> str:
    said = rollout["status"]["approval"]
    return f"by {said['by']} {age(said['at'], rollout)} ago: {said['reason'] or 'no reason given'}" if said else ""


def _node(_client: Client, node: Resource) -> list[str]:
    spec, status = node["spec"], node["status"]
    term, serial = status["taken"]
    services = [
        (
            target,
            row["state"],
            row["version"],
            short(row["digest"]),
            _health(row["healthy"]),
            row["restarts"],
            row["message"],
        )
        for target, row in status["services"].items()
    ]
    fields = {
        "Roles": ", ".join(spec["roles"]) or "none in the revision in force",
        "Zone": spec["zone"],
        "Targets": ", ".join(spec["targets"]),
        "Seen": f"{age(status['lastSeen'], node)} ago" if status["lastSeen"] else "not since the controller started",
        "Agent": " on ".join(filter(None, (status["agentVersion"], status["platform"]))),
        "Assignment": f"has taken serial {serial} (term {term}); the newest is {status['assigned']}",
        "Pools": ", ".join(status["pools"]),
    }
    titles = ("TARGET", "STATE", "VERSION", "DIGEST", "HEALTHY", "RESTARTS", "MESSAGE")
    return [
        *_heading(node, status["message"]),
        *_labelled(fields),
        *_section("Services", _table(titles, services)),
    ]


def _pool(_client: Client, pool: Resource) -> list[str]:
    spec, status = pool["spec"], pool["status"]
    servers = [
        (row["name"], row["admin"], _health(row["up"]), row["sessions"], row["address"], row["by"], row["status"])
        for row in status["servers"]
    ]
    fields = {
        "Target": spec["target"],
        "Balancer": f"{spec['balancer']}, node {spec['node']}",
        "Use": spec["use"],
        "Servers": f"{status['counts']['ready']} ready, {status['counts']['drain']} in DRAIN, "
        f"{status['counts']['maint']} in MAINT; {status['counts']['up']} up",
    }
    return [
        *_heading(pool, status["message"]),
        *_labelled(fields),
        *_section("Servers", _table(("SERVER", "ADMIN", "UP", "SESSIONS", "ADDRESS", "BY", "STATUS"), servers)),
    ]


_DESCRIBERS: dict[str, Callable[[Client, Resource], list[str]]] = {
    "target": _target,
    "rollout": _rollout,
    "node": _node,
    "pool": _pool,
}


def _heading(resource: Resource, said: str) -> list[str]:
    headline = colored(resource["status"]["headline"])
    return [f"{name_of(resource)}: {headline}" + (f", {said}" if said else ""), ""]


def _fields(target: Resource, more: dict[str, str]) -> list[str]:
    spec, status = target["spec"], target["status"]
    batch = f"batch {status['batch']}" if status["batch"] else "no batch yet"
    finished = f", finished {age(status['finished'], target)} ago" if status["finished"] else ""
    started = f", started {age(status['started'], target)} ago" if status["started"] else ""
    return _labelled(
        {
            "Version": f"{spec['version'] or 'none: the service is to be removed'} (digest {short(spec['digest'])})",
            "Revision": short(spec["revision"]),
            "Generation": f"{target['metadata']['generation']} (observed {status['observedGeneration']})",
            "Rollout": batch + started + finished,
            "Mode": spec["mode"] if spec["mode"] != "manage" else "",
            "Quarantine": _quarantine(status["quarantine"], target),
            "Last good": status["goodVersion"],
            **more,
        }
    )


def _quarantine(bad: Resource | None, target: Resource) -> str:
    if not bad:
        return ""
    what = f"version {bad['version'] or 'none'} (digest {short(bad['digest'])})"
    return f"{what}, for {age(bad['since'], target)}, by {bad['by']}: {bad['message']}"


def _labelled(fields: dict[str, str]) -> list[str]:
    shown = {label: text for label, text in fields.items() if text}
    width = max(map(len, shown)) + 2
    return [f"{label + ':':<{width}} {text}" for label, text in shown.items()]


def _section(title: str, lines: list[str]) -> list[str]:
    return ["", f"{title}:", *(f"  {line}" for line in lines)] if lines else []


def _table(titles: tuple[str, ...], rows: Sequence[tuple[object, ...]]) -> list[str]:
    return Table(titles).lines(rows) if rows else []


def _conditions(target: Resource) -> list[str]:
    rows = [
        (each["type"], each["status"], each["reason"], age(each["lastTransitionTime"], target), each["message"])
        for each in target["status"]["conditions"]
    ]
    return _table(("TYPE", "STATUS", "REASON", "SINCE", "MESSAGE"), rows)


def _hosts(target: Resource) -> list[str]:
    rows = [
        (
            host["name"],
            host["zone"],
            host["standing"],
            host["version"] if not host["silent"] else f"{host['version'] or '-'} (last known)",
            _health(host["healthy"]) if not host["silent"] else "unknown",
            ", ".join(_seat(seat) for seat in host["seats"]),
            host["step"],
            age(host["since"], target),
            host["reason"] or host["why"],
        )
        for host in target["status"]["hosts"]
    ]
    return _table(("HOST", "ZONE", "STANDING", "VERSION", "HEALTHY", "POOLS", "STEP", "FOR", "REASON"), rows)


def _leaving(target: Resource) -> list[str]:
    """Hosts that are none of the target's any more."""
    rows = [
        (host["name"], host["step"], age(host["since"], target), host["reason"]) for host in target["status"]["leaving"]
    ]
    return _table(("HOST", "STEP", "FOR", "REASON"), rows)


def _logs(target: Resource) -> list[str]:
    """The end of the logs of hosts whose process failed, of the first few."""
    told = [host for host in target["status"]["hosts"] if host["logTail"]]
    rest = len(told) - _LOGS
    lines = [f"{host['name']}: {line}" for host in told[:_LOGS] for line in host["logTail"]]
    return lines + ([f"and those of {hosts(rest)} more: drumbeat get target -o json"] if rest > 0 else [])


def _seat(seat: Resource) -> str:
    state = seat["admin"] + ("" if seat["admin"] != "ready" or seat["up"] else " but down")
    by = " by a person" if seat["by"] == "person" else ""
    sessions = f" ({seat['sessions']} sessions)" if seat["sessions"] and seat["admin"] != "ready" else ""
    return f"{seat['node']}/{seat['pool']} {state}{by}{sessions}"


def _health(healthy: bool | None) -> str:
    return {True: "yes", False: "no", None: "unknown"}[healthy]


def _pools(target: Resource) -> list[str]:
    rows = [
        (pool["balancer"], ", ".join(pool["nodes"]), pool["online"], pool["maintenance"], pool["port"])
        for pool in target["spec"]["pools"]
    ]
    return _table(("BALANCER", "NODES", "ONLINE", "MAINTENANCE", "PORT"), rows)


def _running(status: Resource) -> list[str]:
    lines = [
        f"{hosts(row['hosts'])}: {row['version'] or 'nothing'} (digest {short(row['digest'])})"
        for row in status["running"]
    ]
    return lines + ([f"{hosts(status['unknown'])}: unknown, because silent"] if status["unknown"] else [])


def _events(client: Client, about: str) -> list[str]:
    recent = client.events(about, limit=_EVENTS)["items"]
    return _section("Recent events", _table(TITLES, [tuple(event_row(event)) for event in recent]))

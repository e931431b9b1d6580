"""The kinds that get and describe know: their names, and the columns of their tables."""

from collections.abc import Callable
from dataclasses import dataclass

import typer

from controller.cli.client import Resource
from controller.cli.words import age, leading, message_of, short


@dataclass(frozen=True)
class Column:
    """A column of a table."""

    title: str
    cell: Callable[[Resource], object]
    wide: bool = False
    """Only with -o wide."""


@dataclass(frozen=True)
class Kind:
    """A kind of resource."""

    name: str
    aliases: tuple[str, ...]
    columns: tuple[Column, ...]

    @property
    def plural(self) -> str:
        """The name in the API's paths."""
        return f"{self.name}s"


def name_of(resource: Resource) -> str:
    """The resource's name."""
    return str(resource["metadata"]["name"])


def _hosts(resource: Resource) -> str:
    counts = resource["status"]["counts"]
    return f"{counts['current']}/{counts['total']}"


def _count(of: str) -> Callable[[Resource], object]:
    return lambda resource: resource["status"]["counts"][of]


def _status(field: str) -> Callable[[Resource], object]:
    return lambda resource: resource["status"][field]


def _spec(field: str) -> Callable[[Resource], object]:
    return lambda resource: resource["spec"][field]


def _since(resource: Resource) -> str:
    found = leading(resource)
    return age(found["lastTransitionTime"] if found else None, resource)


def _waits_for(resource: Resource) -> str:
    journeys = resource["status"]["journeys"]
    return next((f"{each['host']} {each['reason']}" for each in journeys if each["reason"]), "")


def _last_seen(node: Resource) -> str:
    late = " (overdue)" if node["status"]["overdue"] else ""
    return age(node["status"]["lastSeen"], node) + late


def _behind(resource: Resource) -> str:
    status = resource["status"]
    return "yes" if status["taken"][1] < status["assigned"] else "no"


_NAME = Column("NAME", name_of)
_STATUS = Column("STATUS", _status("headline"))
_SINCE = Column("SINCE", _since)
_MESSAGE = Column("MESSAGE", _status("message"), wide=True)

TARGET = Kind(
    "target",
    ("tg",),
    (
        _NAME,
        _STATUS,
        Column("VERSION", _spec("version")),
        Column("HOSTS", _hosts),
        Column("BATCH", _status("batch")),
        _SINCE,
        Column("FAILED", _count("failed"), wide=True),
        Column("UNKNOWN", _count("unknown"), wide=True),
        Column("EXCLUDED", _count("excluded"), wide=True),
        Column("UNAVAILABLE", _count("unavailable"), wide=True),
        Column("DIGEST", lambda target: short(target["spec"]["digest"]), wide=True),
        Column("REVISION", lambda target: short(target["spec"]["revision"]), wide=True),
        Column("MESSAGE", message_of, wide=True),
    ),
)

ROLLOUT = Kind(
    "rollout",
    ("ro",),
    (
        _NAME,
        _STATUS,
        Column("VERSION", _spec("version")),
        Column("BATCH", _status("batch")),
        Column("HOSTS", _hosts),
        Column("MOVING", lambda rollout: len(rollout["status"]["journeys"])),
        Column("STARTED", lambda rollout: age(rollout["status"]["started"], rollout)),
        Column("FINISHED", lambda rollout: age(rollout["status"]["finished"], rollout)),
        Column("UNAVAILABLE", _count("unavailable"), wide=True),
        Column("FAILED", _count("failed"), wide=True),
        Column("WAITS FOR", _waits_for, wide=True),
    ),
)

NODE = Kind(
    "node",
    ("no",),
    (
        _NAME,
        _STATUS,
        Column("ROLES", lambda node: ",".join(node["spec"]["roles"] or node["status"]["roles"])),
        Column("LAST SEEN", _last_seen),
        Column("ZONE", _spec("zone"), wide=True),
        Column("AGENT", _status("agentVersion"), wide=True),
        Column("PLATFORM", _status("platform"), wide=True),
        Column("BEHIND", _behind, wide=True),
        Column("TARGETS", lambda node: ",".join(node["spec"]["targets"]), wide=True),
        _MESSAGE,
    ),
)

POOL = Kind(
    "pool",
    ("pl",),
    (
        _NAME,
        _STATUS,
        Column("TARGET", _spec("target")),
        Column("USE", _spec("use")),
        Column("READY", _count("ready")),
        Column("DRAIN", _count("drain")),
        Column("MAINT", _count("maint")),
        Column("UP", _count("up")),
        Column("SESSIONS", _count("sessions"), wide=True),
        Column("BALANCER", _spec("balancer"), wide=True),
        _MESSAGE,
    ),
)

KINDS = (TARGET, NODE, ROLLOUT, POOL)


def kind_of(word: str) -> Kind:
    """The kind by singular, plural or short name. Raises BadParameter."""
    for kind in KINDS:
        if word.lower() in (kind.name, kind.plural, *kind.aliases):
            return kind
    known = ", ".join(f"{kind.plural} ({', '.join(kind.aliases)})" for kind in KINDS)
    raise typer.BadParameter(f"there is no kind {word!r}; write one of {known}")

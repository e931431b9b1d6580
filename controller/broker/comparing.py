"""What a broker lacks, has otherwise, or has too much: a pure comparison of two sets of RabbitMQ's definitions."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

Definition = Mapping[str, Any]
Definitions = Mapping[str, Sequence[Definition]]

_FIXED: dict[str, tuple[str, ...]] = {
    "vhosts": (),
    "exchanges": ("type", "durable", "auto_delete", "internal", "arguments"),
    "queues": ("durable", "auto_delete", "arguments"),
    "bindings": (),
}
"""What cannot be changed in what is there, by kind."""


@dataclass(frozen=True)
class Change:
    """One thing that is not as it should be, in the words of what is done about it."""

    verb: Literal["created", "changed", "deleted"]
    kind: str
    name: str
    detail: str = ""

    def __str__(self) -> str:
        return f"{self.kind}/{self.name} {self.verb}" + (f" ({self.detail})" if self.detail else "")


@dataclass
class Plan:
    """How a broker becomes what it should be."""

    changes: list[Change] = field(default_factory=list)
    load: dict[str, list[Definition]] = field(default_factory=dict)
    """Definitions that are missing, or differ."""
    delete: list[str] = field(default_factory=list)
    """Accounts that are ours and should not be."""
    forbid: list[tuple[str, str]] = field(default_factory=list)
    """Account and virtual host: what accounts of ours may do elsewhere."""
    renew: list[str] = field(default_factory=list)
    """Accounts of which somebody may be connected with a former password: they are made anew, which ends that."""
    problems: list[str] = field(default_factory=list)
    """What is left as it is, why, and what a person can do."""

    def note(self, change: Change, kind: str, definition: Definition) -> None:
        self.changes.append(change)
        self.load.setdefault(kind, []).append(definition)


def compare(wanted: Definitions, found: Definitions, vhost: str, mark: str, keep: Collection[str] = ()) -> Plan:
    """Compare what should be with what is, for as many kinds and accounts as ``wanted`` and ``found`` have.

    Accounts with the tag ``mark`` are ours. Those of others are never touched, nor those that ``keep`` names.
    """
    plan = Plan()
    _compare_topology(plan, wanted, found, vhost)
    ours = _compare_accounts(plan, wanted["users"], found["users"], mark)
    _compare_permissions(plan, [each for each in wanted["permissions"] if each["user"] in ours], found["permissions"])
    leftover = sorted(name for name in _marked(found["users"], mark) if name not in ours and name not in keep)
    for name in leftover:
        plan.changes.append(Change("deleted", "account", name))
        plan.delete.append(name)
    for each in found["permissions"]:
        if each["vhost"] != vhost and each["user"] in ours:
            plan.changes.append(Change("changed", "account", each["user"], f"may do nothing in {each['vhost']}"))
            plan.forbid.append((each["user"], each["vhost"]))
    return plan


def _compare_topology(plan: Plan, wanted: Definitions, found: Definitions, vhost: str) -> None:
    for kind, fixed in _FIXED.items():
        there = {_name(kind, each): each for each in found.get(kind, ()) if each.get("vhost", vhost) == vhost}
        for each in wanted.get(kind, ()):
            name = _name(kind, each)
            if name not in there:
                plan.note(Change("created", kind.removesuffix("s"), name), kind, each)
            elif differing := [key for key in fixed if there[name][key] != each[key]]:
                plan.problems.append(_otherwise(kind.removesuffix("s"), name, differing, vhost))


def _name(kind: str, each: Definition) -> str:
    if kind == "bindings":
        return f"{each['source']}:{each['routing_key']}:{each['destination']}"
    return str(each["name"])


def _otherwise(kind: str, name: str, differing: list[str], vhost: str) -> str:
    return (
        f"{kind}/{name} was made with other {', '.join(differing)}, which RabbitMQ does not change; delete it "
        f"(for a queue: rabbitmqctl -p {vhost} delete_queue {name}) and apply again"
    )


def _compare_accounts(plan: Plan, wanted: Sequence[Definition], found: Sequence[Definition], mark: str) -> set[str]:
    """Returns the wanted accounts that are ours, or are nobody's yet."""
    there = {str(each["name"]): each for each in found}
    ours = set()
    for each in wanted:
        name, has = str(each["name"]), there.get(each["name"])
        if has is not None and mark not in has["tags"]:
            plan.problems.append(
                f"account/{name} is there and is not Drumbeat's, without the tag {mark}; delete or rename it, "
                f"or hand it over: rabbitmqctl set_user_tags {name} {mark}"
            )
            continue
        ours.add(name)
        if has is None:
            plan.note(Change("created", "account", name), "users", each)
        elif differing := _differing(each, has):
            plan.note(Change("changed", "account", name, ", ".join(differing)), "users", each)
            if "password" in differing:
                plan.renew.append(name)
    return ours


def _differing(wanted: Definition, has: Definition) -> list[str]:
    found = []
    if any(wanted[key] != has.get(key) for key in ("password_hash", "hashing_algorithm")):
        found.append("password")
    if wanted["tags"] != has["tags"]:
        found.append("tags")
    if "limits" in wanted and wanted["limits"] != has.get("limits", {}):
        found.append("limits")
    return found


def _compare_permissions(plan: Plan, wanted: Sequence[Definition], found: Sequence[Definition]) -> None:
    created = {change.name for change in plan.changes if change.kind == "account" and change.verb == "created"}
    fresh = created.union(plan.renew)
    there = {(each["user"], each["vhost"]): each for each in found}
    for each in wanted:
        has = there.get((each["user"], each["vhost"]))
        right = has is not None and all(has[key] == each[key] for key in ("configure", "write", "read"))
        if right and each["user"] not in plan.renew:
            continue
        plan.load.setdefault("permissions", []).append(each)
        if each["user"] not in fresh:
            plan.changes.append(Change("changed", "account", each["user"], "permissions"))


def _marked(users: Sequence[Definition], mark: str) -> Iterator[str]:
    yield from (each["name"] for each in users if mark in each["tags"])

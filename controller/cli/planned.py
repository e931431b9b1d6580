"""A forecast in words."""

import json
from collections.abc import Iterable, Iterator
from datetime import datetime

import yaml

from controller.cli.client import Resource
from controller.cli.options import Form
from controller.cli.tables import show, talk
from controller.cli.words import hosts
from crds.base import format_duration

_NAMED = 8
"""Hosts of a batch that are named unless ``-o wide`` asks for all."""
_WHY = {
    "settings": "settings only, no host moves",
    "orphans": "orphaned",
    "adopts": "adopted, no host moves",
    "observes": "observed, no host moves",
    "rolledBack": "rolled back",
    "unsigned": "unsigned, no host moves",
    "noHosts": "no host",
}


def show_plan(found: Resource, form: Form) -> None:
    """Print the forecast; what it is about goes to stderr."""
    if form is Form.JSON:
        show(json.dumps(found, indent=2))
    elif form is Form.YAML:
        show(yaml.safe_dump(found, sort_keys=False).rstrip())
    elif form is Form.NAME:
        names = [f"target/{each['target']}" for each in found["targets"] if each["happens"]]
        if names:
            show(names)
    else:
        show(_lines(found, named=None if form is Form.WIDE else _NAMED))
    if not found["happens"]:
        talk("nothing would happen")


def _lines(found: Resource, named: int | None) -> Iterator[str]:
    for target in found["targets"]:
        yield from _target(target, named)
    if found["unchanged"]:
        yield f"unchanged: {_unchanged(found['unchanged'])}"
    yield f"digest: {found['digest']}"


def _unchanged(targets: list[Resource]) -> str:
    others = [f"{each['target']} {each['headline']}" for each in targets if each["headline"] != "Ready"]
    count = f"{len(targets)} target{'' if len(targets) == 1 else 's'}"
    return f"{count}; not ready: {', '.join(others)}" if others else count


def _target(target: Resource, named: int | None) -> Iterator[str]:
    versions = dict.fromkeys(version or "none" for version in (target["oldVersion"], target["newVersion"]))
    yield f"{target['target']}: {' -> '.join(versions)}: {_effect(target)}"
    if target["message"]:
        yield f"    {target['message']}"
    if target["adopted"]:
        yield f"    taken over without a restart, where the process is found: {_names(target['adopted'], named)}"
    if target["forgotten"]:
        yield f"    taken out of it: {_names(target['forgotten'], named)}"
    if target["effect"] == "unsigned":
        return
    yield from (f"    in the way: {_obstacle(each)}" for each in target["inTheWay"])
    yield from (f"    first: {each}" for each in target["before"])
    yield from (f"    {_batch(each, named)}" for each in target["batches"])
    yield from (f"    then: {each}" for each in target["after"])
    if target["batches"]:
        yield f"    {_manner(target)}"
    for each in target["leftOut"]:
        why = f" ({each['why']})" if each["why"] else ""
        yield f"    left out: {each['host']} {each['standing']}{why}"


def _effect(target: Resource) -> str:
    if not target["batches"] or not target["happens"]:
        if target["effect"] == "settings" and target["forgotten"]:
            return f"{hosts(len(target['forgotten']))} removed, no other moves"
        return _WHY.get(target["effect"], "nothing to do")
    count = hosts(sum(len(batch["hosts"]) for batch in target["batches"]))
    batches = len(target["batches"])
    done = "removed from" if target["effect"] == "removes" else "deployed to"
    return f"{done} {count} in {batches} batch{'' if batches == 1 else 'es'}"


def _obstacle(each: Resource) -> str:
    times = [f"{word} {_time(each[word])}" for word in ("since", "until") if each[word] and word not in each["message"]]
    when = f" ({', '.join(times)})" if times else ""
    ends = "; it ends when somebody changes something" if each["stalls"] else ""
    return f"{each['reason']}{when}: {each['message']}{ends}"


def _time(text: str) -> str:
    return f"{datetime.fromisoformat(text):%Y-%m-%d %H:%M} UTC"


def _batch(batch: Resource, named: int | None) -> str:
    said = f"batch {batch['number']}: {_names(batch['hosts'], named)}{_remark(batch)}"
    return f"{said}; then a person must say go" if batch["awaitsGo"] else said


def _remark(batch: Resource) -> str:
    if batch["underWay"]:
        return " (under way already, nothing holds it up)"
    if batch["waits"]:
        return f" (waits: {batch['waits']})"
    return f" (at most {batch['atOnce']} at once)" if batch["atOnce"] < len(batch["hosts"]) else ""


def _manner(target: Resource) -> str:
    gates = ", ".join(target["gates"]) or "none"
    return f"gates: {gates}; soak {format_duration(target['soak'])}; on failure: {target['onFailure']}"


def _names(names: Iterable[str], named: int | None) -> str:
    every = list(names)
    shown = every if named is None else every[:named]
    rest = len(every) - len(shown)
    return ", ".join(shown) + (f" and {rest} more" if rest else "")

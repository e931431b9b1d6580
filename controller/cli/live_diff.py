"""``drumbeat diff --live``: a commit or a working directory against what the hosts run."""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass

import yaml

from controller.cli.client import Client, Resource
from controller.cli.kinds import name_of
from controller.cli.options import Form
from controller.cli.tables import Table, show, talk
from controller.cli.words import hosts, short
from crds.desired import DesiredState
from reconcilers.target import TargetSpec, targets_of

SAME = 0
DIFFERS = 2


@dataclass(frozen=True)
class LiveDifference:
    """One target: what the commit says, what its hosts run, and how that differs; same if it does not."""

    target: str
    same: bool
    wanted: str
    live: str
    why: str


def live_differences(state: DesiredState, client: Client) -> list[LiveDifference]:
    """Every target of the commit, and every live one that the commit does not declare. Raises AskError."""
    specs = targets_of(state)
    live = {name_of(item): item for item in client.listed("targets")["items"]}
    return [_difference(name, specs.get(name), live.get(name)) for name in sorted(specs.keys() | live.keys())]


def show_live_differences(state: DesiredState, client: Client, form: Form) -> int:
    """Print how the commit differs from the live state: those targets that do (-o wide: all).

    The exit code: 0 same, 2 differs. Raises AskError.
    """
    found = live_differences(state, client)
    differing = [each for each in found if not each.same]
    shown = found if form is Form.WIDE else differing
    if form is Form.JSON:
        show(json.dumps([asdict(each) for each in found], indent=2))
    elif form is Form.YAML:
        show(yaml.safe_dump([asdict(each) for each in found], sort_keys=False).rstrip())
    elif form is Form.NAME and differing:
        show(f"target/{each.target}" for each in differing)
    elif shown and form is not Form.NAME:
        rows = [(each.target, each.wanted, each.live, each.why) for each in shown]
        show(Table(("TARGET", "COMMIT", "LIVE", "DIFFERENCE")).lines(rows))
    if not differing:
        talk(f"no difference; targets compared: {len(found)}")
    return DIFFERS if differing else SAME


def _difference(name: str, spec: TargetSpec | None, live: Resource | None) -> LiveDifference:
    why = "; ".join(_reasons(spec, live))
    return LiveDifference(name, not why, _wanted(spec), _live(live), why)


def _reasons(spec: TargetSpec | None, live: Resource | None) -> Iterator[str]:
    if spec is None:
        yield "the commit does not declare it"
        return
    if live is None:
        yield "not live: it is new in the commit"
        return
    running, unknown = live["status"]["running"], live["status"]["unknown"]
    others = sum(row["hosts"] for row in running if (row["digest"] or "absent") != spec.digest)
    if others:
        yield f"{hosts(others)} of {live['spec']['hosts']} would change"
    if unknown:
        yield f"{hosts(unknown)} cannot be told: silent"
    if live["spec"]["hosts"] != len(spec.hosts):
        yield f"the commit selects {hosts(len(spec.hosts))}"


def _wanted(spec: TargetSpec | None) -> str:
    if spec is None:
        return ""
    return f"{spec.version} ({short(spec.digest)})" if spec.release else "absent"


def _live(live: Resource | None) -> str:
    if live is None:
        return ""
    rows = [
        f"{hosts(row['hosts'])}: " + (f"{row['version']} ({short(row['digest'])})" if row["digest"] else "nothing")
        for row in live["status"]["running"]
    ]
    silent = [f"{hosts(live['status']['unknown'])}: unknown"] if live["status"]["unknown"] else []
    return ", ".join(rows + silent)

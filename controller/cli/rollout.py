"""``drumbeat rollout status``: a rollout as it goes, live on a terminal and line by line otherwise.

Its other verbs are operate.py's.
"""

import os
import sys
import time
from collections.abc import Callable
from typing import Annotated

import typer
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table as RichTable
from rich.text import Text

from bus.clock import SystemClock
from controller.cli.client import Client, Resource
from controller.cli.following import Follower, Look, Outcome
from controller.cli.kinds import name_of
from controller.cli.operate import abort, approve, pause, restart, resume, retry, skip, undo
from controller.cli.options import SERVER, Server, Timeout, explained
from controller.cli.tables import show, talk
from controller.cli.words import age, converged, leading, next_look

rollout = typer.Typer(help="Follow rollouts, and step in.", no_args_is_help=True)
for verb in (pause, resume, abort, retry, undo, skip, restart, approve):
    rollout.command()(verb)
_COLORS = {"current": "green", "failed": "red", "unknown": "red", "excluded": "magenta"}


@rollout.command()
def status(
    target: Annotated[str, typer.Argument(help="The target, as trading-api@prod.")],
    timeout: Timeout = "0s",  # type: ignore[assignment]  # Typer parses the default, too
    server: Server = SERVER,
) -> None:
    """Follow a target's rollout to its end: its hosts with their journeys, or a line for each change.

    Exit codes: 0 converged; 1 held, stalled, no such target or no answer; 2 wrong use; 124 timed out.
    """
    look = Look(Client(server), target, with_hosts=True)
    follower = Follower(SystemClock(), time.sleep, timeout)
    with explained():
        outcome = _live(look, follower) if sys.stdout.isatty() else _lines(look, follower)
    if outcome.code:
        talk(f"error: {outcome.message}")
        raise typer.Exit(outcome.code)
    show(outcome.message)


def _live(look: Look, follower: Follower) -> Outcome:
    console = Console(no_color=bool(os.environ.get("NO_COLOR")))
    with Live(console=console, refresh_per_second=4, transient=False) as live:
        return follower.until(_showing(look, lambda target: live.update(picture(target)), True), look.waits_for)


def _lines(look: Look, follower: Follower) -> Outcome:
    said: set[str] = set()

    def tell(target: Resource) -> None:
        now = moving(target)
        news = [line for line in now if line not in said]
        said.clear()
        said.update(now)
        if news:
            show(news)

    return follower.until(_showing(look, tell, False), look.waits_for)


def _showing(look: Look, tell: Callable[[Resource], object], at_end: bool) -> Callable[[], Outcome | None]:
    def look_and_tell() -> Outcome | None:
        outcome = look()
        if look.target is not None and (outcome is None or at_end):
            tell(look.target)
        return outcome

    return look_and_tell


def moving(target: Resource) -> list[str]:
    """What is said of the target now, a line for it and for each host on a journey."""
    found = leading(target)
    lines = [f"{name_of(target)}: {converged(target)}"]
    if found and found["type"] != "Ready":
        lines.append(f"{name_of(target)}: {found['reason']}: {found['message']}")
    for host in target["status"]["hosts"]:
        if host["step"]:
            lines.append(f"{host['name']}: {host['step']}" + (f": {host['reason']}" if host["reason"] else ""))
    return lines


def picture(target: Resource) -> Group:
    """The target and its hosts, for a terminal."""
    table = RichTable(box=None, pad_edge=False)
    for title in ("HOST", "STANDING", "VERSION", "STEP", "FOR", "REASON"):
        table.add_column(title, no_wrap=title != "REASON")
    for host in sorted(target["status"]["hosts"], key=_order):
        standing = Text(host["standing"], style=_COLORS.get(host["standing"], "yellow"))
        since = age(host["since"], target) if host["since"] else ""
        why = host["reason"] or host["why"]
        table.add_row(
            Text(host["name"]), standing, Text(host["version"] or "-"), Text(host["step"] or ""), since, Text(why)
        )
    found = leading(target)
    head = f"{name_of(target)}: {target['status']['headline']}, {converged(target)}"
    return Group(Text(head, style="bold"), Text(found["message"] if found else ""), table, Text(next_look(target)))


def _order(host: Resource) -> tuple[bool, bool]:
    """Who is on its way comes first, then who is not there: a terminal may be too low for all."""
    return not host["step"], host["standing"] == "current"

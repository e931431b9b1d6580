"""``drumbeat wait``: for pipelines, until a target has converged."""

import time
from typing import Annotated

import typer

from bus.clock import SystemClock
from controller.cli.client import Client
from controller.cli.following import Follower, Look
from controller.cli.options import SERVER, Server, Timeout, explained
from controller.cli.tables import show, talk


def wait(
    target: Annotated[str, typer.Argument(help="The target, as trading-api@prod.")],
    revision: Annotated[
        str | None,
        typer.Option(
            "--revision", metavar="COMMIT", help="First wait until this commit is in force; a prefix will do."
        ),
    ] = None,
    timeout: Timeout = "30m",  # type: ignore[assignment]  # Typer parses the default, too
    server: Server = SERVER,
) -> None:
    """Wait until every host of a target runs what is in force, healthy and online.

    Where a newer commit takes the place of --revision, it is waited for.

    Exit codes: 0 converged; 1 stalled, refused, not found or no answer; 2 wrong use; 124 timed out.
    """
    with explained():
        look = Look(Client(server), target, revision)
        outcome = Follower(SystemClock(), time.sleep, timeout).until(look, look.waits_for)
    if outcome.code:
        talk(f"error: {outcome.message}")
        raise typer.Exit(outcome.code)
    show(outcome.message)

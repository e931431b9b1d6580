"""``drumbeat rollout pause|resume|…`` and ``drumbeat exclude|include``: what people decide at any point."""

from typing import Annotated

import typer

from controller.cli.client import Client
from controller.cli.options import SERVER, Server, explained
from controller.cli.tables import talk
from controller.cli.who import who

Target = Annotated[str, typer.Argument(help="The target, as trading-api@prod.")]
Why = Annotated[str, typer.Option("--reason", help="Why, in your words: it is kept with your name, and shown.")]
Until = Annotated[
    str, typer.Option("--until", metavar="WHEN", help="When it ends by itself: 2h from now, or 2026-12-01T08:00Z.")
]
By = Annotated[str, typer.Option("--as", metavar="NAME", help="Who asks; your account if left out.")]


def pause(target: Target, reason: Why, until: Until = "", by: By = "", server: Server = SERVER) -> None:
    """Take no more hosts out until it is resumed; hosts under way finish.

    Exit codes: 0 paused, 1 refused or no answer, 2 wrong use.
    """
    _rollout(server, target, "pause", by, reason, until)


def resume(target: Target, reason: Why = "", by: By = "", server: Server = SERVER) -> None:
    """Let a paused rollout go on, or one that waits for your word between two batches.

    Exit codes: 0 it goes on, or was not paused; 1 refused or no answer; 2 wrong use.
    """
    _rollout(server, target, "resume", by, reason)


def _rollout(server: str, target: str, verb: str, by: str, reason: str, until: str = "") -> None:
    _command(server, f"rollouts/{target}", verb, by, reason, until)


def _command(server: str, about: str, verb: str, by: str, reason: str, until: str) -> None:
    with explained():
        done = Client(server).command(about, verb, by=by or who(), reason=reason, until=until)
    talk(str(done["message"]))

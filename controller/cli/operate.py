"""``drumbeat rollout pause|resume|…`` and ``drumbeat exclude|include``: what people decide at any point."""

from typing import Annotated

import typer

from controller.cli.client import Client
from controller.cli.options import SERVER, Server, explained
from controller.cli.tables import talk
from controller.cli.who import who

Target = Annotated[str, typer.Argument(help="The target, as trading-api@prod.")]
Node = Annotated[str, typer.Argument(help="A host or a balancer node.")]
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


def abort(target: Target, reason: Why, by: By = "", server: Server = SERVER) -> None:
    """End a rollout where no host is left half-way: hosts under way finish, no other begins.

    It is held until a new release or a retry. Exit codes: 0 held, 1 refused or no answer, 2 wrong use.
    """
    _rollout(server, target, "abort", by, reason)


def retry(target: Target, reason: Why = "", by: By = "", server: Server = SERVER) -> None:
    """Let a rollout that is held go on; failed hosts begin anew.

    Exit codes: 0 it goes on; 1 there is nothing to try again, or no answer; 2 wrong use.
    """
    _rollout(server, target, "retry", by, reason)


def undo(target: Target, reason: Why, by: By = "", server: Server = SERVER) -> None:
    """Go back to the last good release before the present one, which stays in quarantine until a new one or a retry.

    Exit codes: 0 it goes back, 1 refused or no answer, 2 wrong use.
    """
    _rollout(server, target, "undo", by, reason)


def skip(target: Target, reason: Why, by: By = "", server: Server = SERVER) -> None:
    """End a wait that a person may end: the soak of the hosts that soak now, or the wait for a word after a batch.

    Exit codes: 0 it goes on, 1 nothing to skip or no answer, 2 wrong use.
    """
    _rollout(server, target, "skip", by, reason)


def restart(target: Target, reason: Why, by: By = "", server: Server = SERVER) -> None:
    """Restart every host with the same release, batch by batch, through the whole journey.

    Exit codes: 0 it begins, 1 refused or no answer, 2 wrong use.
    """
    _rollout(server, target, "restart", by, reason)


def approve(target: Target, reason: Why, by: By = "", server: Server = SERVER) -> None:
    """Say go to the contract migrations that wait for it, after every host runs the release. There is no way back.

    Exit codes: 0 they may run, 1 none waits or no answer, 2 wrong use.
    """
    _rollout(server, target, "approve", by, reason)


def exclude(node: Node, reason: Why, until: Until = "", by: By = "", server: Server = SERVER) -> None:
    """Leave a host or a balancer node alone, until it is included.

    It holds for all targets. Exit codes: 0 excluded, 1 refused or no answer, 2 wrong use.
    """
    _command(server, f"nodes/{node}", "exclude", by, reason, until)


def include(node: Node, reason: Why = "", by: By = "", server: Server = SERVER) -> None:
    """Count a host or a balancer node again.

    A host is converged before it serves; a balancer node must confirm before others go on.

    Exit codes: 0 it counts, 1 refused or no answer, 2 wrong use.
    """
    _command(server, f"nodes/{node}", "include", by, reason, "")


def _rollout(server: str, target: str, verb: str, by: str, reason: str, until: str = "") -> None:
    _command(server, f"rollouts/{target}", verb, by, reason, until)


def _command(server: str, about: str, verb: str, by: str, reason: str, until: str) -> None:
    with explained():
        done = Client(server).command(about, verb, by=by or who(), reason=reason, until=until)
    talk(str(done["message"]))

"""``drumbeat``: the table of its commands."""

from typing import Annotated

import typer

from controller.cli.lazy import Row, lazy_group

COMMANDS = {
    "init": Row("controller.cli.init:init", "Write a state directory to start from."),
    "lint": Row("controller.cli.lint:lint", "Check a state directory or a commit, and say every mistake at once."),
    "schema": Row("controller.cli.schema:schema", "Print or write the JSON Schemas of the state files, for editors."),
    "diff": Row("controller.cli.diff:diff", "Say what one commit changes against another, or against the hosts."),
    "plan": Row("controller.cli.plan:plan", "Say what would happen if a commit were put in force, batch by batch."),
    "bump": Row("controller.cli.bump:bump", "Write a version file: deploy a version of a service on a fleet."),
    "release": Row("controller.cli.release:release", "Sign releases, and say whose signatures nodes believe."),
    "get": Row("controller.cli.get:get", "Show targets, nodes, rollouts or pools."),
    "describe": Row(
        "controller.cli.describe:describe",
        "Show one target, node, rollout or pool in full; of a target also why it is not moving.",
    ),
    "events": Row(
        "controller.cli.events:events",
        "Show the newest events, oldest first; with -w go on with new ones as they come.",
    ),
    "rollout": Row("controller.cli.rollout:rollout", "Follow rollouts, and step in."),
    "exclude": Row("controller.cli.operate:exclude", "Leave a host or a balancer node alone, until it is included."),
    "include": Row("controller.cli.operate:include", "Count a host or a balancer node again."),
    "wait": Row(
        "controller.cli.wait:wait", "Wait until every host of a target runs what is in force, healthy and online."
    ),
    "controller": Row("controller.cli.controller:controller", "Run the controller until it is stopped."),
    "keys": Row("controller.cli.keys:keys", "Write the controller's key."),
    "nodes": Row("controller.cli.nodes:nodes", "Invite, list, revoke and re-key nodes."),
    "bus": Row("controller.cli.bus:bus", "Tell a RabbitMQ broker what it needs to know."),
    "demo": Row(
        "controller.demo.command:demo",
        "Run a fleet on this machine, roll a release out over it under load, and see a bad one held.",
    ),
}

app = typer.Typer(
    cls=lazy_group(COMMANDS),
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(wanted: bool) -> None:
    if wanted:
        # Imported here: it takes a sixth of the time that --help may take.
        from importlib.metadata import version as installed_version  # noqa: PLC0415

        typer.echo(f"drumbeat {installed_version('drumbeat')}")
        raise typer.Exit


@app.callback()
def drumbeat(
    _: Annotated[
        bool, typer.Option("--version", help="Print the version, and end.", callback=_show_version, is_eager=True)
    ] = False,
) -> None:
    """GitOps for fleets of virtual machines: a commit converges hosts behind HAProxy, batch by batch."""


def main() -> None:
    """The console script."""
    app()

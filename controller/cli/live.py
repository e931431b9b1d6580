"""The commands that talk to a controller."""

import typer

from controller.cli.describe import describe
from controller.cli.events import events
from controller.cli.get import get
from controller.cli.rollout import rollout
from controller.cli.wait import wait


def add_live_commands(app: typer.Typer) -> None:
    """Add get, describe, rollout, wait and events."""
    for command in (get, describe, wait, events):
        app.command()(command)
    app.add_typer(rollout, name="rollout")

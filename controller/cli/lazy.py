"""Commands that are imported when they are run, so that ``drumbeat --help`` need not wait for all of them."""

from collections.abc import Callable
from importlib import import_module
from typing import Any, ClassVar, NamedTuple

import typer
from typer.core import TyperCommand, TyperGroup


class Row(NamedTuple):
    """A command: where its function (or Typer application) is, and one line about it."""

    where: str
    """``module:name``"""
    help: str


class LazyGroup(TyperGroup):
    """A group whose commands stand in a table; ``rows`` is set by ``lazy_group``."""

    rows: ClassVar[dict[str, Row]] = {}

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002
        """In the table's order."""
        return list(self.rows)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ARG002
        """A stand-in with the command's name and its line of help."""
        row = self.rows.get(cmd_name)
        return TyperCommand(cmd_name, help=row.help) if row else None

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The command that is run, itself."""
        name, stand_in, rest = super().resolve_command(ctx, args)
        return name, load(name, self.rows[name]) if name and stand_in else stand_in, rest


def lazy_group(rows: dict[str, Row]) -> type[LazyGroup]:
    """A group of these commands."""
    return type("Commands", (LazyGroup,), {"rows": rows})


def load(name: str, row: Row) -> Any:
    """Import a command."""
    module, _, attribute = row.where.partition(":")
    found: Callable[..., Any] | typer.Typer = getattr(import_module(module), attribute)
    if isinstance(found, typer.Typer):
        return typer.main.get_group(found)
    alone = typer.Typer(add_completion=False)
    alone.command(name)(found)
    return typer.main.get_command(alone)

"""``drumbeat diff``: what one commit changes against another, against the files on disk, or against the hosts."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from controller.cli.client import Client
from controller.cli.live_diff import show_live_differences
from controller.cli.options import SERVER, Form, Output, Server, explained
from controller.cli.states import fail, read_directory, read_revision, state_of
from controller.cli.tables import show, talk
from controller.cli.words import hosts
from controller.source.comparing import TargetChange, changes
from controller.source.git import GitError
from controller.source.reader import read_state
from crds.desired import DesiredState

DIFFERS = 2


def diff(
    old: Annotated[str | None, typer.Argument(metavar="REV1", help="A commit.", show_default=False)] = None,
    new: Annotated[
        str | None, typer.Argument(metavar="REV2", help="A commit.", show_default="the files on disk")
    ] = None,
    repo: Annotated[Path, typer.Option("--repo", help="The repository, or the state directory in it.")] = Path(),
    folder: Annotated[str | None, typer.Option("--folder", help="The state directory in the repository.")] = None,
    live: Annotated[bool, typer.Option("--live", help="Compare REV1, or the files on disk, with the hosts.")] = False,
    output: Output = Form.TABLE,
    server: Server = SERVER,
) -> None:
    """Say what one commit changes against another, or against the hosts.

    For each target: its version before and after, the fields that differ, and how many hosts would move.

    Exit codes: 0 same; 1 a commit is refused, or cannot be read; 2 differs.
    """
    try:
        if live:
            wanted = _state(repo, old, folder)
            with explained():
                raise typer.Exit(show_live_differences(wanted, Client(server), output))
        if old is None:
            raise typer.BadParameter(
                "name the commit to compare with, such as HEAD, or ask for --live", param_hint="REV1"
            )
        found = changes(_state(repo, old, folder), _state(repo, new, folder))
    except GitError as error:
        raise fail(error) from error
    _print(found, output)
    if not found:
        talk("no difference")
    raise typer.Exit(DIFFERS if found else 0)


def _state(repo: Path, revision: str | None, folder: str | None) -> DesiredState:
    if revision is None:
        where = repo / folder if folder else repo
        return state_of(read_state(read_directory(where), "the files on disk"), "what lies on disk")
    return state_of(read_revision(repo, revision, folder), revision)


def _print(found: list[TargetChange], output: Form) -> None:
    if output is Form.JSON:
        show(json.dumps([asdict(change) for change in found], indent=2))
    elif output is Form.NAME and found:
        show([f"target/{change.target}" for change in found])
    elif output in (Form.TABLE, Form.WIDE) and found:
        show([line for change in found for line in _lines(change)])


def _lines(change: TargetChange) -> list[str]:
    versions = [version or "none" for version in (change.old_version, change.new_version)]
    version = " -> ".join(dict.fromkeys(versions))
    said = [f"{change.target}: {version}: {_effect(change)}"]
    return said + [f"    {each.field}: {_value(each.old)} -> {_value(each.new)}" for each in change.fields]


def _effect(change: TargetChange) -> str:
    count = hosts(change.hosts)
    return {
        "deploys": f"deployed to {count}",
        "moves": f"{count} would move",
        "settings": "settings only, no host moves",
        "removes": f"removed from {count}",
        "orphans": "orphaned: nothing is removed",
    }[change.effect]


def _value(value: Any) -> str:
    return "none" if value is None else value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)

"""``drumbeat schema``: the JSON Schemas of files and messages."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from controller.cli.states import fail
from controller.cli.tables import show, talk
from crds.schema import schemas


def schema(
    kind: Annotated[
        str | None, typer.Argument(help="fleet, service, loadbalancer, version ...", show_default="all")
    ] = None,
    write: Annotated[Path | None, typer.Option("--write", help="Write NAME.json files into this folder.")] = None,
) -> None:
    """Print or write the JSON Schemas of the state files, for editors.

    Exit codes: 0 done; 1 cannot be written; 2 no such kind.
    """
    found = schemas()
    if kind is not None:
        if kind.lower() not in found:
            raise typer.BadParameter(f"{kind!r} is no kind; there are {', '.join(found)}", param_hint="KIND")
        found = {kind.lower(): found[kind.lower()]}
    if write is None:
        show(as_text(found if kind is None else next(iter(found.values()))).rstrip())
        return
    try:
        write_schemas(write, found)
    except OSError as error:
        raise fail(error) from error
    talk(f"{len(found)} schemas written to {write}")


def write_schemas(folder: Path, found: dict[str, dict[str, Any]]) -> None:
    """One file for each. Raises OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, each in found.items():
        (folder / f"{name}.json").write_text(as_text(each), encoding="utf-8")


def as_text(found: Any) -> str:
    """JSON for people and for git: a field on a line."""
    return json.dumps(found, indent=2, ensure_ascii=False) + "\n"

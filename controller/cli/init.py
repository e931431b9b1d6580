"""``drumbeat init``: a state directory to start from."""

from pathlib import Path
from typing import Annotated

import typer

from controller.cli.schema import as_text
from controller.cli.states import fail
from controller.cli.tables import show, talk
from controller.demo.repository import example_folder
from crds.schema import FILES, schemas

_IN_THE_EXAMPLE, _IN_THE_STATE = "../crds/schemas/", ".schemas/"


def init(
    directory: Annotated[Path, typer.Argument(help="Where to write it.", show_default="here")] = Path(),
) -> None:
    """Write a state directory to start from.

    It holds one fleet, one service and one balancer, with comments, and the schemas that editors check the files with.
    Nothing that is there already is overwritten.

    Exit codes: 0 written; 1 a file is there already, or the folder cannot be written.
    """
    files = _files()
    there = [path for path in files if (directory / path).exists()]
    if there:
        raise fail(f"{directory / there[0]} is there already, and nothing was written; name another folder")
    try:
        for path, text in files.items():
            (directory / path).parent.mkdir(parents=True, exist_ok=True)
            (directory / path).write_text(text, encoding="utf-8")
    except OSError as error:
        raise fail(error) from error
    show([str(directory / path) for path in files])
    talk(f"next: name your machines in {directory / 'fleets/prod.yaml'}, then run: drumbeat lint {directory}")


def _files() -> dict[str, str]:
    example = example_folder()
    files = {
        path.relative_to(example).as_posix(): path.read_text(encoding="utf-8").replace(_IN_THE_EXAMPLE, _IN_THE_STATE)
        for path in sorted(example.rglob("*.yaml"))
    }
    made = schemas()
    return files | {f".schemas/{name}.json": as_text(made[name]) for name in FILES}

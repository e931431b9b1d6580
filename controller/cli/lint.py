"""``drumbeat lint``: every mistake in a state directory or a commit."""

import json
from pathlib import Path
from typing import Annotated

import typer

from controller.cli.options import FAILED
from controller.cli.states import below, counted, fail, plural, read_directory, read_revision
from controller.cli.tables import show, talk
from controller.cli.textform import Text, TextForm
from controller.source.git import GitError
from controller.source.problems import Problem, errors, in_order
from controller.source.reader import ReadResult, read_state


def lint(
    directory: Annotated[Path, typer.Argument(help="The state directory.", show_default="here")] = Path(),
    repo: Annotated[Path | None, typer.Option("--repo", help="A repository, to check a commit of it.")] = None,
    revision: Annotated[
        str | None, typer.Option("--revision", help="Check this commit, not the files on disk.")
    ] = None,
    folder: Annotated[str | None, typer.Option("--folder", help="The state directory in the repository.")] = None,
    output: TextForm = Text.TEXT,
) -> None:
    """Check a state directory or a commit, and say every mistake at once.

    What lint accepts, the controller takes. A release without the signatures that a policy demands is a mistake, too:
    the controller would take the commit and hold that target. Mistakes are printed as PATH:LINE:COLUMN: error: FIELD:
    what (what to do).

    Exit codes: 0 good, perhaps with warnings; 1 refused; 2 wrong use.
    """
    try:
        if repo is not None or revision is not None:
            result, root = read_revision(repo or directory, revision or "HEAD", folder), Path()
        else:
            result, root = _on_disk(directory / folder if folder else directory)
    except GitError as error:
        raise fail(error) from error
    _print(below(root, in_order([*result.problems, *result.unsigned])), output)
    if result.state is None:
        talk(f"{counted(result.problems)}: the controller would refuse this")
        raise typer.Exit(FAILED)
    if result.unsigned:
        names = ", ".join(problem.target for problem in result.unsigned)
        talk(f"{counted(result.unsigned)}: the controller would take this, and hold {names}")
        raise typer.Exit(FAILED)
    state = result.state
    found = f"{plural(len(state.versions), 'target')}, {plural(len(state.fleets), 'fleet')}"
    talk(f"{found}: " + (counted(result.problems) if result.problems else "no mistakes"))


def _on_disk(directory: Path) -> tuple[ReadResult, Path]:
    return read_state(read_directory(directory), "the files on disk"), directory


def _print(problems: list[Problem], output: Text) -> None:
    if output is Text.JSON:
        wrong = len(errors(problems))
        said = {"errors": wrong, "warnings": len(problems) - wrong, "problems": [each.as_json() for each in problems]}
        show(json.dumps(said, indent=2))
    elif problems:
        show([str(problem) for problem in problems])

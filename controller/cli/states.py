"""Desired state for the commands: out of a folder on disk, or out of a commit."""

import os
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import typer

from controller.cli.options import FAILED
from controller.cli.tables import show, talk
from controller.source.decoding import MAX_BYTES
from controller.source.entries import FileEntry, is_read
from controller.source.git import Git, GitError, pushed_objects
from controller.source.problems import Problem, errors
from controller.source.reader import ReadResult, read_state
from controller.source.tree import read_tree, resolve
from crds.desired import DesiredState


def read_directory(directory: Path) -> dict[str, FileEntry]:
    """The files of a folder as a commit would have them: without those that git ignores. Raises GitError."""
    if not directory.is_dir():
        raise GitError(
            f"there is no folder {directory}; name the state directory, or make one: drumbeat init {directory}"
        )
    return {path: _entry(directory / path) for path in _names(directory)}


def _names(directory: Path) -> Iterable[str]:
    try:
        listed = Git(directory).run(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
    except GitError:
        return sorted(_walked(directory))
    names = (os.fsdecode(name) for name in listed.split(b"\0")[:-1])
    return sorted({name for name in names if os.path.lexists(directory / name)})


def _walked(directory: Path) -> Iterator[str]:
    """Where git does not help: everything but folders that begin with a dot."""
    for folder, folders, files in os.walk(directory):
        linked = [name for name in folders if (Path(folder) / name).is_symlink()]
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in [*files, *linked]:
            yield (Path(folder) / name).relative_to(directory).as_posix()


def _entry(path: Path) -> FileEntry:
    if path.is_symlink():
        return FileEntry("symlink")
    if path.is_dir():
        return FileEntry("submodule")
    size = path.stat().st_size
    wanted = is_read(path.name) and size <= MAX_BYTES
    return FileEntry("blob", path.read_bytes() if wanted else None, size)


def read_revision(repository: Path, revision: str, folder: str | None) -> ReadResult:
    """The state in a commit. ``folder``: of the state directory; None: where ``repository`` lies in its repository.

    Raises GitError.
    """
    found, files = files_of(repository, revision, folder)
    return read_state(files, found)


def files_of(repository: Path, revision: str, folder: str | None) -> tuple[str, dict[str, FileEntry]]:
    """A commit's full id and the files of the state directory in it. Raises GitError."""
    git = git_of(repository)
    found = resolve(git, revision)
    where = Git(repository).text("rev-parse", "--show-prefix").rstrip("/") if folder is None else folder
    return found, read_tree(git, found, where or ".")


def git_of(repository: Path) -> Git:
    """Git at the top of the repository; in its hooks it finds what is being pushed, too. Raises GitError.

    ls-tree keeps to the folder that it is run in, which must not be added to a path once more.
    """
    directory = Path(Git(repository).text("rev-parse", "--absolute-git-dir"))
    return Git(directory, objects=pushed_objects(directory))


def state_of(result: ReadResult, where: str, code: int = FAILED) -> DesiredState:
    """The state, or the end of the command, with this exit code and every reason why there is none."""
    if result.state is None:
        show([str(problem) for problem in errors(result.problems)])
        talk(f"error: {where} is refused: {counted(result.problems)}; see drumbeat lint")
        raise typer.Exit(code)
    return result.state


def below(folder: Path, problems: Iterable[Problem]) -> list[Problem]:
    """The problems with paths that can be opened from where the command runs."""
    if folder == Path():
        return list(problems)
    return [replace(problem, path=f"{folder.as_posix().rstrip('/')}/{problem.path}") for problem in problems]


def counted(problems: list[Problem]) -> str:
    """``2 errors and 1 warning``."""
    wrong = len(errors(problems))
    doubtful = len(problems) - wrong
    parts = [plural(wrong, "error")] if wrong or not doubtful else []
    return " and ".join(parts + ([plural(doubtful, "warning")] if doubtful else []))


def plural(count: int, word: str) -> str:
    """``1 error``, ``2 errors``."""
    return f"{count} {word}{'' if count == 1 else 's'}"


def fail(error: Exception | str, code: int = FAILED) -> typer.Exit:
    """Say what went wrong; to be raised."""
    talk(f"error: {error}")
    return typer.Exit(code)

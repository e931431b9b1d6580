"""``drumbeat plan``: what would happen if a commit, or the files on disk, were put in force."""

import base64
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from bus.clock import SystemClock
from controller.cli.client import Client, Refused, Resource
from controller.cli.options import REFUSED, SERVER, Form, Output, Server, explained
from controller.cli.planned import show_plan
from controller.cli.states import fail, files_of, git_of, read_directory, state_of
from controller.cli.tables import talk
from controller.source.entries import FileEntry
from controller.source.git import GitError
from controller.source.layout import in_layout
from controller.source.reader import read_state
from controller.source.removals import acknowledged, unacknowledged
from controller.source.tree import resolve
from controller.views.forecasts import ForecastMeta, SupposedCommit, forecast_resource, posted
from crds.desired import DesiredState
from reconcilers.assuming import assumed_forecasts
from reconcilers.target import targets_of

HAPPENS = 2
_ON_DISK = "the files on disk"

Files = Mapping[str, FileEntry]


def plan(
    revision: Annotated[str | None, typer.Argument(metavar="REV", help="A commit.", show_default=_ON_DISK)] = None,
    repo: Annotated[Path, typer.Option("--repo", help="The repository, or the state directory in it.")] = Path(),
    folder: Annotated[str | None, typer.Option("--folder", help="The state directory in the repository.")] = None,
    offline: Annotated[
        bool, typer.Option("--offline", help="Ask no controller: as if every host ran what --base declares.")
    ] = False,
    base: Annotated[
        str | None,
        typer.Option(
            "--base", metavar="REV", help="With --offline: the commit in force.", show_default="the one before"
        ),
    ] = None,
    output: Output = Form.TABLE,
    server: Server = SERVER,
) -> None:
    """Say what would happen if a commit were put in force, batch by batch.

    For each target that it changes: the hosts of each batch in their order, gates, what is in the way and since when,
    hosts that are left out; and why nothing would happen, where that is so. Nothing is changed by asking. The digest
    names all of this: it stays the same until a host, a batch, a release or something in the way differs.

    Exit codes: 0 nothing would happen; 1 there is no plan, as nobody answers or something cannot be read; 2 something
    would happen, or wrong use; 3 the commit would be refused.
    """
    if base is not None and not offline:
        raise typer.BadParameter("a controller knows what is in force; --base goes with --offline", param_hint="--base")
    try:
        name, files = _files(repo, revision, folder)
        state = state_of(read_state(files, name), revision or "what lies on disk", REFUSED)
        if offline:
            before = _before(repo, revision, base)
            found = _assumed(state, repo, before, folder, _acknowledged(repo, before, revision))
        else:
            found = _asked(Client(server), repo, revision, name, files)
    except GitError as error:
        raise fail(error) from error
    show_plan(found, output)
    _warn(found, revision and name)
    raise typer.Exit(HAPPENS if found["happens"] else 0)


def _warn(found: Resource, commit: str | None) -> None:
    """Say what is removed and nowhere acknowledged; it ends the command where that is a commit, which is refused."""
    for problem in found["unacknowledged"]:
        talk(f"error: commit {commit[:12]} would be refused: {problem}" if commit else f"warning: {problem}")
    if commit and found["unacknowledged"]:
        raise typer.Exit(REFUSED)


def _asked(client: Client, repo: Path, revision: str | None, name: str, files: Files) -> Resource:
    """What the controller says of it. Raises GitError."""
    with explained():
        in_force = client.state()["revision"]
        meant = _acknowledged(repo, in_force["id"] if in_force else None, revision)
        try:
            return client.forecast(_posted(name, files, meant))
        except Refused as error:
            raise fail(error, REFUSED) from error


def _acknowledged(repo: Path, since: str | None, revision: str | None) -> set[str]:
    """Fleets on which messages say that removals are meant; files on disk have no message yet. Raises GitError."""
    return acknowledged(git_of(repo), since, revision) if revision else set()


def _files(repo: Path, revision: str | None, folder: str | None) -> tuple[str, Files]:
    if revision is None:
        return _ON_DISK, read_directory(repo / folder if folder else repo)
    return files_of(repo, revision, folder)


def _posted(name: str, files: Files, acknowledged: set[str]) -> Resource:
    read = {path: entry for path, entry in files.items() if in_layout(path)}
    sent = {path: posted(entry, _encoded(entry.data)) for path, entry in read.items()}
    commit = SupposedCommit(revision=name, files=sent, acknowledged=sorted(acknowledged))
    return commit.model_dump(mode="json", by_alias=True)


def _encoded(data: bytes | None) -> str | None:
    return None if data is None else base64.b64encode(data).decode()


def _before(repo: Path, revision: str | None, base: str | None) -> str | None:
    """The commit to compare with; None if there is none before, or no repository."""
    if base is not None:
        return base
    before = f"{revision}^" if revision else "HEAD"
    try:
        resolve(git_of(repo), before)
    except GitError:
        return None
    return before


def _assumed(state: DesiredState, repo: Path, base: str | None, folder: str | None, acknowledged: set[str]) -> Resource:
    before, too_much = {}, list[str]()
    if base is not None:
        name, files = files_of(repo, base, folder)
        old = state_of(read_state(files, name), base)
        before, too_much = targets_of(old), unacknowledged(old, state, acknowledged)
    now = SystemClock().now()
    runs = f"every host ran what {base} declares, healthy and online" if base else "nothing ran anywhere yet"
    talk(f"no controller was asked: batches follow from the files alone, as if {runs}")
    found = assumed_forecasts(before, targets_of(state), now)
    meta = ForecastMeta(observed_at=now, resource_version=None, in_force=base)
    return forecast_resource(state.revision, found, [], meta, too_much).model_dump(mode="json", by_alias=True)

"""``drumbeat bump``: write a version file, which is all that a deployment is."""

import difflib
import hashlib
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from controller.cli.files import replace_file
from controller.cli.states import below, fail, read_directory
from controller.cli.tables import show, talk
from controller.source.entries import FileEntry
from controller.source.git import GitError
from controller.source.problems import Refused, errors
from controller.source.reader import read_state
from controller.source.strict_yaml import load
from controller.source.version_text import NotEditable, Sha256s, new_version_file, with_version

_SCHEMA = Path(".schemas/version.json")
_MODELINE = "# yaml-language-server: $schema=../../.schemas/version.json"


class _Stopped(Exception):
    """The text says why, and what to do."""


def bump(
    service: Annotated[str, typer.Argument(help="The service's name.")],
    version: Annotated[str, typer.Argument(help="The version to deploy.")],
    fleet: Annotated[str, typer.Option("--fleet", "-f", help="The fleet to deploy it on.")],
    artifact: Annotated[Path | None, typer.Option("--artifact", help="The archive, to take its checksum.")] = None,
    sha256: Annotated[
        list[str] | None, typer.Option("--sha256", help="The archive's checksum; PLATFORM=CHECKSUM for one of several.")
    ] = None,
    repo: Annotated[Path, typer.Option("--repo", help="The state directory.", show_default="here")] = Path(),
    commit: Annotated[bool, typer.Option("--commit", help="Commit the file, and nothing else.")] = False,
    push: Annotated[bool, typer.Option("--push", help="Commit, and push the branch.")] = False,
) -> None:
    """Write a version file: deploy a version of a service on a fleet.

    Comments and order in the file stay. Nothing is written if the controller would refuse the result. The change is
    printed as a diff; where the file says this version already, nothing is.

    Exit codes: 0 the file says this version, committed and pushed if asked for; 1 refused or failed; 2 wrong use.
    """
    path = f"versions/{fleet}/{service}.yaml"
    try:
        old = _read(repo / path)
        new = _new_text(repo, path, old, version, _checksums(artifact, sha256 or []))
        advice = _check(repo, path, new)
        if old != new:
            replace_file(repo / path, new)
            show("".join(_diff(path, old or "", new)).rstrip())
        else:
            talk(f"{repo / path} says {version} already")
        for words in [*advice, *_lingering(path, old, new)]:
            talk(words)
        if commit or push:
            _commit(repo, path, f"Deploy {service} {version} on {fleet}")
        if push:
            _push(repo)
    except Refused as refused:
        show([str(problem) for problem in below(repo, refused.problems)])
        raise fail("the controller would refuse this, and nothing was written; mend what is above") from refused
    except (OSError, GitError, NotEditable, _Stopped) as error:
        raise fail(error) from error


def _lingering(path: str, old: str | None, new: str) -> Iterator[str]:
    """What the file says about one deployment, where it was written for an earlier one."""
    said = load(path, new.encode()).data if old else {}
    for name in ("profile", "breakGlass"):
        if name in said:
            yield f"warning: {path} has {name}, which holds for this version too; remove it where that is not meant"


def _read(file: Path) -> str | None:
    if not file.exists():
        return None
    try:
        return file.read_bytes().decode("utf-8")
    except UnicodeDecodeError as error:
        raise _Stopped(f"{file} is not UTF-8; save it as UTF-8, or remove it") from error


def _checksums(artifact: Path | None, given: list[str]) -> Sha256s:
    if (artifact is None) == (not given):
        raise typer.BadParameter("give the archive with --artifact, or its checksum with --sha256")
    if artifact is not None:
        try:
            with artifact.open("rb") as archive:
                return hashlib.file_digest(archive, "sha256").hexdigest()
        except OSError as error:
            raise _Stopped(f"--artifact {artifact}: {error.strerror}; give an archive that is there") from error
    by_platform = dict(word.split("=", 1) for word in given if "=" in word)
    if not by_platform and len(given) == 1:
        return given[0]
    if len(by_platform) != len(given):
        raise typer.BadParameter(
            "write one checksum, or PLATFORM=CHECKSUM once for each platform", param_hint="--sha256"
        )
    return by_platform


def _new_text(repo: Path, path: str, old: str | None, version: str, sha256: Sha256s) -> str:
    if old is not None:
        return with_version(path, old, version, sha256)
    return new_version_file(version, sha256, _MODELINE if (repo / _SCHEMA).exists() else "")


def _check(repo: Path, path: str, text: str) -> list[str]:
    """The whole state with the new file in it; what is left to do about signatures. Raises Refused."""
    data = text.encode()
    result = read_state(read_directory(repo) | {path: FileEntry("blob", data, len(data))}, "the files on disk")
    if result.state is None:
        raise Refused(errors(result.problems))
    for problem in below(repo, result.problems):
        talk(str(problem))
    statement = path.removesuffix(".yaml") + ".sig"
    return [f"not signed yet; {problem.hint}" for problem in result.unsigned if problem.path == statement]


def _diff(path: str, old: str, new: str) -> list[str]:
    before, after = old.splitlines(keepends=True), new.splitlines(keepends=True)
    return list(difflib.unified_diff(before, after, f"a/{path}", f"b/{path}"))


def _git(repo: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """The user's own git, with hooks, keys and questions, since it acts in the user's name."""
    try:
        return subprocess.run(["git", "-C", str(repo), *words], capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise _Stopped("git is missing; install it, or leave --commit out and commit the file yourself") from error


def _commit(repo: Path, path: str, message: str) -> None:
    if not _git(repo, "status", "--porcelain", "--", path).stdout:
        return
    added = _git(repo, "add", "--", path)
    done = added if added.returncode else _git(repo, "commit", "--quiet", "--message", message, "--", path)
    if done.returncode:
        said = (done.stderr or done.stdout).strip()
        raise _Stopped(f"{path} is written, but not committed: {said}\nmend that, then run the same command again")
    talk(f"committed {_git(repo, 'rev-parse', '--short', 'HEAD').stdout.strip()}: {message}")


def _push(repo: Path) -> None:
    done = _git(repo, "push", "--quiet")
    if not done.returncode:
        return talk("pushed")
    said = done.stderr.strip()
    if "[rejected]" in said or "fetch first" in said or "non-fast-forward" in said:
        advice = "somebody else pushed first; run: git pull --rebase && git push"
    else:
        advice = "mend that, then run: git push"
    raise _Stopped(f"committed, but not pushed: {said}\n{advice}")

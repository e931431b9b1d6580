"""Where each resource lies in a state directory, and which paths are refused whatever they hold."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from controller.source.characters import HIDDEN, describe
from controller.source.entries import FileEntry, is_yaml
from controller.source.problems import Problem
from crds.base import not_a_device

Kind = Literal["Fleet", "Service", "LoadBalancer", "Version", "Policy", "Freeze"]

LAYOUT: dict[Kind, str] = {
    "Fleet": "fleets/FLEET.yaml",
    "Service": "services/SERVICE.yaml",
    "LoadBalancer": "balancers/FLEET/NAME.yaml",
    "Version": "versions/FLEET/SERVICE.yaml",
    "Policy": "policies/NAME.yaml",
    "Freeze": "freezes/NAME.yaml",
}
_FOLDERS: dict[str, Kind] = {pattern.split("/")[0]: kind for kind, pattern in LAYOUT.items()}
_NOT_YET = ("sinks",)
_KIND = re.compile(rb"""^kind:\s*["']?(\w+)""", re.MULTILINE)


@dataclass(frozen=True)
class Place:
    """A file that holds a resource."""

    path: str
    kind: Kind
    name: str
    fleet: str = ""
    """Of a balancer or a version."""


def place_of(path: str) -> Place | None:
    """The resource that a path stands for; None for a path that stands for none."""
    if not path.endswith(".yaml"):
        return None
    parts = path.removesuffix(".yaml").split("/")
    kind = _FOLDERS.get(parts[0])
    if kind is None or len(parts) != LAYOUT[kind].count("/") + 1:
        return None
    return Place(path, kind, parts[-1], parts[1] if len(parts) == 3 else "")


def in_layout(path: str) -> bool:
    """Whether the path lies in a folder that resources lie in, perhaps in a wrong place there."""
    return path.partition("/")[0] in _FOLDERS


def path_problems(files: Iterable[tuple[str, FileEntry]]) -> Iterator[Problem]:
    """What is wrong with paths and kinds of entries, before any content is looked at."""
    entries = sorted(files)
    for path, entry in entries:
        yield from _unsafe(path)
        if entry.kind == "symlink":
            yield _error(path, "this is a symbolic link", "commit the file itself in its place")
        elif entry.kind == "submodule":
            yield _error(path, "this is a submodule", "commit the files themselves in its place")
        elif is_yaml(path) and not _hidden(path):
            yield from _misplaced(path, entry)
    yield from _same_but_for_case(path for path, _ in entries)


def _error(path: str, message: str, hint: str) -> Problem:
    return Problem("error", path, message, hint)


def _hidden(path: str) -> bool:
    """Folders and files that begin with a dot belong to other programs: .github, .pre-commit-config.yaml, .schemas."""
    return any(part.startswith(".") for part in path.split("/"))


def _unsafe(path: str) -> Iterator[Problem]:
    hidden = HIDDEN.search(path) or re.search(r"[\r\n\t]", path)
    parts = path.split("/")
    if hidden:
        yield _error(path, f"the path contains {describe(hidden.group())}", "rename the file")
    if path.startswith("/") or re.match(r"[A-Za-z]:", path):
        yield _error(path, "the path is absolute", "write paths relative to the state directory")
    if ".." in parts or "\\" in path:
        yield _error(path, "the path leads out of the state directory", "write paths without '..' and backslashes")
    for part in parts:
        try:
            not_a_device(part)
        except ValueError as error:
            message, _, _ = str(error).partition("; ")
            yield _error(path, message, "rename it: no Windows machine could check this repository out")


def _misplaced(path: str, entry: FileEntry) -> Iterator[Problem]:
    folder, name = path.partition("/")[0], path.rpartition("/")[2]
    if not name.endswith(".yaml"):
        yield _error(path, "the file name does not end in .yaml", f"rename it to {name.rpartition('.')[0]}.yaml")
    elif folder in _NOT_YET:
        hint = "it has no effect; keep it only as a note"
        yield Problem("warning", path, f"{folder}/ is not read by this version of Drumbeat", hint)
    elif place_of(path) is None:
        yield _error(path, "no resource is read from here", _belongs(folder, entry))


def _belongs(folder: str, entry: FileEntry) -> str:
    kind = _FOLDERS.get(folder)
    written = _KIND.search(entry.data or b"")
    if kind is None and written:
        kind = next((kind for kind in LAYOUT if kind == written[1].decode()), None)
    if kind is not None:
        return f"a {kind} belongs in {LAYOUT[kind]}"
    return f"resources belong in {', '.join(LAYOUT.values())}"


def _same_but_for_case(paths: Iterable[str]) -> Iterator[Problem]:
    """Also folders: services/ and Services/ are one folder on Windows and macOS."""
    seen: dict[str, str] = {}
    for path in paths:
        parts = path.split("/")
        for length in range(len(parts), 0, -1):
            part = "/".join(parts[:length])
            known = seen.setdefault(part.casefold(), part)
            if known != part:
                yield _error(path, f"{part} differs from {known} only in case", "give one of them another name")
                break

"""Which names an archive may use: those that mean the same file, inside the folder, on every system."""

import unicodedata
from pathlib import PurePosixPath

from agent.drivers.contracts import Terminal
from crds.base import not_a_device

_FORBIDDEN = set('<>:"|?*\\')
"""Not allowed in names on Windows; the backslash would be a separator there."""
_LONGEST = 255
_DEEPEST = 1024
"""Bytes of a whole path or of where a link leads: systems take 4096, the folder's own path among them."""


class Names:
    """The names of one archive, refused where two of them would collide or one would lead out of the folder."""

    def __init__(self) -> None:
        self._spelled: dict[str, str] = {}
        self._folders: set[str] = set()
        self._others: set[str] = set()

    def folder(self, name: str) -> PurePosixPath:
        """Accept a folder's name. Raises Terminal."""
        path = self._accept(name)
        self._enter(path)
        return path

    def file(self, name: str) -> PurePosixPath:
        """Accept the name of a file or link; its parents must be folders. Raises Terminal."""
        path = self._accept(name)
        if path == PurePosixPath("."):
            raise Terminal(f"the archive has an entry without a name: {name!r}")
        self._enter(path.parent)
        if str(path) in self._others or str(path) in self._folders:
            raise Terminal(f"the archive has {name!r} twice")
        self._others.add(str(path))
        return path

    def link(self, path: PurePosixPath, to: str) -> str:
        """Accept where a symbolic link leads: inside, whatever else the archive holds. Raises Terminal.

        ``..`` only leads: behind a name it would depend on what that name is. Since no entry lies behind a link, each
        link then stays inside, and so does a chain of them.
        """
        _check_whole(to)
        parts = PurePosixPath(to).parts
        leading = next((n for n, part in enumerate(parts) if part != ".."), len(parts))
        climbs = ".." in parts[leading:] or leading > len(path.parts) - 1
        if not to or to.startswith("/") or _FORBIDDEN & set(to) or climbs:
            raise Terminal(f"the archive's link {str(path)!r} leads to {to!r}, which may be outside of its folder")
        return to

    def has_file(self, path: PurePosixPath) -> bool:
        """Whether a file or link of that name was accepted."""
        return str(path) in self._others

    def _accept(self, name: str) -> PurePosixPath:
        _check_whole(name)
        path = PurePosixPath(name)
        if name.startswith("/") or ".." in path.parts:
            raise Terminal(f"the archive's entry {name!r} would lie outside of its folder")
        for part in path.parts:
            _check_part(part, name)
        for end in range(1, len(path.parts) + 1):
            self._check_spelling(str(PurePosixPath(*path.parts[:end])))
        return path

    def _check_spelling(self, name: str) -> None:
        folded = unicodedata.normalize("NFC", name).casefold()
        other = self._spelled.setdefault(folded, name)
        if other != name:
            raise Terminal(f"the archive's entries {other!r} and {name!r} would be one file where case does not count")

    def _enter(self, path: PurePosixPath) -> None:
        for folder in (path, *path.parents):
            if str(folder) in self._others:
                raise Terminal(f"the archive uses {str(folder)!r} as a file and as a folder")
            self._folders.add(str(folder))


def _check_whole(name: str) -> None:
    try:
        size = len(name.encode())
    except UnicodeEncodeError:
        raise Terminal(f"the archive's entry {name[:60]!r} is not named in UTF-8; pack it anew") from None
    if size > _DEEPEST:
        raise Terminal(f"the archive's entry {name[:60]!r}... has a path longer than {_DEEPEST} bytes")


def _check_part(part: str, name: str) -> None:
    if _FORBIDDEN & set(part) or any(ord(letter) < 32 for letter in part) or part != part.rstrip(". "):
        raise Terminal(f"the archive's entry {name!r} is not a name on Windows; pack it under another one")
    if len(part.encode()) > _LONGEST:
        raise Terminal(f"the archive's entry {name[:60]!r}... has a name longer than {_LONGEST} bytes")
    try:
        not_a_device(part)
    except ValueError as error:
        raise Terminal(f"the archive's entry {name!r}: {error}") from error

"""The files of one commit, straight from git's objects: no work tree, and nothing that git would do on checkout."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath

from controller.source.decoding import MAX_BYTES
from controller.source.entries import FileEntry, is_read
from controller.source.git import Git, GitError

_STATE = 64 * 1024 * 1024
"""Bytes of all files of a commit that are read: a hundred of the largest fleets."""
_NAMES = 16 * 1024 * 1024
"""Bytes of the list of a commit's files: some hundred thousand of them."""
_WORDS = 300
"""Characters of an author or a subject, which go into events."""


@dataclass(frozen=True)
class Commit:
    """Who committed what."""

    revision: str
    author: str
    subject: str


@dataclass(frozen=True)
class _Listed:
    path: str
    mode: str
    object: str
    size: int

    @property
    def wanted(self) -> bool:
        """Whether its content must be read."""
        return self.mode.startswith("100") and is_read(self.path) and self.size <= MAX_BYTES


def resolve(git: Git, name: str) -> str:
    """The full id of a commit that is named by branch, tag or abbreviation. Raises GitError."""
    try:
        return git.text("rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}")
    except GitError as error:
        if error.status != 1:
            raise
        raise GitError(f"there is no commit {name}; see git log --oneline --all") from error


def commit_of(git: Git, revision: str) -> Commit:
    """A commit's own words. Raises GitError."""
    said = git.text("show", "--no-patch", "--no-show-signature", "--format=%H%x00%an <%ae>%x00%s", revision)
    found, author, subject = said.split("\0")
    return Commit(found, author[:_WORDS], subject[:_WORDS])


def read_tree(git: Git, revision: str, folder: str = ".") -> dict[str, FileEntry]:
    """Every entry below a folder of a commit, by path relative to it; only YAML files are read.

    Raises GitError for an unknown revision, a folder that is not there, or more than any state directory holds.
    """
    listed = list(_list(git, revision, _clean(folder)))
    size = sum(entry.size for entry in listed if entry.wanted)
    if size > _STATE:
        raise GitError(
            f"commit {revision[:12]} has {size / 2**20:.0f} MiB of YAML, more than {_STATE // 2**20}; keep what is no "
            "state in another repository"
        )
    contents = _contents(git, revision, [entry.object for entry in listed if entry.wanted])
    return {entry.path: _entry(entry, contents) for entry in listed}


def _clean(folder: str) -> str:
    path = PurePosixPath(folder)
    if path.is_absolute() or ".." in path.parts:
        raise GitError(f"the folder {folder} does not lie in the repository; write a path relative to its top")
    return "" if str(path) == "." else str(path)


def _list(git: Git, revision: str, folder: str) -> Iterator[_Listed]:
    try:
        output = git.run(["ls-tree", "-r", "-z", "--long", "--end-of-options", f"{revision}:{folder}"], most=_NAMES)
    except GitError as error:
        if not folder or error.status is None:
            raise
        there = ", ".join(git.text("ls-tree", "-d", "--name-only", revision).splitlines()) or "none"
        message = f"commit {revision[:12]} has no folder {folder}; its folders are: {there}"
        raise GitError(message, error.output, error.status) from error
    for line in output.split(b"\0")[:-1]:
        about, _, path = line.partition(b"\t")
        mode, _, name, size = about.decode().split()
        if size == "BAD":  # what git writes for a blob that is not there
            raise _lost(name, revision)
        yield _Listed(path.decode("utf-8", "surrogateescape"), mode, name, 0 if size == "-" else int(size))


def _contents(git: Git, revision: str, objects: list[str]) -> dict[str, bytes]:
    """All blobs from one process."""
    if not objects:
        return {}
    output = git.run(["cat-file", "--batch"], "".join(f"{name}\n" for name in objects).encode())
    contents, at = {}, 0
    for name in objects:
        start = output.index(b"\n", at) + 1
        if output[at:start].endswith(b" missing\n"):
            raise _lost(name, revision)
        size = int(output[at:start].split()[2])
        contents[name] = output[start : start + size]
        at = start + size + 1
    return contents


def _lost(name: str, revision: str) -> GitError:
    return GitError(f"object {name[:12]} of commit {revision[:12]} is missing", "missing object")


def _entry(listed: _Listed, contents: dict[str, bytes]) -> FileEntry:
    if listed.mode == "120000":
        return FileEntry("symlink")
    if listed.mode == "160000":
        return FileEntry("submodule")
    return FileEntry("blob", contents[listed.object] if listed.wanted else None, listed.size)

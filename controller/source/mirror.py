"""Mirror: a bare copy of the state repository, kept with the git command."""

from dataclasses import dataclass
from pathlib import Path

from controller.source.entries import FileEntry
from controller.source.git import REMOTE_DEADLINE, Git, GitError, without_secrets
from controller.source.removals import acknowledged
from controller.source.tree import Commit, commit_of, read_tree


class SourceError(Exception):
    """The state repository cannot be read; the text says why, and what to do."""


@dataclass(frozen=True)
class Fetched:
    """What a branch points to now."""

    revision: str
    forced: bool = False
    """The branch was moved to where the last revision is no part of its past."""


class Mirror:
    """Follows one branch of one repository. Not for use by several threads at once."""

    def __init__(self, url: str, branch: str, folder: str, path: Path) -> None:
        """``url``: a URL or a path; ``folder``: of the state directory in it; ``path``: where the copy lies."""
        self._url, self._branch, self._folder, self._path = url, branch, folder, path
        self._git = Git(path)
        self._ref = f"refs/heads/{branch}"

    @property
    def local(self) -> Path | None:
        """The repository's own git directory if it lies on this machine."""
        if "://" in self._url:
            return None
        for path in (Path(self._url) / ".git", Path(self._url)):
            if (path / "HEAD").is_file():
                return path
        return None

    def fetch(self, last: str | None = None) -> Fetched:
        """Bring the copy up to date. Costs one call of git where ``last`` is still the branch's revision.

        Raises SourceError.
        """
        try:
            revision = self._remote_revision()
            if revision == last:
                return Fetched(revision)
            self._create()
            self._fetch()
            revision = self._git.text("rev-parse", "--verify", self._ref)
            return Fetched(revision, forced=last is not None and self._was_forced(last, revision))
        except GitError as error:
            raise SourceError(self._explained(error)) from error
        except OSError as error:
            raise SourceError(f"the copy of the repository cannot be written: {error}") from error

    def read(self, revision: str) -> dict[str, FileEntry]:
        """The state directory's files in a fetched commit, by path. Raises SourceError."""
        try:
            return read_tree(self._git, revision, self._folder)
        except GitError as error:
            raise SourceError(self._explained(error)) from error

    def commit(self, revision: str) -> Commit:
        """Who committed a fetched revision. Raises SourceError."""
        try:
            return commit_of(self._git, revision)
        except GitError as error:
            raise SourceError(self._explained(error)) from error

    def raw_commit(self, revision: str) -> bytes:
        """A fetched commit as git stores it, with its signature. Raises SourceError."""
        try:
            return self._git.run(["cat-file", "commit", revision])
        except GitError as error:
            raise SourceError(self._explained(error)) from error

    def follows(self, old: str, new: str) -> bool:
        """Whether a fetched commit is the older one, or has it in its past. Raises SourceError."""
        try:
            return self._knows(old) and self._is_past_of(old, new)
        except GitError as error:
            if error.status == 128 and "Not a valid object name" in error.output:
                return False
            raise SourceError(self._explained(error)) from error

    def changed(self, old: str, new: str) -> list[str]:
        """Paths in the repository that differ between two fetched commits, within the folder. Raises SourceError."""
        try:
            output = self._git.run(["diff-tree", "-r", "-z", "--name-only", old, new, "--", self._folder])
        except GitError as error:
            raise SourceError(self._explained(error)) from error
        return [path.decode("utf-8", "surrogateescape") for path in output.split(b"\0")[:-1]]

    def acknowledged(self, since: str, revision: str) -> set[str]:
        """Fleets on which removals are meant, by the messages of all commits after ``since``. Raises SourceError."""
        try:
            return acknowledged(self._git, since, revision)
        except GitError as error:
            raise SourceError(self._explained(error)) from error

    def _remote_revision(self) -> str:
        asked = ["ls-remote", "--refs", "--", self._url, self._ref]
        said = Git(None).text(*asked, deadline=REMOTE_DEADLINE)
        for line in said.splitlines():
            revision, _, ref = line.partition("\t")
            if ref == self._ref:
                return revision
        raise SourceError(self._no_branch())

    def _no_branch(self) -> str:
        said = Git(None).text("ls-remote", "--heads", "--", self._url, deadline=REMOTE_DEADLINE)
        there = [line.partition("\trefs/heads/")[2] for line in said.splitlines()]
        where = f"{without_secrets(self._url)} has no branch {self._branch}"
        if not there:
            return f"{where}, and no other: it is empty; commit a state directory (drumbeat init) and push it"
        more = ", ..." if len(there) > 20 else ""
        return f"{where}; it has: {', '.join(there[:20])}{more}"

    def _create(self) -> None:
        if not (self._path / "HEAD").is_file():
            self._path.parent.mkdir(parents=True, exist_ok=True)
            Git(None).text("init", "--quiet", "--bare", "--template=", "--", str(self._path))

    def _fetch(self) -> None:
        refspec = f"+{self._ref}:{self._ref}"
        options = ["--quiet", "--no-tags", "--no-write-fetch-head", "--no-recurse-submodules"]
        self._git.text("fetch", *options, "--", self._absolute_url, refspec, deadline=REMOTE_DEADLINE)

    @property
    def _absolute_url(self) -> str:
        """A relative path is relative to this process, not to the mirror."""
        path = Path(self._url)
        return str(path.absolute()) if "://" not in self._url and path.exists() else self._url

    def _was_forced(self, last: str, revision: str) -> bool:
        return self._knows(last) and not self._is_past_of(last, revision)

    def _knows(self, revision: str) -> bool:
        return self._git.succeeds("cat-file", "-e", f"{revision}^{{commit}}")

    def _is_past_of(self, old: str, new: str) -> bool:
        return self._git.succeeds("merge-base", "--is-ancestor", old, new)

    def _explained(self, error: GitError) -> str:
        url, output = without_secrets(self._url), error.output.lower()
        advice = {
            "dubious ownership": f"allow it: git config --global --add safe.directory {url}",
            "does not appear to be a git repository": f"check that {url} is a git repository and may be read",
            "does not exist": f"check that {url} is a git repository and may be read",
            "not found": f"check that {url} is right and may be read",
            "could not resolve host": "check the URL and the name service",
            "transport": "use https, ssh, or a path",
            "could not read username": "give the controller credentials: a git credential helper, or ssh",
            "authentication failed": "give the controller credentials: a git credential helper, or ssh",
            "permission denied": "give the controller's user access to the repository",
            "missing object": f"remove {self._path}, which is only a copy, and start again",
            "not a git repository": f"remove {self._path}, which is only a copy, and start again",
        }
        hint = next((hint for words, hint in advice.items() if words in output), "")
        return f"{error}; {hint}" if hint else str(error)

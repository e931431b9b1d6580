"""The secrets of one service: those for its next start, and those that its process was given."""

from collections.abc import Callable, Mapping
from dataclasses import replace

from agent.drivers.contracts import Running
from agent.secrets import Secrets
from crds.messages import ProcessIdentity
from crds.release import Release

_WITHHELD = "(the end of the log is withheld until the agent knows the secrets that may be in it)"


class Given:
    """Kept in memory alone. Looking values up may take long, so ``look_up`` is for a worker thread."""

    def __init__(self, target: str, secrets: Secrets) -> None:
        self._target, self._secrets = target, secrets
        self._fresh: tuple[str, dict[str, str]] | None = None
        """Looked up and not used yet: the release's digest, and the values."""
        self._process: ProcessIdentity | None = None
        self._of_process: dict[str, str] | None = None
        self._known: set[str] = set()
        """Digests of the releases in whose log nothing is that the redactor does not know."""

    def look_up(self, release: Release) -> None:
        """Have values for one start. Raises Retry or Terminal."""
        self._fresh = (release.digest, self._secrets.variables(release.secrets, self._target))
        self._known.add(release.digest)

    def for_start(self, release: Release) -> dict[str, str] | None:
        """The values; None as long as they have to be looked up."""
        if not release.secrets:
            return {}
        return self._fresh[1] if self._fresh and self._fresh[0] == release.digest else None

    def of_process(self, release: Release) -> dict[str, str] | None:
        """What the process has that runs the release; None if that is not known."""
        return self._of_process if release.secrets else {}

    def follow(self, release: Release, running: Running, given: Callable[[], Mapping[str, str]]) -> bool:
        """Take note of what runs; whether values have to be looked up now.

        ``given`` reads the running process's environment: an agent that was started after it learns from there what
        the process was given, also if the secret is another one by now.
        """
        if not release.secrets:
            self._known.add(release.digest)
            return False
        if running.identity is None or running.digest != release.digest:
            return self.for_start(release) is None
        if running.identity != self._process:
            self._process, self._of_process = running.identity, None
        if self._of_process is None:
            self._of_process = self._take(release, given)
        return self._of_process is None

    def veil(self, running: Running) -> Running:
        """What may be told of it: no log whose secrets could not be hidden."""
        if not running.log_tail or running.digest in self._known:
            return running
        return replace(running, log_tail=[_WITHHELD])

    def _take(self, release: Release, given: Callable[[], Mapping[str, str]]) -> dict[str, str] | None:
        fresh, self._fresh = self.for_start(release), None
        if fresh is not None:
            return fresh
        environment = given()
        if not release.secrets.keys() <= environment.keys():
            return None
        values = {variable: environment[variable] for variable in release.secrets}
        self._secrets.learn(values)
        self._known.add(release.digest)
        return values

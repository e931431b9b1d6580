"""How agents die in the midst of what they do: right before an effect or right after it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from agent.drivers.contracts import Retry, Terminal
from agent.journal import Journal, _Content
from crds.release import Release
from tests.simulation.drivers import SimServiceDriver

WRONG = "-wrong"
"""Ends the version of a release whose artifact is another file than it should be."""


class AgentDied(BaseException):
    """The agent was killed where it stood. No Exception, so that nothing survives it."""


class Fuse:
    """Ends an agent's life at one of its effects; burnt once, it must be set anew."""

    def __init__(self) -> None:
        self._left: int | None = None
        self._after = False

    def set(self, effects: int, after: bool) -> None:
        """Burn at the effect after so many others: before it happens, or after."""
        self._left, self._after = effects, after

    def put_out(self) -> None:
        """Nothing happens any more."""
        self._left = None

    @contextmanager
    def effect(self) -> Iterator[None]:
        """Around one effect on the world. Raises AgentDied."""
        burns = self._left == 0
        if self._left is not None:
            self._left -= 1
        if burns:
            self._left = None
        if burns and not self._after:
            raise AgentDied
        yield
        if burns:
            raise AgentDied


class MortalJournal(Journal):
    """After a death it holds the older of two states, or the newer one: it is synced before anybody acts by it."""

    fuse: Fuse | None = None

    def _write(self, content: _Content) -> None:
        if self.fuse is None:
            super()._write(content)
            return
        with self.fuse.effect():
            super()._write(content)


class Artifacts:
    """The server that all hosts fetch artifacts from."""

    def __init__(self) -> None:
        self.down = False

    def serve(self, release: Release) -> None:
        """Raises Retry or Terminal as a driver does."""
        if self.down:
            raise Retry("planted: the server of artifacts does not answer")
        if release.version.endswith(WRONG):
            raise Terminal(f"planted: the artifact of version {release.version} has another checksum")


class MortalServices:
    """A ServiceDriver whose agent can die in the midst of an installation."""

    def __init__(self, driver: SimServiceDriver, artifacts: Artifacts, fuse: Fuse) -> None:
        self._driver, self._artifacts, self._fuse = driver, artifacts, fuse

    def fetch(self, target: str, release: Release) -> None:
        if release.digest not in self._driver.fetched.get(target, set()):
            self._artifacts.serve(release)
        with self._fuse.effect():
            self._driver.fetch(target, release)

    def install(self, target: str, release: Release) -> Path:
        if self.installed(target, release.digest) is None:
            self.fetch(target, release)
        with self._fuse.effect():
            return self._driver.install(target, release)

    def installed(self, target: str, digest: str) -> Path | None:
        return self._driver.installed(target, digest)

    def remove(self, target: str, keep: set[str]) -> None:
        with self._fuse.effect():
            self._driver.remove(target, keep)

"""Something that is tried for one release until it works or cannot."""

from dataclasses import dataclass

from agent.backoff import Backoff
from agent.drivers.contracts import Terminal


@dataclass
class Effort:
    """One kind of work (installing, fetching, starting) and how far it got with the release it is for."""

    backoff: Backoff
    digest: str = ""
    begun: bool = False
    done: bool = False
    final: bool = False
    """It cannot work until something else is assigned."""
    failure: str = ""
    """Why it did not work the last time, in words."""
    again_at: float = 0.0

    def aim(self, digest: str) -> None:
        """Begin anew if this is another release than before."""
        if digest != self.digest:
            self.digest = digest
            self._clear()

    def renew(self) -> None:
        """Something was assigned anew: what could not work may be tried once more."""
        if self.final:
            self._clear()

    def may_try(self, now: float) -> bool:
        """Whether a try is due."""
        return not self.done and not self.final and now >= self.again_at

    def worked(self) -> None:
        """Nothing is left to try."""
        self.done, self.failure = True, ""
        self.backoff.reset()

    def failed(self, error: Exception, now: float) -> None:
        """It did not work: again after a while, unless it never can."""
        self.failure = str(error)
        self.final = isinstance(error, Terminal)
        self.again_at = now + self.backoff.next()

    def wait(self, now: float) -> float | None:
        """Seconds until the next try; None if none is planned, or if it is due and what keeps it back wakes us."""
        left = self.again_at - now
        return None if self.done or self.final or left <= 0 else left

    def _clear(self) -> None:
        self.begun = self.done = self.final = False
        self.failure, self.again_at = "", 0.0
        self.backoff.reset()

"""What stands in for the agent while its journal cannot be used."""

from collections.abc import Callable
from datetime import datetime
from threading import Lock

from agent.reporting import Speaker
from crds.messages import Report, Stamp


class Halted:
    """Reports the problem and does nothing else: without its memory the agent cannot tell a former leader from today's.

    Used like agent.core.Agent.
    """

    def __init__(
        self,
        problem: str,
        incarnation: str,
        speaker: Speaker,
        seal: Callable[[Report], bytes],
        send: Callable[[bytes], None],
        interval: float,
    ) -> None:
        self._seal = seal
        self._send = send
        self._interval = interval
        self._lock = Lock()
        self._told = False
        self._report = Report(
            node=speaker.node,
            incarnation=incarnation,
            life=speaker.life,
            seq=0,
            full=False,
            full_seq=0,
            taken=Stamp(0, 0),
            agent_version=speaker.agent_version,
            platform=speaker.platform,
            roles=speaker.roles,
            problem=problem,
        )

    def receive(self, envelope: bytes) -> None:
        """Nothing is taken."""

    def heartbeat(self) -> bytes:
        """The problem, in a short report."""
        return self._next(full=False)

    def step(self, now: datetime) -> float:  # noqa: ARG002  as the agent's
        """Report the problem once; the heartbeats repeat it."""
        if not self._told:
            self._told = True
            self._send(self._next(full=True))
        return self._interval

    def close(self) -> None:
        """Nothing is held."""

    def _next(self, full: bool) -> bytes:
        with self._lock:
            seq = self._report.seq + 1
            full_seq = seq if full else self._report.full_seq
            self._report = self._report.model_copy(update={"seq": seq, "full": full, "full_seq": full_seq})
            return self._seal(self._report)

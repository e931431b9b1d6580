"""A node that hears only what an attacker lets it hear: the real agent over a host whose processes are simulated."""

from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

from agent.core import Agent
from agent.reporting import Reporter, Speaker
from bus.envelope import open_assignment, open_report, seal_assignment, seal_report
from bus.keys import SigningKey, generate_key
from crds.messages import Assignment, Report, ServiceAssignment
from crds.release import Release
from tests.support.signed_nodes import SignedHost
from tests.support.signing import TARGET

NAME = "vm1"


@dataclass
class Listener:
    """The agent of vm1. It believes ``controller``, and pins no roots: what protects it here are the messages alone."""

    folder: Path
    controller: SigningKey = field(default_factory=generate_key)
    key: SigningKey = field(default_factory=generate_key)

    def __post_init__(self) -> None:
        self.host = SignedHost(self.folder, None)
        self.sent: list[Report] = []
        self.logged: list[str] = []
        self.restart()

    def restart(self) -> None:
        """The agent was stopped and started again, on the same machine."""
        self.host.restart()
        seal = partial(seal_report, signer=self.key)
        speaker = Speaker(NAME, "1.0", "linux", ["host"])
        reporter = Reporter(speaker, self.host.journal, seal, self._send, timedelta(seconds=30))
        verify = partial(open_assignment, controller_keys=[self.controller.public_key], node=NAME)
        self.agent = Agent(self.host.journal, [self.host.role], verify, reporter, lambda: None, 30.0)
        self.agent._log = self  # type: ignore[assignment]

    def warning(self, event: str, **_: Any) -> None:
        """As the agent's log."""
        self.logged.append(event)

    def _send(self, envelope: bytes) -> None:
        self.sent.append(open_report(envelope, self.key.public_key, NAME))

    def assignment(
        self, release: Release | None, serial: int, term: int = 1, node: str = NAME, lasts: float = 3600.0
    ) -> Assignment:
        """What a controller asks, good for so many seconds from now."""
        expires = self.host.clock.now() + timedelta(seconds=lasts)
        services = {TARGET: ServiceAssignment(release=release)}
        return Assignment(node=node, term=term, serial=serial, expires=expires, services=services)

    def order(self, release: Release | None, serial: int, key: SigningKey | None = None, **said: Any) -> bytes:
        """The same, sealed by the controller unless by somebody else."""
        return seal_assignment(self.assignment(release, serial, **said), key or self.controller)

    def hear(self, *envelopes: bytes, seconds: float = 20.0) -> None:
        """Deliver these, and let the agent do all that it would do in that time."""
        for envelope in envelopes:
            self.agent.receive(envelope)
        until = self.host.clock.monotonic() + seconds
        while self.host.clock.monotonic() < until:
            self.agent.step(self.host.clock.now())
            self.host.clock.advance(1.0)
            self.host.installing.run_due()
            self.host.probing.run_due()

    @property
    def starts(self) -> int:
        """How often a process was started."""
        return len(self.host.supervisor.starts)

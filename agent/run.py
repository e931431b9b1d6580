"""The agent as a process: its one loop, its signals, its end."""

import contextlib
import logging
import select
import signal
import socket
from collections.abc import Callable
from contextlib import ExitStack
from random import Random, SystemRandom

from agent.build import Parts, build_agent, build_bus, who_signs
from agent.core import Agent
from agent.halted import Halted
from agent.redaction import Redactor
from agent.settings import Settings
from bus.clock import Clock
from bus.keys import NodeKeys

COALESCE = 0.002
"""Seconds in which further wakes join the next step, so that a burst costs one step and not twenty."""
REOPEN = 30.0
"""Seconds between tries to read a journal that could not be used."""


class Pulse:
    """Wakes the loop, from any thread or signal handler; the loop sleeps without polling.

    A pair of sockets, because a signal that arrives just before a thread blocks on a lock does not interrupt it; the
    interpreter itself writes to this pair when a signal arrives.
    """

    def __init__(self) -> None:
        self._sleeper, self._waker = socket.socketpair()
        self._sleeper.setblocking(False)
        self._waker.setblocking(False)
        self._stopping = False

    def wake(self) -> None:
        """A step is wanted soon."""
        with contextlib.suppress(BlockingIOError):  # it is full of wakes already
            self._waker.send(b"w")

    def stop(self) -> None:
        """No further step is wanted."""
        self._stopping = True
        self.wake()

    @property
    def stopping(self) -> bool:
        """Whether the end was asked for."""
        return self._stopping

    def stop_on_signals(self) -> None:
        """Let SIGTERM and SIGINT end the agent, and nothing else. For the main thread."""
        signal.set_wakeup_fd(self._waker.fileno(), warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self.stop())

    def sleep(self, seconds: float) -> None:
        """Until woken, or until the time is up."""
        select.select([self._sleeper], [], [], seconds)
        with contextlib.suppress(BlockingIOError):
            while self._sleeper.recv(4096):
                pass


def run(settings: Settings, clock: Clock, pulse: Pulse, redactor: Redactor) -> None:
    """Run the agent until ``pulse`` stops. Services run on. Raises BadKey if the credentials cannot be used.

    ``redactor`` is the one through which the log is written.
    """
    keys, signing = NodeKeys.load(settings.credentials), who_signs(settings)
    with ExitStack() as closing:
        seed = SystemRandom().getrandbits(64)
        parts = Parts(settings, keys, clock, Random(seed), pulse.wake, redactor, closing)
        bus = build_bus(parts)
        current = _Current(build_agent(parts, bus.send))
        closing.callback(current.close)
        bus.start(current.receive, current.heartbeat)
        closing.callback(bus.stop)
        said = {"node": settings.node, "bus": settings.bus, "signing": signing}
        logging.getLogger("agent").info("the agent runs", extra=said)
        _loop(current, lambda: build_agent(parts, bus.send), clock, pulse)
    logging.getLogger("agent").info("the agent stopped; services run on", extra={"node": settings.node})


class _Current:
    """The agent that the bus talks to; another one once a journal was mended."""

    def __init__(self, agent: Agent | Halted) -> None:
        self.agent = agent

    def receive(self, envelope: bytes) -> None:
        self.agent.receive(envelope)

    def heartbeat(self) -> bytes:
        return self.agent.heartbeat()

    def close(self) -> None:
        self.agent.close()


def _loop(current: _Current, rebuild: Callable[[], Agent | Halted], clock: Clock, pulse: Pulse) -> None:
    last, reopened = -COALESCE, clock.monotonic()
    while not pulse.stopping:
        early = last + COALESCE - clock.monotonic()
        if early > 0:
            pulse.sleep(early)  # the step that follows answers whatever woke us in this time
        last = clock.monotonic()
        if isinstance(current.agent, Halted) and last - reopened >= REOPEN:
            current.agent, reopened = rebuild(), last
        wait = current.agent.step(clock.now())
        if isinstance(current.agent, Halted):
            wait = min(wait, REOPEN)
        pulse.sleep(wait)

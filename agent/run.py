"""The agent as a process: its one loop, its signals, its end."""

import contextlib
import signal
from collections.abc import Callable
from contextlib import ExitStack
from queue import Empty, SimpleQueue
from random import Random, SystemRandom
from types import FrameType

import structlog

from agent.build import Parts, build_agent, build_bus
from agent.core import Agent
from agent.halted import Halted
from agent.settings import Settings
from bus.clock import Clock
from bus.keys import NodeKeys

COALESCE = 0.002
"""Seconds in which further wakes join the next step, so that a burst costs one step and not twenty."""
REOPEN = 30.0
"""Seconds between tries to read a journal that could not be used."""


class Pulse:
    """Wakes the loop, from any thread; the loop sleeps without polling."""

    def __init__(self) -> None:
        # A queue, because its put may be called from a signal handler, which an Event's set may not.
        self._wakes: SimpleQueue[None] = SimpleQueue()
        self._stopping = False

    def wake(self) -> None:
        """A step is wanted soon."""
        self._wakes.put(None)

    def stop(self) -> None:
        """No further step is wanted."""
        self._stopping = True
        self._wakes.put(None)

    @property
    def stopping(self) -> bool:
        """Whether the end was asked for."""
        return self._stopping

    def sleep(self, seconds: float) -> None:
        """Until woken, or until the time is up."""
        with contextlib.suppress(Empty):
            self._wakes.get(timeout=seconds)
            while True:
                self._wakes.get_nowait()


def run(settings: Settings, clock: Clock, pulse: Pulse) -> None:
    """Run the agent until ``pulse`` stops. Services run on. Raises BadKey if the credentials cannot be used."""
    keys = NodeKeys.load(settings.credentials)
    with ExitStack() as closing:
        seed = SystemRandom().getrandbits(64)
        parts = Parts(settings, keys, clock, Random(seed), pulse.wake, closing)
        bus = build_bus(parts)
        current = _Current(build_agent(parts, bus.send))
        closing.callback(current.close)
        bus.start(current.receive, current.heartbeat)
        closing.callback(bus.stop)
        structlog.get_logger("agent").info("the agent runs", node=settings.node, bus=settings.bus)
        _loop(current, lambda: build_agent(parts, bus.send), clock, pulse)
    structlog.get_logger("agent").info("the agent stopped; services run on", node=settings.node)


def stop_on_signals(pulse: Pulse) -> None:
    """SIGTERM and SIGINT end the agent, and nothing else."""

    def stop(number: int, frame: FrameType | None) -> None:  # noqa: ARG001  as signal.signal wants it
        pulse.stop()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)


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

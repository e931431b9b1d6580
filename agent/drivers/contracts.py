"""What each kind of driver must do. Each kind has one suite in tests/conformance that finds every driver by itself.

Every call has a deadline. Errors are Retry (the same call may succeed later) or Terminal (it cannot, until the
assignment changes); their text is for people and says what to do.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from crds.messages import AdminState, OperationSpec, ProcessIdentity
from crds.release import Release


class Retry(Exception):
    """It did not work; the same call may work later."""


class Terminal(Exception):
    """It cannot work until somebody changes what was asked."""


class ServiceDriver(Protocol):
    """How a release is brought onto a host. Releases lie side by side; nothing here starts a process."""

    def fetch(self, target: str, release: Release) -> None:
        """Do whatever can be done while another release runs. Idempotent. Raises Retry or Terminal."""

    def install(self, target: str, release: Release) -> Path:
        """Fetch if needed, and return the release folder. Idempotent; whole or not at all."""

    def installed(self, target: str, digest: str) -> Path | None:
        """The release folder if that release is there whole."""

    def remove(self, target: str, keep: set[str]) -> None:
        """Delete the target's releases and artifacts, except those digests (and the newest few, if any are kept)."""


@dataclass(frozen=True)
class Running:
    """What a supervisor knows about a service's process."""

    digest: str | None = None
    version: str | None = None
    identity: ProcessIdentity | None = None
    """None: no process."""
    adopted: bool = False
    """It was not started by an agent, but taken over."""
    crashing: bool = False
    """It ended by itself again and again; the next start waits for a back-off."""
    restarts: int = 0
    message: str = ""
    log_tail: list[str] = field(default_factory=list)
    again_in: float | None = None
    """Seconds after which to ask again; None: whatever happens to it wakes the core."""


class Supervisor(Protocol):
    """How a release is kept running. A process outlives its agent and is found again by its identity."""

    def ensure(
        self, target: str, release: Release, folder: Path, values: dict[str, str], secrets: Mapping[str, str] | None
    ) -> Running:
        """Have exactly this release run: stop another one first, start this one if none runs and no back-off waits.

        ``values`` fill ``{host}``, ``{address}`` and ``{version}`` in the command and environment; ``secrets`` are more
        of the environment, and None as long as they are not known: then whatever runs is kept and nothing is started.
        Does not wait for health. While the old process is still stopping, it is what is returned.
        """

    def adopt(self, target: str, release: Release, pattern: str) -> Running:
        """Take over the one process with ``pattern`` in its command line, as it is, and keep it as that release.

        If a process of the target is kept already, it is returned. Raises Retry, in words, unless exactly one matches
        that is nobody's yet, not counting those that it started itself.
        """

    def given(self, target: str) -> dict[str, str]:
        """The environment that the running process was started with; empty if none runs or it cannot be told."""

    def stop(self, target: str, timeout: float) -> Running:
        """Begin or go on stopping, by force after ``timeout`` seconds; ``identity`` is None once it is gone."""

    def running(self, target: str) -> Running:
        """What runs now."""


@dataclass(frozen=True)
class Server:
    """One server in one pool, as a balancer sees it."""

    admin: AdminState
    by_config: bool
    """The admin state comes from the configuration (``disabled``), nobody set it at run time."""
    up: bool
    """A fresh check succeeded: in MAINT always False."""
    routed: bool
    """Requests reach it: in the state ready, and up, perhaps by the verdict of a check from before it left MAINT."""
    fresh_drain: bool
    """In DRAIN, with a check that succeeded after it entered DRAIN: it may be made ready."""
    sessions: int
    """Sessions, queue entries and used connections here and in workers from before a reload."""
    old_workers: int
    """Workers from before a reload in which this server is not in MAINT: they may still send it requests."""
    address: str
    status: str


@dataclass(frozen=True)
class Snapshot:
    """A balancer at one moment."""

    worker: str
    """Identity of the worker that answers: another one means a reload or a restart."""
    reload_safe: bool
    message: str
    pools: dict[str, dict[str, Server]]
    """Servers by pool, of the pools that were asked for and exist."""


@dataclass(frozen=True)
class Change:
    """An admin state that one server in one pool is to have."""

    pool: str
    server: str
    state: AdminState
    close: bool = False
    """Cut what sessions it still has."""

    @property
    def place(self) -> tuple[str, str]:
        """The pool and the server."""
        return self.pool, self.server


class BalancerDriver(Protocol):
    """One load balancer on this node."""

    def observe(self, pools: set[str]) -> Snapshot:
        """Read the pools' servers. Raises Retry if the balancer does not answer."""

    def apply(self, changes: Sequence[Change]) -> dict[tuple[str, str], str]:
        """Set admin states, at once and in this order. By place, in words: which could not be set, and why.

        Raises Retry if the balancer does not answer; some may have been set then.
        """

    def save(self) -> None:
        """Make what was applied survive a reload and a restart. Raises Retry."""


@dataclass(frozen=True)
class Outcome:
    """How an operation ended."""

    outcome: str
    """passed, failed, or inconclusive: nothing was proven either way."""
    message: str = ""
    log_tail: list[str] = field(default_factory=list)


class OperationDriver(Protocol):
    """One way of running an operation. Runs on a worker thread, ends within ``spec.timeout`` seconds or soon after."""

    def run(self, spec: OperationSpec, values: dict[str, str]) -> Outcome:
        """Run it once; never raises for what the world does. ``values`` fill ``{url}``, ``{host}``, ``{version}``."""

"""Mailbox: the only way into the deciding thread."""

import queue
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bus.port import Received
from crds.command import NodeVerb, OperatorCommand, RolloutVerb
from crds.desired import DesiredState
from crds.messages import Report

if TYPE_CHECKING:
    from controller.deciding import Deciding


@dataclass(frozen=True)
class ReportArrived:
    """A node's word, its signature verified."""

    report: Report
    received: Received


@dataclass(frozen=True)
class RevisionRead:
    """A commit was read: its state, or why it was refused."""

    revision: str
    state: DesiredState | None
    problems: list[str]
    targets_warned: dict[str, str]
    author: str = ""
    subject: str = ""
    signer: str = ""
    """Whose pinned key signed it; the author is whoever the commit says. Empty while none need sign."""
    admitted: bool = True
    """False if it is refused by the rule of who signs, which may be another one later."""
    forced: bool = False
    """The branch was moved to where the revision before is no part of its past."""
    resumed: bool = False
    """It was in force before the controller started, and stays so: nothing newer can be put in its place."""


@dataclass(frozen=True)
class SourceFailed:
    """The state repository cannot be read; what is in force stays in force."""

    message: str


@dataclass(frozen=True)
class NodeJoined:
    """A machine has joined with an invitation."""

    node: str
    message: str


@dataclass(frozen=True)
class RingChanged:
    """People may have decided about these nodes: the key ring has what is true of them now."""

    nodes: list[str]


@dataclass(frozen=True)
class Ask:
    """A question that only the deciding thread may answer; the answer goes into the future."""

    question: "Callable[[Deciding], Any]"
    answer: "Future[Any]"


@dataclass(frozen=True)
class Commanded:
    """An operator asks for something; what came of it, in words, goes into the future once it is on disk.

    The future gets Refused where it makes no sense, NotFound where there is no such target or node.
    """

    verb: RolloutVerb | NodeVerb
    object: str
    command: OperatorCommand
    answer: "Future[str]"


@dataclass(frozen=True)
class Stop:
    """End after this."""


Message = ReportArrived | RevisionRead | SourceFailed | NodeJoined | RingChanged | Ask | Commanded | Stop


class Mailbox:
    """Thread-safe; many put, one drains."""

    def __init__(self) -> None:
        self._queue: queue.SimpleQueue[Message] = queue.SimpleQueue()

    def put(self, message: Message) -> None:
        """Hand a message to the deciding thread; never blocks."""
        self._queue.put(message)

    def __len__(self) -> int:
        return self._queue.qsize()

    def drain(self, timeout: float | None) -> list[Message]:
        """Everything that lies there; waits for a first message for ``timeout`` seconds, without end if None."""
        messages = []
        try:
            messages.append(self._queue.get(timeout=timeout))
            while True:
                messages.append(self._queue.get_nowait())
        except queue.Empty:
            return messages

"""Asking the deciding thread, from handlers that may not wait for anything else."""

import asyncio
from collections.abc import Callable
from concurrent.futures import Future
from typing import TYPE_CHECKING, TypeVar

from controller.mailbox import Ask, Commanded, Mailbox, Message
from crds.command import NodeVerb, OperatorCommand, RolloutVerb

if TYPE_CHECKING:
    from controller.deciding import Deciding

Answer = TypeVar("Answer")
DEADLINE = 5.0
"""Seconds in which the deciding thread has to answer."""


class NoAnswer(Exception):
    """The deciding thread did not answer in time."""


class Asker:
    """Puts questions into the mailbox and waits for the answers on the event loop."""

    def __init__(self, mailbox: Mailbox, deadline: float = DEADLINE) -> None:
        self._mailbox, self._deadline = mailbox, deadline

    async def ask(self, question: "Callable[[Deciding], Answer]") -> Answer:
        """The answer as of the end of the step that it was asked in. Raises NoAnswer, and what the question raises."""
        answer: Future[Answer] = Future()
        return await self._answered(Ask(question, answer), answer)

    async def command(self, verb: RolloutVerb | NodeVerb, about: str, command: OperatorCommand) -> str:
        """Have a command carried out; what came of it, once it is on disk. Raises NoAnswer, NotFound and Refused.

        After NoAnswer it may have been carried out: a command says what should be so, hence asking again does no harm.
        """
        answer: Future[str] = Future()
        return await self._answered(Commanded(verb, about, command, answer), answer)

    async def _answered(self, message: Message, answer: "Future[Answer]") -> Answer:
        self._mailbox.put(message)
        try:
            return await asyncio.wait_for(asyncio.wrap_future(answer), self._deadline)
        except TimeoutError as error:
            raise NoAnswer from error

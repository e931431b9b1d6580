"""Asking the deciding thread, from handlers that may not wait for anything else."""

import asyncio
from collections.abc import Callable
from concurrent.futures import Future
from typing import TYPE_CHECKING, TypeVar

from controller.mailbox import Ask, Mailbox

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
        self._mailbox.put(Ask(question, answer))
        try:
            return await asyncio.wait_for(asyncio.wrap_future(answer), self._deadline)
        except TimeoutError as error:
            raise NoAnswer from error

"""What was in force before this start, by the word of the deciding thread, which alone reads the store."""

from concurrent.futures import Future

from controller.mailbox import Ask, Mailbox
from controller.source.mirror import SourceError

PATIENCE = 5.0
"""Seconds that the source thread waits for an answer; it asks again with its next look."""


def revision_in_force(mailbox: Mailbox, patience: float = PATIENCE) -> str | None:
    """The revision in force; None if the deciding thread says that there is none.

    Raises SourceError if it does not answer in time: nobody knows then whether an old commit is being played again.
    """
    answer: Future[str | None] = Future()
    mailbox.put(Ask(lambda deciding: deciding.revisions.in_force.id if deciding.revisions.in_force else None, answer))
    try:
        return answer.result(timeout=patience)
    except TimeoutError as error:
        answer.cancel()
        raise SourceError(
            "it is not known yet which revision was in force before this start: the store is slow; until it is, no "
            "commit is put in force, and it is asked for again"
        ) from error

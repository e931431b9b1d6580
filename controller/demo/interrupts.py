"""Ctrl-C and SIGTERM end the demo in the same way: with nothing left running."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_BOTH = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def interruptible() -> Iterator[None]:
    """SIGTERM raises KeyboardInterrupt, too."""

    def interrupt(number: int, frame: FrameType | None) -> None:  # noqa: ARG001  as signal.signal wants it
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def ignoring_interrupts() -> Iterator[None]:
    """While things are being ended, a second Ctrl-C must not leave some of them behind."""
    before = {number: signal.signal(number, signal.SIG_IGN) for number in _BOTH}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

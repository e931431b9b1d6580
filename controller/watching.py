"""Hints that files have changed: what the system tells sooner than the next look would find it."""

import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from watchfiles import Change, watch

Hints = Iterator[set[tuple[Change, str]]]

_LOOK_MS = 250


def hints(
    folders: Sequence[Path],
    concerns: Callable[[Path], bool],
    stop: threading.Event,
    *,
    debounce_ms: int,
    step_ms: int,
) -> Hints:
    """A set each time that something which ``concerns`` us has changed; an empty one several times a second otherwise.

    Ends once ``stop`` is set.
    """
    return watch(
        *folders,
        watch_filter=lambda _, path: concerns(Path(path)),
        debounce=debounce_ms,
        step=step_ms,
        rust_timeout=_LOOK_MS,
        stop_event=stop,
        yield_on_timeout=True,
        recursive=False,
        raise_interrupt=False,
    )

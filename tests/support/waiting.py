"""Waiting for conditions, never for time."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def eventually(condition: Callable[[], T], patience: float = 30.0) -> T:
    """The first true answer of ``condition``. Raises AssertionError once ``patience`` seconds have passed."""
    deadline = time.monotonic() + patience
    while not (answer := condition()):
        assert time.monotonic() < deadline, f"never came: {condition}"
        time.sleep(0.005)
    return answer

"""Words that several conditions share."""

from collections.abc import Sequence

_NAMED = 5
"""Hosts that a message names before it says "and N more"."""


def listed(words: Sequence[str]) -> str:
    """The first few, and how many more there are."""
    rest = len(words) - _NAMED
    return ", ".join(words[:_NAMED]) + (f" and {rest} more" if rest > 0 else "")

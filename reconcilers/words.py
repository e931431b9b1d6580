"""Words that several conditions share."""

from collections.abc import Sequence

NAMED = 5
"""Hosts that a message names before it says "and N more"."""


def listed(words: Sequence[str], total: int = 0) -> str:
    """The first few, and how many more there are. ``total``: of how many, if these are not all."""
    rest = max(total, len(words)) - NAMED
    return ", ".join(words[:NAMED]) + (f" and {rest} more" if rest > 0 else "")

"""How many hosts an amount means.

A percentage p of n hosts is floor(p * n / 100), raised to 1 where n >= 2; a number is itself, at most n. Rounding down
keeps to the cautious side of what was asked; raising to 1 lets a small target move at all. (Kubernetes rounds
maxUnavailable down likewise; its deployment controller raises 0 to 1 when nothing else could move.)
"""

from crds.base import Amount, Limit


def hosts_of(amount: Amount, total: int) -> int:
    """How many of ``total`` hosts the amount means; never more than there are."""
    if isinstance(amount, int):
        return min(amount, total)
    share = int(amount[:-1]) * total // 100
    return max(share, 1) if total >= 2 else share


def batch_size(batches: list[Amount], number: int, total: int) -> int:
    """Size of batch ``number`` (from 1); the last amount repeats. At least 1, so that a rollout always ends."""
    amount = batches[min(number, len(batches)) - 1]
    return max(hosts_of(amount, total), 1) if total else 0


def budget(max_unavailable: Amount, total: int, downtime_allowed: bool) -> int:
    """How many of the hosts may be unavailable at once, for whatever cause. One host alone: none, unless allowed."""
    if total == 1:
        return 1 if downtime_allowed else 0
    return hosts_of(max_unavailable, total)


def limit_of(limit: Limit, total: int) -> int:
    """How many of ``total`` hosts a limit tolerates. Rounded down and never raised: a limit errs on the strict side."""
    return min(limit, total) if isinstance(limit, int) else int(limit[:-1]) * total // 100

"""How many hosts an amount means.

What may go: a percentage p of n hosts is floor(p * n / 100), raised to 1 where n >= 2; a number is itself, at most n.
Rounding down keeps to the cautious side of what was asked; raising to 1 lets a small target move at all. (Kubernetes
rounds maxUnavailable down likewise; its deployment controller raises 0 to 1 when nothing else could move.)

What must stay: a percentage is ceil(p * n / 100), which is the cautious side there. (A PodDisruptionBudget of
Kubernetes rounds its minAvailable up likewise.)

A zone's share: of k hosts out of n, a zone with z of them gives at most ceil(k * z / n), its quota rounded up. In any
apportionment that "satisfies quota" nobody gets more than that (Balinski and Young, Fair Representation, 1982, chapter
on the quota method). All shares together are never less than k, so that they alone never keep a batch from its size.
"""

from crds.base import Amount, Limit


def hosts_of(amount: Amount, total: int) -> int:
    """How many of ``total`` hosts the amount means; never more than there are."""
    if isinstance(amount, int):
        return min(amount, total)
    share = int(amount[:-1]) * total // 100
    return max(share, 1) if total >= 2 else share


def at_least(amount: Amount, total: int) -> int:
    """How many of ``total`` hosts must be left if the amount must; never more than there are."""
    if isinstance(amount, int):
        return min(amount, total)
    return -(-int(amount[:-1]) * total // 100)


def zone_share(places: int, hosts: int, total: int) -> int:
    """How many of that many places among ``total`` hosts may fall to a zone that has ``hosts`` of them."""
    return -(-places * hosts // total) if total else 0


def batch_size(batches: list[Amount], number: int, total: int) -> int:
    """Size of batch ``number`` (from 1); the last amount repeats. At least 1, so that a rollout always ends."""
    amount = batches[min(number, len(batches)) - 1]
    return max(hosts_of(amount, total), 1) if total else 0


def budget(max_unavailable: Amount, total: int, downtime_allowed: bool, min_available: Amount | None = None) -> int:
    """How many of the hosts may be unavailable at once, for whatever cause; the stricter of the two amounts counts.

    One host alone: none, unless downtime is allowed.
    """
    most = total if min_available is None else total - at_least(min_available, total)
    if total == 1:
        return min(1 if downtime_allowed else 0, most)
    return min(hosts_of(max_unavailable, total), most)


def limit_of(limit: Limit, total: int) -> int:
    """How many of ``total`` hosts a limit tolerates. Rounded down and never raised: a limit errs on the strict side."""
    return min(limit, total) if isinstance(limit, int) else int(limit[:-1]) * total // 100

"""A supposed truth: what checkers are told in their own tests, where nothing is simulated."""

from typing import Any

from tests.simulation.checkers import Truth


def supposed(hosts: int, **known: Any) -> Truth:
    """One service, of which nothing is known on its hosts but what is said, at a time that stands still."""
    nothing: dict[str, Any] = {
        "services": ["web"],
        "balancers": ["lb1"],
        "server": lambda node, pool, host: None,
        "digest": lambda host, target: None,
        "version": lambda host, target: None,
        "journal": lambda node: None,
        "apart": lambda node: False,
        "away": lambda node: False,
        "marked": lambda node, pool, host: False,
        "frozen": lambda revision, service, moment, back: False,
        "excluded": lambda service, host: False,
        "time": lambda: 0.0,
    }
    return Truth(hosts=hosts, **(nothing | known))

"""Things to put into a store."""

from datetime import UTC, datetime

from controller.store import Store
from crds.status import Event, Journey, RolloutStatus, Step

NOW = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
TARGET = "trading-api@prod"


def status(version: str = "1", target: str = TARGET) -> RolloutStatus:
    return RolloutStatus(target=target, version=version)


def event(message: str = "", about: str = TARGET) -> Event:
    return Event(at=NOW, actor="controller", verb="drain", object=about, message=message)


def journey(host: str) -> Journey:
    return Journey(host=host, digest="d", batch=1, step=Step.DRAINING, begun=NOW, since=NOW, accounted=NOW)


def record(store: Store, *messages: str) -> None:
    """One transaction an event."""
    term = store.take_over(NOW)
    for message in messages:
        with store.transaction(term) as tx:
            tx.add_event(event(message))

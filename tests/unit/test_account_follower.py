"""AccountFollower while no broker answers: it says so, not too often, and tries again with more patience."""

import itertools
import threading
from collections.abc import Sequence
from pathlib import Path
from random import Random

import pytest
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

from bus.keyring import KeyRing
from bus.keys import BUS_PASSWORD_FILE, MANAGEMENT_PASSWORD_FILE, write_secret
from controller.broker.files import broker_accounts
from controller.broker.follower import LONGEST_RETRY, AccountFollower
from controller.metrics import Metrics
from tests.support.waiting import eventually
from tests.support.worlds import NOW

NOBODY = "http://127.0.0.1:1"


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def now(self):  # type: ignore[no-untyped-def]
        return NOW

    def monotonic(self) -> float:
        return self.seconds


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    for file in (BUS_PASSWORD_FILE, MANAGEMENT_PASSWORD_FILE):
        write_secret(tmp_path / file, b"secret\n")
    return tmp_path


def tries(follower: AccountFollower, clock: Clock, metrics: Metrics, seconds: int) -> Sequence[float]:
    """When it tried, looked at ten times a second."""
    found, before = [], 0.0
    for tenth in range(seconds * 10):
        clock.seconds = tenth / 10
        follower.step()
        failed = metrics.registry.get_sample_value("drumbeat_failures_total", {"part": "accounts"}) or 0.0
        if failed > before:
            found.append(clock.seconds)
        before = failed
    return found


def test_a_broker_that_is_away_is_tried_again_with_more_patience(keys: Path) -> None:
    clock, metrics = Clock(), Metrics(CollectorRegistry())
    accounts = broker_accounts(keys, NOBODY, "drumbeat", KeyRing(keys))
    follower = AccountFollower(accounts, keys, clock, Random(1), metrics)
    with capture_logs() as logs:
        at = tries(follower, clock, metrics, 600)
    pauses = [later - earlier for earlier, later in itertools.pairwise(at)]
    assert pauses[0] <= 1.1
    assert LONGEST_RETRY / 2 <= max(pauses) <= LONGEST_RETRY + 0.1
    assert len(at) < 25
    said = [line for line in logs if line["event"] == "accounts.failed"]
    assert 5 <= len(said) <= 11, "once a minute at most, though it is tried more often at first"
    assert "no broker answers" in said[0]["error"]
    assert "secret" not in str(logs)


@pytest.mark.parametrize("away", ["nodes", "."], ids=["the ring", "the folder of keys"])
def test_a_folder_that_is_away_is_not_made(keys: Path, away: str) -> None:
    """It is being replaced: what is moved there would land in the folder that was made."""
    ring = keys / "nodes"
    ring.mkdir()
    clock, stop, metrics = Clock(), threading.Event(), Metrics(CollectorRegistry())
    follower = AccountFollower(
        broker_accounts(keys, NOBODY, "drumbeat", KeyRing(keys)), keys, clock, Random(1), metrics
    )
    follower.look(stop)
    moved = (keys / away).rename(keys.with_name(f"{keys.name}-away"))
    looking = threading.Thread(target=lambda: [follower.look(stop) for _ in range(3)])
    looking.start()
    looking.join(1.5)  # it could have made it by now
    assert not (keys / away).exists()
    moved.rename(keys / away)
    looking.join(30)
    (ring / "host-1.json").touch()
    eventually(lambda: follower.look(stop) or follower._changed == {"host-1"})
    stop.set()
    assert not metrics.registry.get_sample_value("drumbeat_failures_total", {"part": "accounts"})

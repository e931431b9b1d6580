"""The end of a service's log: what the newest process wrote, in whole lines."""

from pathlib import Path

import pytest

from agent.drivers.supervisors.logs import ServiceLog


@pytest.fixture
def log(tmp_path: Path) -> ServiceLog:
    return ServiceLog(tmp_path / "logs" / "api@prod.log", 100_000)


def write(log: ServiceLog, text: str) -> None:
    """As the service does."""
    with log.path.open("a") as file:
        file.write(text)


@pytest.mark.parametrize("before", ["", "x", "\n", "one\ntwo\n", "one\nhalf a line"])
def test_the_tail_is_what_came_since_the_start(log: ServiceLog, before: str) -> None:
    assert log.begin() == 0
    write(log, before)
    since = log.begin()
    assert log.tail(since) == ""
    write(log, "first\nsecond")
    assert log.tail(since) == "first\nsecond"


def test_a_log_that_somebody_cut_begins_anew(log: ServiceLog) -> None:
    log.begin()
    write(log, "old\n" * 100)
    since = log.begin()
    log.path.write_text("new\n")
    assert log.tail(since) == "new\n"


def test_a_log_that_was_cut_and_grew_again_shows_no_half_of_a_line(log: ServiceLog) -> None:
    """Where the newest process began is not known any more; all that is there is its own."""
    log.begin()
    write(log, "old\n" * 25)
    since = log.begin()
    log.path.write_text("planted-secret " * 10 + "\nnew\n")
    assert log.tail(since) == "new\n"


def test_a_long_tail_begins_with_a_whole_line(log: ServiceLog) -> None:
    since = log.begin()
    write(log, "".join(f"line {number:05}\n" for number in range(5000)))
    tail = log.tail(since).splitlines()
    assert tail[-1] == "line 04999"
    assert all(len(line) == len("line 00000") for line in tail)
    assert len(tail) > 1000


def test_rotating_says_whether_the_log_begins_anew(log: ServiceLog) -> None:
    log.begin()
    assert log.rotate() is False
    write(log, "x" * 100_001)
    assert log.rotate() is True
    assert log.path.read_text() == ""

"""What is logged can be read by people on a terminal and by programs elsewhere, and holds no password."""

import io
import json
import logging
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import structlog

from bus.logs import configure_logging, hiding


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = handlers, level
    structlog.reset_defaults()


def test_away_from_a_terminal_each_line_is_json_with_utc_time() -> None:
    stream = io.StringIO()
    configure_logging(stream).info("batch begun", target="api@prod", hosts=3)
    said = json.loads(stream.getvalue())
    age = datetime.now(UTC) - datetime.fromisoformat(said.pop("time"))
    assert timedelta(0) <= age < timedelta(minutes=1)
    assert said == {
        "message": "batch begun",
        "target": "api@prod",
        "hosts": 3,
        "level": "info",
        "logger": "controller",
    }


def test_on_a_terminal_it_is_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    stream = Terminal()
    configure_logging(stream).info("batch begun", target="api@prod")
    assert "batch begun" in stream.getvalue()
    assert "target=api@prod" in stream.getvalue()
    assert "\x1b" not in stream.getvalue()


def test_a_terminal_gets_colours_unless_no_color_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    stream = Terminal()
    configure_logging(stream).info("batch begun")
    assert "\x1b[" in stream.getvalue()


def test_a_format_that_was_asked_for_wins_over_the_terminal() -> None:
    stream = Terminal()
    configure_logging(stream, form="json").info("batch begun")
    assert json.loads(stream.getvalue())["message"] == "batch begun"


def test_less_than_the_level_is_not_logged() -> None:
    stream = io.StringIO()
    logger = configure_logging(stream, level="warning")
    logger.info("not this")
    logger.warning("but this")
    assert [json.loads(line)["message"] for line in stream.getvalue().splitlines()] == ["but this"]


def test_any_logger_of_ours_writes_the_same_way() -> None:
    stream = io.StringIO()
    configure_logging(stream, level="debug")
    structlog.get_logger("agent.main").debug("awake", node="vm1")
    assert json.loads(stream.getvalue()) | {"time": ""} == {
        "message": "awake",
        "node": "vm1",
        "level": "debug",
        "logger": "agent.main",
        "time": "",
    }


def test_libraries_are_heard_from_warnings_upwards() -> None:
    stream = io.StringIO()
    configure_logging(stream, level="debug")
    logging.getLogger("some.library").info("chatter")
    logging.getLogger("some.library").warning("connection to %s lost", "rabbit")
    assert [json.loads(line)["message"] for line in stream.getvalue().splitlines()] == ["connection to rabbit lost"]


def test_what_the_bus_says_of_its_connection_is_not_said_twice() -> None:
    stream = io.StringIO()
    configure_logging(stream, level="debug")
    logging.getLogger("pika.connection").error("connection to %s lost", "rabbit")
    assert stream.getvalue() == ""


@pytest.mark.parametrize("form", ["json", "text"])
def test_an_exception_comes_with_its_traceback(form: str) -> None:
    stream = io.StringIO()
    logger = configure_logging(stream, form=form)  # type: ignore[arg-type]
    try:
        raise ZeroDivisionError("of all things")
    except ZeroDivisionError:
        logger.exception("planning failed")
    assert "ZeroDivisionError" in stream.getvalue()
    assert "of all things" in stream.getvalue()
    if form == "json":
        assert len(stream.getvalue().splitlines()) == 1


@pytest.mark.parametrize("form", ["json", "text"])
def test_no_password_of_a_url_is_written(form: str) -> None:
    stream = io.StringIO()
    logger = configure_logging(stream, form=form)  # type: ignore[arg-type]
    logger.info("cannot reach amqps://drumbeat:hunter2@rabbit/prod", repository="https://token:hunter2@git/state.git")
    try:
        raise OSError("fetching https://token:hunter2@git/state.git failed")
    except OSError:
        logger.exception("fetch failed")
    assert "hunter2" not in stream.getvalue()
    assert "amqps://***@rabbit/prod" in stream.getvalue()


def test_configuring_again_does_not_write_twice() -> None:
    first, second = io.StringIO(), io.StringIO()
    configure_logging(first)
    configure_logging(second).info("once")
    assert first.getvalue() == ""
    assert len(second.getvalue().splitlines()) == 1


def test_a_password_in_a_list_is_hidden_too() -> None:
    problems = ["a", "cannot fetch https://ann:secret@git.example.com/state.git"]
    said = hiding()(None, "", {"problems": problems, "count": 2})
    assert said == {"problems": ["a", "cannot fetch https://***@git.example.com/state.git"], "count": 2}


@pytest.mark.parametrize("form", ["json", "text"])
def test_what_is_to_be_hidden_is_written_nowhere(form: str) -> None:
    stream = io.StringIO()
    logger = configure_logging(stream, form=form, hide=lambda text: text.replace("planted", "***"))  # type: ignore[arg-type]
    try:
        raise OSError("no planted value")
    except OSError as error:
        logger.exception("with planted", nested={"a": ["planted"]}, error=error, path=Path("/planted"), number=1)
    logging.getLogger("pika").warning("a planted %s", "planted")
    assert "planted" not in stream.getvalue()
    assert stream.getvalue().count("***") >= 6

"""What is logged can be read by people on a terminal and by programs elsewhere, and holds no password."""

import ast
import io
import json
import logging
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import structlog
from structlog.typing import FilteringBoundLogger

from bus.logs import LogFormat
from bus.logs import configure_logging as configure_standard_logging
from controller.logs import configure_logging


def logger_to(stream: io.StringIO, **said: Any) -> FilteringBoundLogger:
    configure_logging(stream, **said)
    logger: FilteringBoundLogger = structlog.get_logger("controller")
    return logger


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
    logger_to(stream).info("batch begun", target="api@prod", hosts=3)
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
    logger_to(stream).info("batch begun", target="api@prod")
    assert "batch begun" in stream.getvalue()
    assert "target=api@prod" in stream.getvalue()
    assert "\x1b" not in stream.getvalue()


def test_a_terminal_gets_colours_unless_no_color_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    stream = Terminal()
    logger_to(stream).info("batch begun")
    assert "\x1b[" in stream.getvalue()


def test_a_format_that_was_asked_for_wins_over_the_terminal() -> None:
    stream = Terminal()
    logger_to(stream, form="json").info("batch begun")
    assert json.loads(stream.getvalue())["message"] == "batch begun"


def test_less_than_the_level_is_not_logged() -> None:
    stream = io.StringIO()
    logger = logger_to(stream, level="warning")
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
def test_an_exception_comes_with_its_traceback(form: LogFormat) -> None:
    stream = io.StringIO()
    logger = logger_to(stream, form=form)
    try:
        raise ZeroDivisionError("of all things")
    except ZeroDivisionError:
        logger.exception("planning failed")
    assert "ZeroDivisionError" in stream.getvalue()
    assert "of all things" in stream.getvalue()
    if form == "json":
        assert len(stream.getvalue().splitlines()) == 1


@pytest.mark.parametrize("form", ["json", "text"])
def test_no_password_of_a_url_is_written(form: LogFormat) -> None:
    stream = io.StringIO()
    logger = logger_to(stream, form=form)
    logger.info("cannot reach amqps://drumbeat:hunter2@rabbit/prod", repository="https://token:hunter2@git/state.git")
    try:
        raise OSError("fetching https://token:hunter2@git/state.git failed")
    except OSError:
        logger.exception("fetch failed")
    assert "hunter2" not in stream.getvalue()
    assert "amqps://***@rabbit/prod" in stream.getvalue()


def test_a_password_with_the_sign_that_ends_it_is_hidden_as_a_whole() -> None:
    stream = io.StringIO()
    configure_standard_logging(stream)
    logging.getLogger("agent").warning("cannot reach amqps://drumbeat:hunt@er2@rabbit/prod, nor https://git/a@b")
    assert json.loads(stream.getvalue())["message"] == "cannot reach amqps://***@rabbit/prod, nor https://git/a@b"


def test_configuring_again_does_not_write_twice() -> None:
    first, second = io.StringIO(), io.StringIO()
    configure_logging(first)
    logger_to(second).info("once")
    assert first.getvalue() == ""
    assert len(second.getvalue().splitlines()) == 1


def test_a_password_in_a_list_is_hidden_too() -> None:
    stream = io.StringIO()
    problems = ["a", "cannot fetch https://ann:secret@git.example.com/state.git"]
    logger_to(stream).error("revision.refused", problems=problems, count=2)
    said = json.loads(stream.getvalue())
    assert said["problems"] == ["a", "cannot fetch https://***@git.example.com/state.git"]
    assert said["count"] == 2


def test_an_agent_s_events_are_written_in_the_same_form_without_structlog() -> None:
    ours, theirs = io.StringIO(), io.StringIO()
    configure_standard_logging(ours)
    logging.getLogger("controller").info("batch begun", extra={"target": "api@prod", "hosts": 3})
    logger_to(theirs).info("batch begun", target="api@prod", hosts=3)
    assert json.loads(ours.getvalue()) | {"time": ""} == json.loads(theirs.getvalue()) | {"time": ""}


def test_no_event_of_the_controller_has_a_field_that_logging_keeps_for_itself() -> None:
    kept = {*vars(logging.makeLogRecord({})), "message", "asctime", "taskName", "time", "level", "logger", "exception"}
    clashes = [
        f"{path}:{call.lineno}: {keyword.arg}"
        for path in Path("controller").rglob("*.py")
        for call in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(call, ast.Call) and "_log." in ast.unparse(call.func)
        for keyword in call.keywords
        if keyword.arg in kept - {"exc_info", "stack_info"}
    ]
    assert not clashes


@pytest.mark.parametrize("form", ["json", "text"])
def test_what_is_to_be_hidden_is_written_nowhere(form: LogFormat) -> None:
    stream = io.StringIO()
    configure_standard_logging(stream, form=form, hide=lambda text: text.replace("planted", "***"))
    logger = logging.getLogger("agent")
    try:
        raise OSError("no planted value")
    except OSError as error:
        said = {"nested": {"a": ["planted"]}, "error": error, "file": Path("/planted"), "number": 1}
        logger.exception("with planted", extra=said)
    logging.getLogger("some.library").warning("a planted %s", "planted")
    assert "planted" not in stream.getvalue()
    assert stream.getvalue().count("***") >= 6

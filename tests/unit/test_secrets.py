"""Secrets are looked up where the node's operator said, and hidden wherever they might leave the node."""

import base64
import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

import pytest
from pydantic import ValidationError

from agent.drivers.contracts import Retry, Terminal
from agent.posix import PosixProcesses
from agent.redaction import Redactor
from agent.secrets import LONGEST, Secrets, Source
from bus.envelope import seal_report
from bus.keys import generate_key
from crds.messages import OperationReport, Report, ServiceReport, Stamp
from crds.release import Release
from crds.service import Artifact

VALUE = 'pä"ss w/rd+&\\9'
STAMP = Stamp(1, 1)
TARGET = "api@prod"


def secrets(environment: Mapping[str, str] = os.environ, redactor: Redactor | None = None, **said: Any) -> Secrets:
    sources = {name.replace("_", "-"): Source.model_validate(source) for name, source in said.items()}
    return Secrets(sources, redactor or Redactor(), PosixProcesses().ask, environment)


def python(code: str) -> dict[str, Any]:
    return {"command": [sys.executable, "-c", code], "timeout": "20s"}


def test_each_source_gives_the_value_without_line_ends(tmp_path: Path) -> None:
    (tmp_path / "db").write_text(f"{VALUE}\n", encoding="utf-8")
    node = secrets(
        {"OF_UNIT": VALUE, "PATH": os.environ["PATH"]},
        file={"file": str(tmp_path / "db")},
        unit={"environment": "OF_UNIT"},
        asked=python("import os; os.write(1, os.environb[b'OF_UNIT'] + b'\\r\\n'); os.write(2, b'noise')"),
    )
    assert node.variables({"A": "file", "B": "unit", "C": "asked"}, TARGET) == dict.fromkeys("ABC", VALUE)


def test_a_changed_file_is_read_anew(tmp_path: Path) -> None:
    (tmp_path / "db").write_text("first-value")
    node = secrets(db={"file": str(tmp_path / "db")})
    assert node.value("db") == "first-value"
    (tmp_path / "db").write_text("second-value")
    assert node.value("db") == "second-value"


@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
def test_the_longest_value_may_have_a_line_end(tmp_path: Path, end: str) -> None:
    for more in ("", "x"):
        (tmp_path / "db").write_text("é" * (LONGEST // 2) + more + end, encoding="utf-8", newline="")
        node = secrets(file={"file": str(tmp_path / "db")}, asked={"command": ["cat", str(tmp_path / "db")]})
        for name in ("file", "asked"):
            if not more:
                assert len(node.value(name).encode()) == LONGEST
                continue
            with pytest.raises(Retry, match="is longer than 16384 bytes"):
                node.value(name)


TROUBLE: dict[str, tuple[dict[str, Any], type[Exception], str]] = {
    "no file": ({"file": "/nowhere/at/all"}, Retry, "cannot read /nowhere/at/all"),
    "a folder": ({"file": "/"}, Retry, "cannot read /"),
    "no variable": ({"environment": "NOT_SET_ANYWHERE"}, Terminal, "no NOT_SET_ANYWHERE; set it in the agent's unit"),
    "fails": (python("print('planted-secret'); raise SystemExit(3)"), Retry, "exited with status 3"),
    "crashes": (python("import os; print('planted-secret', flush=True); os.abort()"), Retry, "ended by SIGABRT"),
    "hangs": (python("import time; time.sleep(1000)") | {"timeout": "200ms"}, Retry, "did not end within 0.2 s"),
    "no program": ({"command": ["/nowhere/vault"]}, Retry, "cannot start '/nowhere/vault'"),
    "short": (python("print('12345')"), Retry, "fewer than 6 characters"),
    "long": (python("print('planted-secret' * 2000)"), Retry, "longer than 16384 bytes"),
    "endless": (python("while True: print('planted-secret' * 2000)"), Retry, "longer than 16384 bytes"),
    "no text": (python("import sys; sys.stdout.buffer.write(b'planted-secret\\xff')"), Retry, "not text in UTF-8"),
    "zero byte": (python("print('planted-secret\\0')"), Retry, "zero byte"),
}


@pytest.mark.parametrize("name", TROUBLE)
def test_trouble_names_the_secret_and_the_remedy_and_never_the_value(name: str) -> None:
    source, kind, words = TROUBLE[name]
    with pytest.raises(kind) as caught:
        secrets(trading_db=source).value("trading-db")
    assert "'trading-db'" in str(caught.value)
    assert words in str(caught.value)
    assert "planted" not in str(caught.value)


def test_a_name_that_the_node_does_not_know_is_final_and_lists_those_it_knows() -> None:
    node = secrets(trading_db={"environment": "A"}, mail={"environment": "B"})
    with pytest.raises(Terminal, match=r"no secret 'other'; it knows: mail, trading-db. Add it to 'secrets'"):
        node.variables({"X": "other"}, TARGET)


def test_a_secret_that_is_kept_for_some_services_goes_to_no_other(tmp_path: Path) -> None:
    (tmp_path / "db").write_text(VALUE)
    kept = {"file": str(tmp_path / "db"), "services": ["api", "web"]}
    node = secrets(db=kept, db_of_stores={**kept, "services": []}, db_of_all={**kept, "services": None})
    for target in ("api@prod", "web@staging"):
        assert node.variables({"X": "db"}, target) == {"X": VALUE}
    assert node.variables({"X": "db-of-all"}, "evil@prod") == {"X": VALUE}
    remedy = r"secret 'db' is not for evil: this node keeps it for api, web. Add evil to the secret's 'services'"
    with pytest.raises(Terminal, match=remedy):
        node.variables({"A": "db-of-all", "X": "db"}, "evil@prod")
    with pytest.raises(Terminal, match="keeps it for no service"):
        node.variables({"X": "db-of-stores"}, TARGET)
    assert node.value("db-of-stores") == VALUE


@pytest.mark.parametrize("said", [{}, {"file": "/a", "environment": "B"}, {"command": []}, {"value": "planted"}])
def test_a_source_is_exactly_one(said: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Source.model_validate(said)


def test_a_variable_has_one_value_only() -> None:
    with pytest.raises(ValidationError, match="DB is in both environment and secrets"):
        Artifact.model_validate({"url": "file:///a", "run": ["a"], "environment": {"DB": "x"}, "secrets": {"DB": "db"}})


def test_naming_a_secret_is_another_release_and_naming_none_is_the_same() -> None:
    plain = Release(version="1", url="u", sha256="0", run=["a"])
    said = {"version": "1", "url": "u", "sha256": "0", "run": ["a"]}
    assert plain.digest == Release.model_validate({**said, "secrets": {}}).digest
    assert plain.digest != Release.model_validate({**said, "secrets": {"DB": "db"}}).digest


def basic(value: str) -> str:
    return base64.b64encode(f"user:{value}".encode()).decode()


@pytest.mark.parametrize(
    "form",
    [
        str,
        json.dumps,
        lambda value: json.dumps(value, ensure_ascii=False),
        repr,
        quote,
        lambda value: quote(value, safe=""),
        lambda value: quote(value, safe="").lower().replace("P".lower(), "p"),
        quote_plus,
        lambda value: base64.b64encode(value.encode()).decode(),
        lambda value: base64.urlsafe_b64encode(value.encode()).decode(),
        *(lambda value, n=n: base64.b64encode(b"u" * n + value.encode() + b"tail").decode() for n in range(6)),
        basic,
    ],
)
@pytest.mark.parametrize("value", [VALUE, "planted-secret-0042", "s3cr3t", "?>~?>~?>~", "naïve-☃-value"])
def test_a_value_is_hidden_in_every_common_form(form: Any, value: str) -> None:
    redactor = Redactor()
    redactor.learn(value)
    hidden = redactor.hide(f"before {form(value)} after")
    assert hidden.startswith("before ") and hidden.endswith(" after")
    assert "***" in hidden
    assert value not in hidden


def test_a_value_of_several_lines_is_hidden_line_by_line_too() -> None:
    redactor = Redactor()
    redactor.learn("-----BEGIN KEY-----\n  c2VjcmV0LWtleQ==\n-----END KEY-----")
    assert redactor.hide("line c2VjcmV0LWtleQ== line") == "line *** line"


def test_the_longer_of_two_values_is_hidden_whole() -> None:
    redactor = Redactor()
    redactor.learn("planted")
    redactor.learn("planted-secret")
    assert redactor.hide("a planted-secret and a planted") == "a *** and a ***"


def test_values_that_change_all_the_time_do_not_fill_the_memory() -> None:
    redactor = Redactor()
    for number in range(400):
        redactor.learn("always-the-same")
        redactor.learn(f"planted-secret-{number:04}")
    assert redactor.hide("planted-secret-0399 always-the-same planted-secret-0001") == "*** *** planted-secret-0001"


def test_a_report_has_its_words_cleaned_and_its_facts_left() -> None:
    redactor = Redactor()
    redactor.learn("running")
    report = Report(
        node="h1",
        incarnation="i",
        seq=1,
        full=True,
        full_seq=1,
        taken=STAMP,
        problem="running away",
        services={"a@b": ServiceReport(read=STAMP, state="running", message="running", log_tail=["is running", "on"])},
        operations={"o": OperationReport(read=STAMP, state="running", message="not running", log_tail=["running"])},
    )
    cleaned = redactor.hide_in_report(report)
    assert cleaned.services["a@b"].state == "running"
    assert (cleaned.problem, cleaned.services["a@b"].message) == ("*** away", "***")
    assert cleaned.services["a@b"].log_tail == ["is ***", "on"]
    assert (cleaned.operations["o"].message, cleaned.operations["o"].log_tail) == ("not ***", ["***"])
    assert seal_report(cleaned, generate_key())

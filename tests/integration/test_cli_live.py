"""What people and pipelines rely on in the commands that ask a controller: output, forms, exit codes."""

import json
import os
import pty
import re
import signal
import subprocess
import sys
import termios
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner, Result

from controller.cli.main import app
from tests.support.controller import Served, controller
from tests.support.pretend import Pretence
from tests.support.states import state
from tests.support.waiting import eventually

DRUMBEAT = str(Path(sys.executable).with_name("drumbeat"))
NOBODY = "http://127.0.0.1:1"


def run(served: Served | str, *words: str, **environment: str) -> Result:
    url = served if isinstance(served, str) else served.url
    return CliRunner().invoke(app, list(words), env={"DRUMBEAT_SERVER": url, **environment})


def lines(result: Result) -> list[list[str]]:
    assert result.exit_code == 0, result.output
    return [line.split() for line in result.stdout.splitlines()]


@pytest.fixture(scope="module")
def converged(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with controller(tmp_path_factory.mktemp("store")) as served:
        served.controller.commit(state("1"))
        served.reaches("Converged")
        yield served


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Served]:
    with controller(tmp_path, pretence=Pretence()) as served:
        yield served


# --- get


def test_get_targets_is_a_table(converged: Served) -> None:
    header, row = lines(run(converged, "get", "targets"))
    assert header == ["NAME", "STATUS", "VERSION", "HOSTS", "BATCH", "SINCE"]
    assert row[:5] == ["api@prod", "Ready", "1", "4/4", "3"]
    assert "\x1b" not in run(converged, "get", "targets").stdout


@pytest.mark.parametrize(
    ("word", "first"),
    [
        *((word, "api@prod") for word in ("target", "targets", "tg", "Targets", "rollout", "rollouts", "ro")),
        *((word, "lb1") for word in ("node", "nodes", "no")),
        *((word, "lb1/mt") for word in ("pool", "pools", "pl")),
    ],
)
def test_kinds_by_singular_plural_and_short_name(converged: Served, word: str, first: str) -> None:
    assert lines(run(converged, "get", word))[1][0] == first


def test_wide_adds_columns(converged: Served) -> None:
    header, row = lines(run(converged, "get", "target", "api@prod", "-o", "wide"))
    assert header[-3:] == ["DIGEST", "REVISION", "MESSAGE"]
    assert "rev1" in row


def test_json_and_yaml_of_one_name_is_the_resource_and_of_several_a_list(converged: Served) -> None:
    one = json.loads(run(converged, "get", "target", "api@prod", "-o", "json").stdout)
    assert (one["kind"], len(one["status"]["hosts"])) == ("Target", 4)
    two = yaml.safe_load(run(converged, "get", "nodes", "vm1", "lb1", "-o", "yaml").stdout)
    assert (two["kind"], [item["metadata"]["name"] for item in two["items"]]) == ("List", ["vm1", "lb1"])
    every = json.loads(run(converged, "get", "pools", "-o", "json").stdout)
    assert (every["kind"], len(every["items"])) == ("PoolList", 4)


def test_names_can_be_fed_to_other_commands(converged: Served) -> None:
    assert run(converged, "get", "nodes", "-l", "zone=a", "-o", "name").stdout == "node/vm1\nnode/vm3\n"


def test_a_selector_that_matches_nothing_says_so_on_stderr(converged: Served) -> None:
    result = run(converged, "get", "targets", "-l", "fleet=staging")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "no targets found\n")


def test_unknown_names_get_a_suggestion(converged: Served) -> None:
    for words in (("get", "target", "apj@prod"), ("describe", "tg", "apj@prod"), ("wait", "apj@prod")):
        result = run(converged, *words)
        assert (result.exit_code, result.stdout) == (1, "")
        assert result.stderr == "error: no target 'apj@prod'; did you mean 'api@prod'?\n"


def test_wrong_use_is_told_from_failure(converged: Served) -> None:
    unknown = run(converged, "get", "pods")
    assert unknown.exit_code == 2
    assert "there is no kind 'pods'" in unknown.stderr
    assert run(converged, "get", "targets", "api@prod", "-l", "a=b").exit_code == 2
    assert "is not a duration" in run(converged, "wait", "api@prod", "--timeout", "10").stderr
    bad = run(converged, "get", "targets", "-l", "a>b")
    assert (bad.exit_code, bad.stderr.count("\n")) == (1, 1)


@pytest.mark.parametrize(
    "words",
    [
        ("get", "targets"),
        ("describe", "target", "x"),
        ("wait", "x"),
        ("rollout", "status", "x"),
        ("events",),
    ],
)
def test_no_controller_is_one_clear_line(words: tuple[str, ...]) -> None:
    result = run(NOBODY, *words)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == (
        "error: no controller answers at http://127.0.0.1:1; start it with 'drumbeat controller', "
        "or name another one with --server or DRUMBEAT_SERVER\n"
    )


def test_the_option_goes_before_the_environment(converged: Served) -> None:
    assert run(NOBODY, "get", "targets", "--server", converged.url).exit_code == 0


def test_something_else_at_the_address_is_not_taken_for_a_controller(converged: Served) -> None:
    result = run(f"{converged.url}/healthz", "get", "targets")
    assert result.exit_code == 1
    assert run("nonsense", "get", "targets").exit_code == 1


# --- wait


def test_wait_ends_with_0_once_converged(fresh: Served) -> None:
    fresh.controller.commit(state("1"))
    fresh.reaches("Converged")
    fresh.controller.commit(state("2", revision="cafe2"))
    result = run(fresh, "wait", "api@prod", "--revision", "cafe2", "--timeout", "20s")
    assert (result.exit_code, result.stdout) == (0, "api@prod: 4 of 4 hosts run 2, healthy and online\n")


def test_wait_ends_with_1_when_a_gate_fails(fresh: Served) -> None:
    fresh.controller.pretence.gate = lambda spec: "failed"
    fresh.controller.commit(state("1"))
    fresh.reaches("GateFailed")
    result = run(fresh, "wait", "api@prod", "--timeout", "20s")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith(
        "error: api@prod is stalled (GateFailed): vm1: gate smoke failed: smoke said failed"
    )


def test_wait_ends_with_124_when_the_time_is_up_and_says_what_was_missing(fresh: Served) -> None:
    fresh.controller.pretence.installing.add("vm1")
    fresh.controller.commit(state("1"))
    fresh.reaches("BatchUnderWay")
    fresh.waits_for("unpacks the archive")
    result = run(fresh, "wait", "api@prod", "--timeout", "300ms")
    assert result.exit_code == 124
    assert "timed out: api@prod is not there: BatchUnderWay: batch 1: vm1 deploying" in result.stderr
    status = run(fresh, "rollout", "status", "api@prod", "--timeout", "300ms")
    assert status.exit_code == 124
    assert "vm1: deploying: unpacks the archive" in status.stdout.splitlines()


def test_wait_for_a_revision_that_never_comes(converged: Served) -> None:
    result = run(converged, "wait", "api@prod", "--revision", "beef", "--timeout", "300ms")
    assert result.exit_code == 124
    assert "revision beef is not in force" in result.stderr


def test_a_refused_revision_is_a_failure_with_its_problems(fresh: Served) -> None:
    fresh.controller.commit(state("1"))
    fresh.reaches("Converged")
    fresh.controller.refuse("badc0ffee", "services/api.yaml:3: spec.hots: no such field", "another")
    eventually(lambda: fresh.get("/api/v1/state")["refused"])
    result = run(fresh, "wait", "api@prod", "--revision", "badc0ffee")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == (
        "error: revision badc0ffee was refused:\n  services/api.yaml:3: spec.hots: no such field\n  another\n"
    )
    without = run(fresh, "wait", "api@prod")
    assert without.exit_code == 0
    assert "note: revision badc0ffee was refused" in without.stderr


def test_a_newer_commit_takes_the_place_of_the_one_waited_for(fresh: Served) -> None:
    fresh.controller.commit(state("1", revision="aaaa1"))
    fresh.reaches("Converged")
    fresh.controller.commit(state("2", revision="bbbb2"))
    fresh.controller.commit(state("3", revision="cccc3"))
    eventually(lambda: fresh.get("/api/v1/state")["revision"]["id"] == "cccc3")
    result = run(fresh, "wait", "api@prod", "--revision", "bbbb", "--timeout", "20s")
    assert (result.exit_code, result.stdout) == (0, "api@prod: 4 of 4 hosts run 3, healthy and online\n")
    assert "revision cccc3 has taken the place of bbbb" in result.stderr


def test_ready_for_an_older_revision_is_not_converged(fresh: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    fresh.controller.commit(state("1"))
    fresh.reaches("Converged")

    def fail(*_: object) -> None:
        raise RuntimeError("planted")

    monkeypatch.setattr("controller.deciding.plan", fail)
    fresh.controller.commit(state("2"))
    result = run(fresh, "wait", "api@prod", "--revision", "rev2", "--timeout", "300ms")
    assert (result.exit_code, result.stdout) == (124, "")
    described = run(fresh, "describe", "target", "api@prod").stdout
    assert "planning it raised an error; the controller's log says which" in described


def test_waiting_survives_a_controller_that_is_away_for_a_while(fresh: Served) -> None:
    fresh.controller.pretence.installing.add("vm1")
    fresh.controller.commit(state("1"))
    fresh.reaches("BatchUnderWay")
    before = fresh.http.requests
    with Watching(fresh, "wait", "api@prod", "--timeout", "60s") as waiting:
        eventually(lambda: fresh.http.requests > before)
        fresh.http.stop()
        assert waiting.process.stderr is not None
        assert waiting.process.stderr.readline().endswith("; trying again\n")
        fresh.controller.pretence.installing.clear()
        fresh.controller.bus.retry("vm1")
        fresh.http.start()
        assert waiting.process.wait(timeout=30) == 0


# --- rollout status, events, watches


def test_rollout_status_tells_each_change_once_and_ends_with_the_result(converged: Served) -> None:
    result = run(converged, "rollout", "status", "api@prod")
    assert (result.exit_code, result.stdout) == (0, "api@prod: 4 of 4 hosts run 1, healthy and online\n")


def on_a_terminal(*words: str) -> tuple[int, str]:
    """Exit code, and what is shown on a terminal, without its control sequences."""
    screen, end = pty.openpty()
    termios.tcsetwinsize(end, (40, 160))
    ended = subprocess.run([DRUMBEAT, *words], stdout=end, env={**os.environ, "TERM": "xterm"}, timeout=60)
    os.close(end)
    shown = b""
    with suppress(OSError):  # how a terminal that nobody writes to any more ends
        while chunk := os.read(screen, 65536):
            shown += chunk
    os.close(screen)
    return ended.returncode, re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.decode())


def test_rollout_status_on_a_terminal_shows_the_hosts_those_under_way_first(fresh: Served) -> None:
    fresh.controller.pretence.installing.add("vm2")
    fresh.controller.commit(state("1"))
    fresh.waits_for("unpacks the archive")
    fresh.reaches("BatchUnderWay", current=2)
    code, shown = on_a_terminal("rollout", "status", "api@prod", "--timeout", "1s", "--server", fresh.url)
    assert code == 124
    picture = shown.rpartition("api@prod: Reconciling, 2 of 4 hosts run 1, healthy and online")[2].splitlines()
    assert [line.split()[0] for line in picture if line.startswith("vm")] == ["vm2", "vm4", "vm1", "vm3"]
    assert any("unpacks the archive" in line for line in picture)
    assert any("looks again in" in line for line in picture)


def test_events_are_a_table_and_json(converged: Served) -> None:
    table = run(converged, "events", "--for", "api@prod/vm1").stdout.splitlines()
    assert table[0].split() == ["TIME", "BY", "VERB", "OBJECT", "REASON", "MESSAGE"]
    assert table[-1].split()[3:] == ["HostConverged", "api@prod/vm1", "Arrived", "runs", "1"]
    found = json.loads(run(converged, "events", "-o", "json", "--limit", "1").stdout)
    assert [item["verb"] for item in found["items"]] == ["RolloutSucceeded"]


def test_a_heartbeat_is_no_change(fresh: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    fresh.controller.commit(state("1"))
    fresh.reaches("Converged")
    looks = 0

    def look_again(_: float) -> None:
        nonlocal looks
        looks += 1
        if looks == 3:
            raise KeyboardInterrupt
        fresh.controller.bus.speak("vm1")
        fresh.controller.ask(lambda deciding: None)

    monkeypatch.setattr("controller.cli.get.time.sleep", look_again)
    result = run(fresh, "get", "node", "vm1", "-w", "-o", "name")
    assert (result.exit_code, result.stdout) == (130, "node/vm1\n")


def test_colours_only_on_a_terminal_and_never_with_no_color(converged: Served) -> None:
    def coloured(**environment: str) -> bool:
        return (
            "\x1b["
            in CliRunner().invoke(app, ["get", "tg", "--server", converged.url], env=environment, color=True).stdout
        )

    assert coloured(NO_COLOR="")
    assert not coloured(NO_COLOR="1")


class Watching:
    """A watching command, its lines as they come."""

    def __init__(self, served: Served, *words: str) -> None:
        self.process = subprocess.Popen(
            [DRUMBEAT, *words, "--server", served.url],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509  a script that runs tests in the background ignores it
        )

    def __enter__(self) -> "Watching":
        return self

    def __exit__(self, *_: Any) -> None:
        self.process.kill()
        self.process.communicate()

    def until(self, word: str) -> str:
        """The first line with the word."""
        assert self.process.stdout is not None
        return next(line for line in self.process.stdout if word in line)

    def interrupt(self) -> int:
        """The exit code after Ctrl-C."""
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(timeout=60)


def test_a_watch_prints_what_changes_until_interrupted(fresh: Served) -> None:
    fresh.controller.commit(state("1"))
    fresh.reaches("Converged")
    with (
        Watching(fresh, "get", "targets", "-w") as table,
        Watching(fresh, "get", "targets", "-w", "-o", "json") as as_json,
        Watching(fresh, "events", "-w", "-o", "json") as record,
    ):
        table.until("api@prod")
        as_json.until('"items"')
        record.until("RolloutSucceeded")
        fresh.controller.commit(state("2"))
        table.until("api@prod   Ready    2 ")
        assert json.loads(as_json.until('"version": "2"'))["kind"] == "Target"
        assert json.loads(record.until("RevisionAccepted"))["cause"] == "rev2"
        assert table.interrupt() == as_json.interrupt() == record.interrupt() == 130
        assert table.process.stderr is not None
        assert table.process.stderr.read() == ""

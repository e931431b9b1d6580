"""What people rely on when they step in from the command line: that it is done, by whom, and what is refused."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from typer.testing import CliRunner, Result

from controller.cli.main import app
from controller.store import Store
from tests.support.controller import Served, controller
from tests.support.pretend import Pretence
from tests.support.states import state


def run(served: Served, *words: str) -> Result:
    return CliRunner().invoke(app, list(words), env={"DRUMBEAT_SERVER": served.url})


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Served]:
    with controller(tmp_path, pretence=Pretence()) as served:
        served.controller.commit(state("1"))
        served.reaches("Converged")
        yield served


def test_a_paused_target_says_by_whom_and_why_until_it_is_resumed(fresh: Served) -> None:
    paused = run(fresh, "rollout", "pause", "api@prod", "--reason", "the database is slow", "--as", "ann")
    assert (paused.exit_code, paused.stdout) == (0, "")
    assert "api@prod is paused by ann since" in paused.stderr
    fresh.controller.commit(state("2"))
    fresh.reaches("Paused")
    described = run(fresh, "describe", "target", "api@prod").stdout
    assert "Decided by people:" in described
    assert "paused by ann" in described and "the database is slow" in described
    assert 'drumbeat_rollout_paused{target="api@prod"} 1.0' in requests.get(f"{fresh.url}/metrics", timeout=10).text
    assert run(fresh, "rollout", "resume", "api@prod").exit_code == 0
    fresh.reaches("Converged", current=4)


def test_who_did_it_and_why_is_on_record(fresh: Served, tmp_path: Path) -> None:
    run(fresh, "rollout", "pause", "api@prod", "--reason", "release party", "--as", "ann", "--until", "2h")
    events = fresh.get("/api/v1/events", object="api@prod")["items"]
    (event,) = [each for each in events if each["verb"] == "RolloutPaused"]
    assert (event["actor"], event["reason"], event["cause"]) == ("ann", "Operator", "rev1")
    assert event["message"].startswith("release party (until ")
    fresh.controller.__exit__()
    store = Store.open(tmp_path / "drumbeat.db")
    pause = store.load().statuses["api@prod"].pause
    store.close()
    assert pause is not None and pause.by == "ann"


def test_the_account_is_named_where_nobody_else_is(fresh: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOGNAME", "carol")
    monkeypatch.delenv("SUDO_USER", raising=False)
    assert "is paused by carol" in run(fresh, "rollout", "pause", "api@prod", "--reason", "lunch").stderr


def test_what_makes_no_sense_is_refused_in_one_line(fresh: Served) -> None:
    unknown = run(fresh, "rollout", "pause", "apj@prod", "--reason", "x")
    assert (unknown.exit_code, unknown.stderr) == (1, "error: no target 'apj@prod'; did you mean 'api@prod'?\n")
    assert run(fresh, "rollout", "pause", "api@prod").exit_code == 2
    run(fresh, "rollout", "pause", "api@prod", "--reason", "x", "--as", "ann")
    second = run(fresh, "rollout", "pause", "api@prod", "--reason", "y", "--as", "bob")
    assert second.exit_code == 1
    assert second.stderr.startswith("error: api@prod is paused already by ann since")
    assert second.stderr.count("\n") == 1


def test_the_api_says_what_is_wrong_with_a_command(fresh: Served) -> None:
    def post(verb: str, **body: object) -> requests.Response:
        return requests.post(f"{fresh.url}/api/v1/rollouts/api@prod/{verb}", json=body, timeout=10)

    assert post("pause", by="ann", reason="").status_code == 409
    assert post("pause", by="", reason="x").status_code == 422
    assert post("pause", by="ann", reason="x", untill="2h").status_code == 422
    assert post("pause", by="ann", reason="two\nlines").status_code == 422
    assert post("explode", by="ann", reason="x").status_code == 422
    done = post("pause", by="ann", reason="x")
    assert (done.status_code, done.json()["kind"]) == (200, "Done")
    form = requests.post(f"{fresh.url}/api/v1/rollouts/api@prod/pause", data={"by": "ann"}, timeout=10)
    assert form.status_code == 422

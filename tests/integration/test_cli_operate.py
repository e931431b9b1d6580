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
from tests.support.waiting import eventually


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
    shown = [line.split()[2:5] for line in run(fresh, "events", "--for", "api@prod").stdout.splitlines()]
    assert ["ann", "RolloutPaused", "api@prod"] in shown
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


# --- exclude and include


def test_an_excluded_host_is_listed_wherever_people_look_until_it_is_included(fresh: Served) -> None:
    done = run(fresh, "exclude", "vm2", "--reason", "disk fails", "--as", "ann")
    assert done.exit_code == 0 and done.stderr.startswith("vm2 is excluded by ann since")
    fresh.controller.commit(state("2", maxUnavailable=3))
    target = fresh.reaches("Converged", current=3)
    assert [host["standing"] for host in target["status"]["hosts"]] == ["current", "excluded", "current", "current"]
    assert target["status"]["excluded"]["vm2"]["by"] == "ann"
    described = run(fresh, "describe", "target", "api@prod").stdout
    assert "vm2 excluded by ann" in described and "disk fails" in described
    assert "Excluded" in run(fresh, "get", "node", "vm2").stdout
    assert "drumbeat_nodes_excluded 1.0" in requests.get(f"{fresh.url}/metrics", timeout=10).text
    assert run(fresh, "include", "vm2").exit_code == 0
    fresh.reaches("Converged", current=4)
    assert run(fresh, "include", "vm2").stderr == "vm2 is not excluded\n"


def test_an_exclusion_ends_by_itself(fresh: Served) -> None:
    run(fresh, "exclude", "vm2", "--reason", "reboot", "--until", "500ms", "--as", "ann")

    def ended() -> list[str]:
        events = fresh.get("/api/v1/events", object="vm2")["items"]
        return [event["reason"] for event in events if event["verb"] == "NodeIncluded"]

    assert eventually(ended) == ["TimeIsUp"]


def test_it_outlives_the_controller(fresh: Served, tmp_path: Path) -> None:
    run(fresh, "exclude", "lb2", "--reason", "moved to another rack", "--as", "ann")
    fresh.controller.__exit__()
    store = Store.open(tmp_path / "drumbeat.db")
    exclusions = store.load().exclusions
    store.close()
    assert {node: mark.reason for node, mark in exclusions.items()} == {"lb2": "moved to another rack"}


def test_nodes_that_cannot_be_excluded(fresh: Served) -> None:
    unknown = run(fresh, "exclude", "vm22", "--reason", "x")
    assert (unknown.exit_code, unknown.stderr.partition("; ")[0]) == (1, "error: no node 'vm22'")
    runner = run(fresh, "exclude", "runner1", "--reason", "x")
    assert runner.exit_code == 1 and "runner1 is a runner" in runner.stderr
    run(fresh, "exclude", "lb1", "--reason", "x")
    last = run(fresh, "exclude", "lb2", "--reason", "x")
    assert last.exit_code == 1 and "the last node of balancer" in last.stderr


# --- abort, retry, skip, restart, and the word after a batch


def test_a_rollout_is_ended_and_tried_again(fresh: Served) -> None:
    nothing = run(fresh, "rollout", "abort", "api@prod", "--reason", "x")
    assert (nothing.exit_code, "has no rollout under way" in nothing.stderr) == (1, True)
    fresh.controller.commit(state("2", soak="1h"))
    fresh.waits_for("soaks")
    assert run(fresh, "rollout", "abort", "api@prod", "--reason", "wrong version", "--as", "ann").exit_code == 0
    fresh.reaches("Aborted")
    assert "aborted by ann: wrong version" in run(fresh, "describe", "target", "api@prod").stdout
    assert run(fresh, "rollout", "skip", "api@prod", "--reason", "enough").exit_code == 0
    assert run(fresh, "rollout", "retry", "api@prod").exit_code == 0
    fresh.reaches("BatchUnderWay", current=1)
    again = run(fresh, "rollout", "retry", "api@prod")
    assert (again.exit_code, "there is nothing to try again" in again.stderr) == (1, True)


def test_a_release_is_undone(fresh: Served) -> None:
    fresh.controller.commit(state("2"))
    eventually(lambda: fresh.reaches("Converged")["status"]["version"] == "2")
    undone = run(fresh, "rollout", "undo", "api@prod", "--reason", "customers see old prices", "--as", "ann")
    assert (undone.exit_code, "goes back to version 1" in undone.stderr) == (0, True)
    fresh.reaches("RolledBack")
    assert "undone by ann: customers see old prices" in run(fresh, "describe", "target", "api@prod").stdout


def test_the_next_batch_waits_for_a_word(fresh: Served) -> None:
    fresh.controller.commit(state("2", pauseAfter=[1]))
    fresh.reaches("AwaitingGo", current=1)
    assert "'drumbeat rollout resume api@prod' begins the next" in run(fresh, "describe", "target", "api@prod").stdout
    assert "goes on after batch 1" in run(fresh, "rollout", "resume", "api@prod").stderr
    fresh.reaches("Converged", current=4)


def test_every_host_gets_a_new_process(fresh: Served) -> None:
    def processes() -> list[int]:
        return [
            fresh.get(f"/api/v1/nodes/vm{number}")["status"]["services"]["api@prod"]["identity"]["pid"]
            for number in (1, 2, 3, 4)
        ]

    before = processes()
    assert run(fresh, "rollout", "restart", "api@prod", "--reason", "leaks memory").exit_code == 0
    eventually(
        lambda: "hosts restarted with 1, healthy and online" in run(fresh, "describe", "target", "api@prod").stdout
    )
    eventually(lambda: all(new > old for new, old in zip(processes(), before, strict=True)))
    fresh.reaches("Converged", current=4)

"""drumbeat plan against a controller with pretend nodes, and without one."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml
from pydantic import BaseModel
from typer.testing import CliRunner, Result

from controller.cli.main import app
from crds.desired import DesiredState
from tests.support.cli import state_repository
from tests.support.controller import Served, controller
from tests.support.git import commit_all, git, repository
from tests.support.pretend import Pretence
from tests.support.state_files import VERSION
from tests.support.states import state

V = "versions/prod/api.yaml"
PATH = "/api/v1/forecasts"


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with controller(tmp_path_factory.mktemp("store"), pretence=Pretence()) as served:
        served.controller.commit(state("1"))
        served.reaches("Converged")
        yield served


def written(found: DesiredState, folder: Path) -> Path:
    """The state as files."""
    files: dict[str, BaseModel] = {
        "fleets/prod.yaml": found.fleets["prod"],
        "services/api.yaml": found.services["api"],
        "balancers/prod/edge.yaml": found.balancers["prod", "edge"],
        V: found.versions["prod", "api"],
    }
    for name, model in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        content = model.model_dump(mode="json", by_alias=True, exclude_unset=True)
        (folder / name).write_text(yaml.safe_dump(content), encoding="utf-8")
    return folder


def plan(*words: str | Path) -> Result:
    return CliRunner().invoke(app, ["plan", *map(str, words)])


def asked(live: Served, folder: Path, *words: str) -> Result:
    return plan("--repo", folder, "--server", live.url, *words)


def in_json(live: Served, folder: Path) -> dict[str, Any]:
    result = asked(live, folder, "-o", "json")
    assert result.exit_code in (0, 2), result.output
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def test_another_version(live: Served, tmp_path: Path) -> None:
    result = asked(live, written(state("2"), tmp_path))

    assert result.exit_code == 2, result.output
    assert result.stdout.splitlines()[:-1] == [
        "api@prod: 1 -> 2: deployed to 4 hosts in 3 batches",
        "    batch 1: vm1",
        "    batch 2: vm2, vm3 (at most 1 at once)",
        "    batch 3: vm4",
        "    gates: maintenance: smoke; soak 0s; on failure: hold",
    ]
    assert result.stdout.splitlines()[-1].startswith("digest: ")


def test_the_same_is_nothing_and_nothing_is_changed_by_asking(live: Served, tmp_path: Path) -> None:
    before = live.get("/api/v1/targets")
    same = asked(live, written(state("1"), tmp_path / "same"))
    asked(live, written(state("2"), tmp_path / "other"))

    assert (same.exit_code, same.stderr) == (0, "nothing would happen\n")
    assert same.stdout.startswith("unchanged: 1 target\ndigest: ")
    after = live.get("/api/v1/targets")
    assert after["metadata"]["resourceVersion"] == before["metadata"]["resourceVersion"]
    assert after["items"][0]["spec"] == before["items"][0]["spec"]


def test_json_says_all_and_the_digest_stays(live: Served, tmp_path: Path) -> None:
    folder = written(state("2"), tmp_path)
    found, again = in_json(live, folder), in_json(live, folder)

    assert found["metadata"]["inForce"] == "rev1"
    assert (found["kind"], found["happens"]) == ("Forecast", True)
    (target,) = found["targets"]
    assert [batch["hosts"] for batch in target["batches"]] == [["vm1"], ["vm2", "vm3"], ["vm4"]]
    assert found["digest"] == again["digest"]
    assert in_json(live, written(state("3"), tmp_path))["digest"] != found["digest"]


def test_names_of_what_would_move(live: Served, tmp_path: Path) -> None:
    assert asked(live, written(state("2"), tmp_path), "-o", "name").stdout == "target/api@prod\n"


def in_mode(folder: Path, **says: Any) -> Path:
    """The files, with what the service says about its mode."""
    file = folder / "services/api.yaml"
    service = yaml.safe_load(file.read_text())
    service["spec"] |= says
    file.write_text(yaml.safe_dump(service))
    return folder


def test_a_service_that_is_observed_from_now_on(live: Served, tmp_path: Path) -> None:
    result = asked(live, in_mode(written(state("2"), tmp_path), mode="observe"))

    assert (result.exit_code, result.stderr) == (0, "nothing would happen\n")
    assert result.stdout.splitlines()[:-1] == [
        "api@prod: 1 -> 2: observed, no host moves",
        "    mode is observe, so nothing is touched; 4 of 4 would go to 2: vm1, vm2, vm3, vm4",
    ]


def test_a_service_that_is_adopted(tmp_path: Path) -> None:
    result = plan(
        "--offline", "--repo", in_mode(written(state("1"), tmp_path), mode="adopt", adopt={"process": "bin/api"})
    )

    assert result.exit_code == 2, result.output
    assert result.stdout.splitlines()[:-1] == [
        "api@prod: none -> 1: adopted, no host moves",
        "    taken over without a restart, where the process is found: vm1, vm2, vm3, vm4",
    ]


def test_hosts_that_leave_are_not_called_mere_settings(live: Served, tmp_path: Path) -> None:
    found = state("1")
    found.fleets["prod"].spec.hosts.pop()
    left = asked(live, written(found, tmp_path))
    assert "api@prod: 1: 1 host removed, no other moves\n    taken out of it: vm4\n" in left.stdout
    assert "no host moves" not in left.stdout


def without_three(folder: Path) -> Path:
    """A repository with what is in force in its first commit, and three of four hosts removed on disk."""
    written(state("1"), repository(folder))
    commit_all(folder, "All of them")
    found = state("1")
    del found.fleets["prod"].spec.hosts[1:]
    return written(found, folder)


TOO_MUCH = (
    "api@prod would lose 3 of 4 hosts (vm2, vm3, vm4): more than maxRemoved of fleet prod lets one commit remove; if "
    "that is meant, write 'Drumbeat-Removes: prod' as the last line of the commit's message"
)


@pytest.mark.parametrize("how", ["live", "offline"])
def test_a_commit_that_removes_too_much_without_saying_so_is_refused(live: Served, tmp_path: Path, how: str) -> None:
    folder = without_three(tmp_path)
    asks = ["--offline", "--base", "HEAD^"] if how == "offline" else ["--server", live.url]
    revision = commit_all(folder, "A slip")
    refused = plan("HEAD", "--repo", folder, *asks)
    assert refused.exit_code == 3, refused.output
    assert f"error: commit {revision[:12]} would be refused: {TOO_MUCH}\n" in refused.stderr
    assert "taken out of it: vm2, vm3, vm4" in refused.stdout
    git(folder, "commit", "--quiet", "--amend", "--message", "Meant\n\nDrumbeat-Removes: prod")
    meant = plan("HEAD", "--repo", folder, *asks)
    assert (meant.exit_code, "refused" in meant.stderr) == (2, False), meant.output


def test_files_on_disk_that_remove_too_much_say_what_their_commit_must_say(live: Served, tmp_path: Path) -> None:
    warned = asked(live, without_three(tmp_path))
    assert warned.exit_code == 2, warned.output
    assert warned.stderr == f"warning: {TOO_MUCH}\n"
    assert in_json(live, tmp_path)["unacknowledged"] == [TOO_MUCH]


def test_a_version_file_that_is_gone(live: Served, tmp_path: Path) -> None:
    folder = written(state("1"), tmp_path)
    (folder / V).unlink()
    result = asked(live, folder)

    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("api@prod: 1 -> none: orphaned\n    its version file would be gone")


def test_a_refused_commit_says_every_mistake_and_asks_nobody(tmp_path: Path) -> None:
    folder = written(state("1"), tmp_path)
    (folder / V).write_text("nonsense")
    result = plan("--repo", folder, "--server", "http://127.0.0.1:1")

    assert result.exit_code == 3
    assert f"{V}:1:1: error" in result.stdout


def test_what_only_the_controller_refuses_ends_as_what_lint_refuses(
    live: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One of another release may know mistakes that this command does not."""
    monkeypatch.setattr("controller.cli.plan._posted", lambda *_: {"revision": "r", "files": {}})
    result = asked(live, written(state("2"), tmp_path))

    assert result.exit_code == 3
    assert result.stderr.startswith("error: r would be refused: ")


def test_without_a_controller_it_fails_unless_told_to_do_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = state_repository(tmp_path, monkeypatch)
    (folder / V).write_text(VERSION.replace("1.0.0", "2.0.0"))
    commit_all(folder)

    lonely = plan("HEAD", "--server", "http://127.0.0.1:1")
    assert lonely.exit_code == 1
    assert lonely.stderr.startswith("error: no controller answers at http://127.0.0.1:1")

    offline = plan("HEAD", "--offline")
    assert offline.exit_code == 2, offline.output
    assert "as if every host ran what HEAD^ declares" in offline.stderr
    assert offline.stdout.startswith("api@prod: 1.0.0 -> 2.0.0: deployed to 2 hosts in 2 batches\n")
    assert plan("--offline").exit_code == 0
    assert plan("--base", "HEAD").exit_code == 2


def test_more_than_a_controller_reads_is_refused(live: Served) -> None:
    answer = requests.post(live.url + PATH, data=b" " * (33 * 2**20), timeout=30)

    assert answer.status_code == 413
    assert answer.json()["error"] == "the files are more than 32 MiB"


@pytest.mark.parametrize(
    ("body", "status", "error"),
    [
        ("{", 400, "this is no commit's files"),
        (
            '{"revision": "r", "files": {"x": {"kind": "blob", "data": "?", "size": 1}}}',
            400,
            "this is no commit's files",
        ),
        ('{"revision": "r", "files": {}}', 409, "r would be refused: "),
    ],
)
def test_what_is_no_commit_is_refused(live: Served, body: str, status: int, error: str) -> None:
    answer = requests.post(live.url + PATH, data=body, timeout=10)

    assert answer.status_code == status
    assert answer.json()["error"].startswith(error)

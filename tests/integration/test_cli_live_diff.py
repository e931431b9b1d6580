"""diff --live: what a commit would change on the hosts, before it is pushed."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from pydantic import BaseModel
from typer.testing import CliRunner

from controller.cli.client import Client
from controller.cli.live_diff import live_differences, show_live_differences
from controller.cli.main import app
from controller.cli.options import Form
from crds.desired import DesiredState
from tests.support.controller import Served, controller
from tests.support.pretend import Pretence
from tests.support.states import state


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with controller(tmp_path_factory.mktemp("store"), pretence=Pretence()) as served:
        served.controller.commit(state("1"))
        served.reaches("Converged")
        yield served


@pytest.fixture
def client(live: Served) -> Client:
    return Client(live.url)


def test_the_same(client: Client, capsys: pytest.CaptureFixture[str]) -> None:
    assert show_live_differences(state("1", revision="another"), client, Form.TABLE) == 0
    said = capsys.readouterr()
    assert (said.out, said.err) == ("", "no difference; targets compared: 1\n")


def written(found: DesiredState, folder: Path) -> Path:
    """The state as files."""
    files: dict[str, BaseModel] = {
        "fleets/prod.yaml": found.fleets["prod"],
        "services/api.yaml": found.services["api"],
        "balancers/prod/edge.yaml": found.balancers["prod", "edge"],
        "versions/prod/api.yaml": found.versions["prod", "api"],
    }
    for name, model in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        content = model.model_dump(mode="json", by_alias=True, exclude_unset=True)
        (folder / name).write_text(yaml.safe_dump(content), encoding="utf-8")
    return folder


@pytest.mark.parametrize(("version", "code", "differing"), [("1", 0, ""), ("2", 2, "target/api@prod\n")])
def test_the_command_compares_files_on_disk(
    live: Served, tmp_path: Path, version: str, code: int, differing: str
) -> None:
    words = ["diff", "--live", "--repo", str(written(state(version), tmp_path)), "--server", live.url, "-o", "name"]
    result = CliRunner().invoke(app, words)
    assert (result.exit_code, result.stdout) == (code, differing), result.output


def test_the_command_without_a_controller_fails_with_1(tmp_path: Path) -> None:
    words = ["diff", "--live", "--repo", str(written(state("1"), tmp_path)), "--server", "http://127.0.0.1:1"]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 1
    assert result.stderr.startswith("error: no controller answers at http://127.0.0.1:1")


def test_a_change_of_soak_moves_no_host_and_is_no_difference(client: Client) -> None:
    assert live_differences(state("1", soak="5m"), client)[0].same


def test_another_version(client: Client, capsys: pytest.CaptureFixture[str]) -> None:
    assert show_live_differences(state("2"), client, Form.TABLE) == 2
    header, row = capsys.readouterr().out.splitlines()
    assert header.split() == ["TARGET", "COMMIT", "LIVE", "DIFFERENCE"]
    assert row.split()[:2] == ["api@prod", "2"]
    assert "4 hosts: 1 (" in row
    assert row.endswith("4 hosts of 4 would change")
    assert show_live_differences(state("2"), client, Form.NAME) == 2
    assert capsys.readouterr().out == "target/api@prod\n"
    show_live_differences(state("2"), client, Form.JSON)
    assert json.loads(capsys.readouterr().out)[0]["same"] is False


def test_a_target_that_one_side_does_not_have(client: Client) -> None:
    empty = state("1")
    version = empty.versions.pop(("prod", "api"))
    assert live_differences(empty, client)[0].why == "the commit does not declare it"
    empty.services["web"] = empty.services["api"]
    empty.versions["prod", "web"] = version
    assert [(each.target, each.why) for each in live_differences(empty, client)] == [
        ("api@prod", "the commit does not declare it"),
        ("web@prod", "not live: it is new in the commit"),
    ]


def test_more_hosts(client: Client) -> None:
    assert live_differences(state("1", hosts=5), client)[0].why == "the commit selects 5 hosts"


def test_a_silent_host_is_not_taken_for_the_same(tmp_path_factory: pytest.TempPathFactory) -> None:
    with controller(tmp_path_factory.mktemp("store"), pretence=Pretence(silent={"vm3"})) as served:
        served.controller.commit(state("1"))
        served.reaches("HostsUnknown", current=3)
        [found] = live_differences(state("1"), Client(served.url))
        assert (found.same, found.why) == (False, "1 host cannot be told: silent")

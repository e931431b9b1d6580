"""The commands that work on a state directory: what they print, what they write, how they end."""

import json
import resource
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from controller.cli.main import COMMANDS
from tests.support.cli import run, state_repository
from tests.support.git import commit_all
from tests.support.state_files import GOOD, SERVICE, SHA, VERSION, spoiled, write

V = "versions/prod/api.yaml"
OTHER = "b" * 64


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return state_repository(tmp_path, monkeypatch)


# --- the table of commands


def test_help_comes_quickly() -> None:
    """In processor time, so that a busy machine does not count: 0.3 s; with every command imported it is 1.1 s."""
    program = "import sys; from controller.cli.main import main; sys.argv[1:] = ['--help']; main()"
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)

    assert "bump" in done.stdout
    assert after.ru_utime - before.ru_utime < 0.8


def test_help_imports_no_command() -> None:
    program = (
        "import sys; from controller.cli.main import app; from typer.testing import CliRunner;"
        "CliRunner().invoke(app, ['--help']); print([name for name in sys.modules if name in ('pydantic', 'yaml')])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)

    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_there_and_says_what_the_table_says(name: str) -> None:
    module, _, attribute = COMMANDS[name].where.partition(":")
    found: Any = getattr(import_module(module), attribute)
    said = found.info.help if hasattr(found, "info") else found.__doc__

    assert " ".join(said.split("\n\n")[0].split()) == COMMANDS[name].help
    assert run(name, "--help").exit_code == 0


def test_an_unknown_command_is_wrong_use() -> None:
    assert run("lnit").exit_code == 2


# --- init


def test_what_init_writes_is_taken_and_names_schemas_that_are_there(tmp_path: Path) -> None:
    made = run("init", tmp_path / "new")
    linted = run("lint", tmp_path / "new")

    assert (made.exit_code, linted.exit_code, linted.stdout) == (0, 0, "")
    for file in (tmp_path / "new").rglob("*.yaml"):
        schema = file.read_text().splitlines()[0].removeprefix("# yaml-language-server: $schema=")
        assert (file.parent / schema).is_file()


def test_init_overwrites_nothing(tmp_path: Path) -> None:
    (tmp_path / "fleets").mkdir()
    (tmp_path / "fleets/prod.yaml").write_text("mine")
    made = run("init", tmp_path)

    assert made.exit_code == 1
    assert "is there already, and nothing was written" in made.stderr
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["prod.yaml"]
    assert (tmp_path / "fleets/prod.yaml").read_text() == "mine"


# --- lint


def test_lint_says_every_mistake_with_a_path_that_can_be_opened(state: Path) -> None:
    write(state, spoiled(V, '"1.0.0"', "1.10") | spoiled("services/api.yaml", "30s", "30"))
    found = run("lint", state)

    assert found.exit_code == 1
    assert found.stdout.splitlines() == [
        f"{state}/services/api.yaml:12:38: error: spec.rollout.soak: 30 has no unit (write '30s' for seconds)",
        f'{state}/{V}:2:10: error: version: 1.10 is a number, not text (write version: "1.10")',
    ]
    assert found.stderr == "2 errors: the controller would refuse this\n"


def test_lint_talks_on_stderr_only_when_all_is_good(state: Path) -> None:
    found = run("lint")

    assert (found.exit_code, found.stdout, found.stderr) == (0, "", "1 target, 1 fleet: no mistakes\n")


def test_lint_for_programs(state: Path) -> None:
    write(state, spoiled("services/api.yaml", "{role: api}", "{role: web}"))
    found = run("lint", "-o", "json")
    said = json.loads(found.stdout)

    assert (found.exit_code, said["errors"], said["warnings"]) == (0, 0, 1)
    assert said["problems"][0] | {"message": "", "hint": ""} == {
        "severity": "warning",
        "path": "services/api.yaml",
        "line": 5,
        "column": 10,
        "field": "spec.hosts",
        "message": "",
        "hint": "",
        "target": "api@prod",
    }


def test_lint_of_a_commit_ignores_what_lies_on_disk(state: Path) -> None:
    write(state, {V: "half"})

    assert run("lint").exit_code == 1
    assert run("lint", "--revision", "HEAD").exit_code == 0
    assert run("lint", "--repo", state).exit_code == 0
    assert "there is no commit nope" in run("lint", "--revision", "nope").stderr


def test_lint_ignores_what_git_ignores(state: Path) -> None:
    write(state, {".gitignore": "scratch/\n", "scratch/x.yaml": "{", "later.yaml": ""})
    found = run("lint")

    assert [line.split(":")[0] for line in found.stdout.splitlines()] == ["later.yaml"]


def test_a_state_directory_within_a_repository(state: Path) -> None:
    write(state / "deploy/state")
    commit_all(state)
    folder = state / "deploy/state"

    assert run("lint", folder).exit_code == 0
    assert run("lint", folder, "--revision", "HEAD").exit_code == 0
    assert run("lint", "--repo", state, "--folder", "deploy/state").exit_code == 0
    assert run("diff", "HEAD", "--repo", folder).exit_code == 0


def test_lint_without_git(tmp_path: Path) -> None:
    folder = write(tmp_path / "plain")
    (folder / "services/web.yaml").symlink_to("api.yaml")

    assert "this is a symbolic link" in run("lint", folder).stdout


def test_a_wrong_folder_is_said_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("a: 1")
    (tmp_path / "b.yml").write_text("a: 1")

    assert len(run("lint", tmp_path).stdout.splitlines()) == 1
    assert "there is no folder" in run("lint", tmp_path / "nope").stderr


# --- schema


def test_schemas_are_printed_and_written(tmp_path: Path) -> None:
    assert json.loads(run("schema", "Fleet").stdout)["title"] == "Fleet"
    assert "version" in json.loads(run("schema").stdout)
    assert run("schema", "nope").exit_code == 2
    assert run("schema", "--write", tmp_path / "s").exit_code == 0
    assert json.loads((tmp_path / "s/service.json").read_text())["title"] == "Service"


# --- diff


def test_the_same_is_no_difference(state: Path) -> None:
    found = run("diff", "HEAD", "HEAD")

    assert (found.exit_code, found.stdout, found.stderr) == (0, "", "no difference\n")


def test_a_new_version_moves_hosts_and_a_setting_does_not(state: Path) -> None:
    write(state, spoiled(V, "1.0.0", "1.1.0"))
    commit_all(state)
    write(state, spoiled("services/api.yaml", "30s", "60s"))
    commit_all(state)

    version, setting = run("diff", "HEAD~2", "HEAD~1"), run("diff", "HEAD~1", "HEAD")
    assert (version.exit_code, setting.exit_code) == (2, 2)
    assert version.stdout == "api@prod: 1.0.0 -> 1.1.0: 2 hosts would move\n"
    assert setting.stdout == ("api@prod: 1.1.0: settings only, no host moves\n    spec.rollout.soak: 30s -> 1m\n")


def test_a_diff_against_the_files_on_disk(state: Path) -> None:
    write(state, {V: VERSION.replace(SHA, OTHER)})

    assert run("diff", "HEAD").stdout == f"api@prod: 1.0.0: 2 hosts would move\n    sha256: {SHA} -> {OTHER}\n"


def test_defaults_written_out_are_no_difference(state: Path) -> None:
    write(state, spoiled("services/api.yaml", "soak: 30s", "soak: 30s, maxUnavailable: 25%, deadline: 600s"))

    assert run("diff", "HEAD").exit_code == 0


def test_a_diff_for_programs(state: Path) -> None:
    write(
        state, {"services/two.yaml": SERVICE.replace("name: api", "name: two").replace("web", "w2").replace("mt", "m2")}
    )
    (state / V).unlink()
    balancer = GOOD["balancers/prod/edge.yaml"] + "    w2:\n    m2: {port: 8082}\n"
    write(state, {"versions/prod/two.yaml": VERSION, "balancers/prod/edge.yaml": balancer})
    found = {change["target"]: change for change in json.loads(run("diff", "HEAD", "-o", "json").stdout)}

    assert found["api@prod"]["effect"] == "orphans"
    assert (found["two@prod"]["effect"], found["two@prod"]["hosts"]) == ("deploys", 2)
    assert (found["two@prod"]["old_version"], found["two@prod"]["new_version"]) == (None, "1.0.0")


def test_a_removal_names_the_hosts_it_concerns(state: Path) -> None:
    write(state, {V: "apiVersion: drumbeat/v1alpha1\nstate: absent\n"})

    assert "api@prod: 1.0.0 -> absent: removed from 2 hosts" in run("diff", "HEAD").stdout


def test_a_diff_of_a_refused_commit_is_an_error(state: Path) -> None:
    write(state, {V: "half"})
    commit_all(state)
    found = run("diff", "HEAD~1", "HEAD")

    assert found.exit_code == 1
    assert found.stdout.startswith(V)
    assert "HEAD is refused: 1 error" in found.stderr
    assert run("diff", "nope", "HEAD").exit_code == 1
    assert run("diff").exit_code == 2

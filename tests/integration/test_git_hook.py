"""deploy/git/pre-receive in a bare repository: a bad push is refused with lint's lines, a good one gets a plan."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from controller.source.git import pushed_objects
from tests.support.controller import Served, controller
from tests.support.git import ENVIRONMENT, commit_all, git, repository
from tests.support.state_files import VERSION, write

HOOK = Path(__file__).parents[2] / "deploy" / "git" / "pre-receive"
DRUMBEAT = Path(sys.executable).parent / "drumbeat"
V = "versions/prod/api.yaml"


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    """A bare repository that the hook guards."""
    made = tmp_path / "state.git"
    git(tmp_path, "init", "--quiet", "--bare", "--initial-branch=main", str(made))
    (made / "hooks" / "pre-receive").symlink_to(HOOK)
    git(made, "config", "drumbeat.command", str(DRUMBEAT))
    return made


@pytest.fixture
def work(bare: Path, tmp_path: Path) -> Path:
    """A repository with a good state that pushes there."""
    made = write(repository(tmp_path / "work"))
    git(made, "remote", "add", "origin", str(bare))
    commit_all(made, "Begin")
    return made


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with controller(tmp_path_factory.mktemp("store")) as running:
        yield running


def push(work: Path, *words: str) -> tuple[int, str]:
    """The exit code, and what the hook said."""
    command: list[str | Path] = ["git", "-C", work, "push", "--quiet", "origin", *(words or ("main",))]
    done = subprocess.run(command, capture_output=True, text=True, env=ENVIRONMENT, timeout=100)
    said = [line.removeprefix("remote: ").rstrip() for line in done.stderr.splitlines() if line.startswith("remote:")]
    return done.returncode, "\n".join(said)


def bump(work: Path, version: str) -> str:
    (work / V).write_text(VERSION.replace("1.0.0", version))
    return commit_all(work, f"api {version}")


def test_a_good_push_passes_and_shows_what_it_would_do(work: Path, bare: Path) -> None:
    code, said = push(work)
    assert code == 0, said
    assert "api@prod: none -> 1.0.0: deployed to 2 hosts in 2 batches" in said

    new = bump(work, "1.1.0")
    code, said = push(work)
    assert code == 0, said
    assert "as if every host ran what" in said
    assert "api@prod: 1.0.0 -> 1.1.0: deployed to 2 hosts in 2 batches" in said
    assert git(bare, "rev-parse", "main") == new


def test_a_push_that_removes_too_much_must_say_so(work: Path, bare: Path) -> None:
    for name in ("web", "pay"):
        service = (work / "services/api.yaml").read_text().replace("{name: api}", f"{{name: {name}}}")
        lines = [line for line in service.splitlines() if "pools:" not in line]
        (work / f"services/{name}.yaml").write_text("\n".join(lines) + "\n")
        (work / f"versions/prod/{name}.yaml").write_text(VERSION)
    before = commit_all(work, "Three services")
    assert push(work)[0] == 0
    for name in ("web", "pay"):
        (work / f"versions/prod/{name}.yaml").unlink()
    commit_all(work, "A slip")
    code, said = push(work)
    assert code == 1
    assert "would be refused: 2 of 3 services on prod would go (pay, web)" in said
    assert git(bare, "rev-parse", "main") == before
    git(work, "commit", "--quiet", "--amend", "--message", "Meant\n\nDrumbeat-Removes: prod")
    code, said = push(work)
    assert code == 0, said


def test_a_bad_push_is_refused_with_every_mistake_and_leaves_nothing_behind(work: Path, bare: Path) -> None:
    push(work)
    before = git(bare, "rev-parse", "main")
    (work / V).write_text(VERSION.replace('"1.0.0"', "1.10"))
    bad = commit_all(work, "a number")
    code, said = push(work)

    assert code == 1
    assert f"{V}:2:10: error: version" in said
    assert f"refused: the controller would not take main at {bad}" in said
    assert git(bare, "rev-parse", "main") == before
    assert subprocess.run(["git", "-C", bare, "cat-file", "-e", bad], capture_output=True).returncode != 0


def test_only_the_guarded_branch_is_looked_at(work: Path) -> None:
    (work / V).write_text("nonsense")
    commit_all(work, "wild")

    assert push(work, "main:refs/heads/idea") == (0, "")
    assert push(work, ":refs/heads/idea") == (0, "")


def test_a_state_directory_below_the_top(bare: Path, tmp_path: Path) -> None:
    git(bare, "config", "drumbeat.folder", "deploy")
    work = repository(tmp_path / "work")
    write(work / "deploy")
    (work / "README").write_text("other things")
    git(work, "remote", "add", "origin", str(bare))
    commit_all(work)

    assert push(work)[0] == 0
    (work / "deploy" / V).write_text("nonsense")
    commit_all(work)
    assert push(work)[0] == 1


def test_the_controller_is_asked_where_one_is_named(work: Path, bare: Path, served: Served) -> None:
    git(bare, "config", "drumbeat.server", served.url)
    code, said = push(work)

    assert code == 0, said
    assert "no controller was asked" not in said
    assert "api@prod: none -> 1.0.0" in said


def test_a_controller_that_is_away_stops_no_push(work: Path, bare: Path) -> None:
    git(bare, "config", "drumbeat.server", "http://127.0.0.1:1")
    code, said = push(work)

    assert code == 0
    assert "there is no plan (see above); the push goes on without one" in said


@pytest.mark.parametrize(("ended", "pushed"), [(0, 0), (1, 0), (2, 0), (3, 1), (124, 0)])
def test_it_is_the_exit_code_of_the_plan_that_refuses_a_push(
    work: Path, bare: Path, tmp_path: Path, ended: int, pushed: int
) -> None:
    """Not its words, in which a message of somebody else's may stand."""
    says = tmp_path / "says"
    says.write_text(f"#!/bin/sh\n[ $1 = lint ] && exit 0\necho 'error: r would be refused: x'\nexit {ended}\n")
    says.chmod(0o755)
    git(bare, "config", "drumbeat.command", str(says))
    code, said = push(work)

    assert code == pushed, said
    assert ("refused: the controller would not take main" in said) == (pushed == 1)
    assert ("there is no plan (see above)" in said) == (ended in (1, 124))


def test_what_is_pushed_is_read_for_the_hooks_own_repository_alone(bare: Path, tmp_path: Path) -> None:
    """Another repository's objects must not be mixed with what is being pushed."""
    other = tmp_path / "other.git"
    git(tmp_path, "init", "--quiet", "--bare", str(other))
    environment = {"GIT_QUARANTINE_PATH": str(bare / "objects" / "tmp_objdir-incoming-1")}

    assert pushed_objects(other, environment) == {}
    assert pushed_objects(bare, {}) == {}
    assert pushed_objects(bare, environment) == {
        "GIT_OBJECT_DIRECTORY": environment["GIT_QUARANTINE_PATH"],
        "GIT_ALTERNATE_OBJECT_DIRECTORIES": str(bare / "objects"),
    }

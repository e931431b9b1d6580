"""bump: it changes a version file, and nothing else, or nothing at all."""

import hashlib
import os
from pathlib import Path

import pytest

from tests.support.cli import run, state_repository
from tests.support.git import commit_all, git
from tests.support.state_files import SHA, VERSION, write

V = "versions/prod/api.yaml"
OTHER = "b" * 64
SAID = """\
# deployed by the build
apiVersion: drumbeat/v1alpha1   # do not change
version: "1.0.0"  # the newest
sha256: {sha}
"""


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return state_repository(tmp_path, monkeypatch)


def test_a_bump_changes_values_only_and_shows_what(state: Path) -> None:
    write(state, {V: SAID.format(sha=SHA)})
    done = run("bump", "api", "1.1.0", "--fleet", "prod", "--sha256", OTHER)

    assert done.exit_code == 0
    assert (state / V).read_text() == SAID.format(sha=OTHER).replace("1.0.0", "1.1.0")
    assert '-version: "1.0.0"  # the newest\n' in done.stdout
    assert '+version: "1.1.0"  # the newest\n' in done.stdout
    assert git(state, "log", "--oneline").count("\n") == 0


def test_a_bump_takes_the_checksum_of_an_archive(state: Path, tmp_path: Path) -> None:
    archive = tmp_path / "api.tar.gz"
    archive.write_bytes(b"x" * 100_000)
    run("bump", "api", "1.1.0", "--fleet", "prod", "--artifact", archive)

    assert hashlib.sha256(archive.read_bytes()).hexdigest() in (state / V).read_text()


def test_an_archive_that_is_not_there_is_named(state: Path, tmp_path: Path) -> None:
    done = run("bump", "api", "1.1.0", "--fleet", "prod", "--artifact", tmp_path / "api.tar.gz")

    assert done.exit_code == 1
    assert f"--artifact {tmp_path}/api.tar.gz: No such file or directory; give an archive that is there" in done.stderr
    assert (state / V).read_text() == VERSION


def test_a_bump_makes_a_missing_file(state: Path) -> None:
    (state / V).unlink()

    assert run("bump", "api", "1.1.0", "--fleet", "prod", "--sha256", OTHER).exit_code == 0
    assert (state / V).read_text() == VERSION.replace("1.0.0", "1.1.0").replace(SHA, OTHER)


def test_a_bump_brings_a_removed_service_back(state: Path) -> None:
    write(state, {V: "apiVersion: drumbeat/v1alpha1\nstate: absent  # until Monday"})

    assert run("bump", "api", "1.1.0", "--fleet", "prod", "--sha256", OTHER).exit_code == 0
    assert (state / V).read_text() == (
        f'apiVersion: drumbeat/v1alpha1\nstate: present  # until Monday\nversion: "1.1.0"\nsha256: {OTHER}\n'
    )


@pytest.mark.parametrize("style", ["{{linux: {0}, windows: {1}}}", "\n  linux: {0}\n  windows: {1}  # yes"])
def test_checksums_of_platforms_are_changed_together(state: Path, style: str) -> None:
    text = VERSION.replace(f" {SHA}", style.format(SHA, SHA) if style[0] == "\n" else " " + style.format(SHA, SHA))
    write(state, {V: text})
    alone = run("bump", "api", "1.1.0", "--fleet", "prod", "--sha256", f"linux={OTHER}")
    assert alone.exit_code == 1
    assert "also has a checksum for windows" in alone.stderr
    assert (state / V).read_text() == text

    words = ("--sha256", f"linux={OTHER}", "--sha256", f"windows={'c' * 64}")
    assert run("bump", "api", "1.1.0", "--fleet", "prod", *words).exit_code == 0
    expected = text.replace("1.0.0", "1.1.0").replace(SHA, OTHER, 1).replace(SHA, "c" * 64)
    assert (state / V).read_text() == expected


def test_one_checksum_takes_the_place_of_several(state: Path) -> None:
    write(state, {V: VERSION.replace(f" {SHA}", f"\n  linux: {SHA}\n  windows: {SHA}") + "# end\n"})

    assert run("bump", "api", "1.1.0", "--fleet", "prod", "--sha256", OTHER).exit_code == 0
    assert run("lint").exit_code == 0
    assert (state / V).read_text().endswith(f"{OTHER}\n# end\n")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("api", "..", "--fleet", "prod", "--sha256", OTHER), 'version: ".." is not a version'),
        (("api", "1.1", "--fleet", "prod", "--sha256", "abc"), 'sha256: "abc" is not a SHA-256'),
        (("apy", "1.1", "--fleet", "prod", "--sha256", OTHER), "there is no service apy (did you mean api?"),
        (("api", "1.1", "--fleet", "prd", "--sha256", OTHER), "there is no fleet prd (did you mean prod?"),
        (("../../x", "1.1", "--fleet", "prod", "--sha256", OTHER), "the path leads out of the state directory"),
    ],
)
def test_what_would_be_refused_is_not_written(state: Path, words: tuple[str, ...], said: str) -> None:
    done = run("bump", *words, "--commit")

    assert done.exit_code == 1
    assert said in done.stdout
    assert "nothing was written" in done.stderr
    assert git(state, "status", "--porcelain") == ""


def test_a_bump_needs_one_source_of_the_checksum(state: Path) -> None:
    assert run("bump", "api", "1.1.0", "--fleet", "prod").exit_code == 2
    assert run("bump", "api", "1.1.0", "--fleet", "prod", "--sha256", OTHER, "--sha256", OTHER).exit_code == 2
    gone = run("bump", "api", "1.1.0", "--fleet", "prod", "--artifact", "gone.tar.gz")
    assert gone.exit_code == 1 and "gone.tar.gz" in gone.stderr


def test_a_file_that_is_no_yaml_is_left_alone(state: Path) -> None:
    write(state, {V: "version: ["})
    done = run("bump", "api", "1.1.0", "--fleet", "prod", "--sha256", OTHER)

    assert done.exit_code == 1
    assert "this is not YAML" in done.stdout
    assert (state / V).read_text() == "version: ["


def test_a_commit_holds_the_file_and_nothing_else(state: Path) -> None:
    write(state, {"notes.txt": "mine", "README.md": "staged"})
    git(state, "add", "README.md")
    done = run("bump", "api", "1.1.0", "--fleet", "prod", "--sha256", OTHER, "--commit")

    assert done.exit_code == 0, done.stderr
    assert git(state, "log", "-1", "--format=%s") == "Deploy api 1.1.0 on prod"
    assert git(state, "show", "--name-only", "--format=", "HEAD") == V
    assert "A  README.md" in git(state, "status", "--porcelain")


def test_a_bump_that_changes_nothing_commits_nothing(state: Path) -> None:
    done = run("bump", "api", "1.0.0", "--fleet", "prod", "--sha256", SHA, "--commit")

    assert (done.exit_code, done.stdout) == (0, "")
    assert "says 1.0.0 already" in done.stderr
    assert git(state, "log", "--oneline").count("\n") == 0


def test_a_commit_that_a_hook_refuses_can_be_repeated(state: Path) -> None:
    hook = state / ".git/hooks/pre-commit"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\necho not on Friday >&2\nexit 1\n")
    hook.chmod(0o755)
    words = ("bump", "api", "1.1.0", "--fleet", "prod", "--sha256", OTHER, "--commit")
    refused = run(*words)
    hook.unlink()

    assert refused.exit_code == 1
    assert "is written, but not committed: not on Friday" in refused.stderr
    assert run(*words).exit_code == 0
    assert git(state, "log", "-1", "--format=%s") == "Deploy api 1.1.0 on prod"


def test_a_push_arrives_and_a_conflict_says_what_to_do(state: Path, tmp_path: Path) -> None:
    server = tmp_path / "server.git"
    git(tmp_path, "clone", "--quiet", "--bare", str(state), str(server))
    git(state, "remote", "add", "origin", str(server))
    git(state, "push", "--quiet", "--set-upstream", "origin", "main")
    first = run("bump", "api", "1.1.0", "--fleet", "prod", "--sha256", OTHER, "--push")
    assert (first.exit_code, git(server, "log", "-1", "--format=%s", "main")) == (0, "Deploy api 1.1.0 on prod")

    other = tmp_path / "other"
    git(tmp_path, "clone", "--quiet", str(server), str(other))
    commit_all(other, "Somebody else's")
    git(other, "push", "--quiet")
    second = run("bump", "api", "1.2.0", "--fleet", "prod", "--sha256", OTHER, "--push")
    assert second.exit_code == 1
    assert "run: git pull --rebase && git push" in second.stderr

    git(state, "pull", "--quiet", "--rebase")
    assert run("bump", "api", "1.2.0", "--fleet", "prod", "--sha256", OTHER, "--push").exit_code == 0
    assert git(server, "log", "-1", "--format=%s", "main") == "Deploy api 1.2.0 on prod"


def test_a_bump_keeps_the_files_mode_and_leaves_nothing_behind(state: Path) -> None:
    (state / V).chmod(0o664)
    run("bump", "api", "1.1.0", "--fleet", "prod", "--sha256", OTHER)

    assert (state / V).stat().st_mode & 0o777 == 0o664
    assert os.listdir(state / "versions/prod") == ["api.yaml"]  # noqa: PTH208


def test_a_bump_warns_of_what_was_written_for_an_earlier_deployment(state: Path) -> None:
    write(state, {V: VERSION + 'breakGlass: {reason: "customers cannot pay"}\n'})
    done = run("bump", "api", "1.1.0", "--fleet", "prod", "--sha256", OTHER)

    assert done.exit_code == 0
    assert f"warning: {V} has breakGlass, which holds for this version too" in done.stderr

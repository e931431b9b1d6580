"""The demo's folder, and what it tells a shell in another terminal."""

import subprocess
from pathlib import Path

import pytest
import typer

from controller.demo.command import LONGEST_ROOT, environment_text, root_of
from controller.demo.layout import Layout
from controller.demo.programs import find_program


@pytest.fixture
def short(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a short name: the length of the demo's is bounded."""
    return tmp_path_factory.mktemp("d")


def test_a_folder_of_its_own_is_made_unless_one_is_named(monkeypatch: pytest.MonkeyPatch, short: Path) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(short))
    assert root_of(None).parent == short


def test_a_named_folder_is_made_for_nobody_else_to_read(short: Path) -> None:
    root = root_of(short / "d")
    assert root == short / "d"
    assert root.stat().st_mode & 0o777 == 0o700


def test_an_empty_folder_will_do(short: Path) -> None:
    assert root_of(short) == short


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("full", "name a folder that is not there yet"),
        ("a/b", "cannot be used"),
        ("x" * LONGEST_ROOT, "a shorter path"),
    ],
)
def test_a_folder_that_cannot_be_used_is_refused(short: Path, name: str, advice: str) -> None:
    (short / "full").mkdir()
    (short / "full/precious").write_text("kept")
    with pytest.raises(typer.BadParameter, match=advice):
        root_of(short / name)
    assert (short / "full/precious").read_text() == "kept"


@pytest.mark.skipif(find_program("haproxy") is None, reason="haproxy is not installed")
def test_a_shell_reads_the_environment(short: Path) -> None:
    layout = Layout.of(short / "with a space", hosts=2)
    layout.root.mkdir()
    file = short / "environment"
    file.write_text(environment_text(layout))
    script = f'. "{file}"; echo "$DEMO"; echo "$DRUMBEAT_SERVER"; command -v drumbeat; command -v haproxy; echo "$PATH"'
    done = subprocess.run(
        ["/bin/sh", "-c", script], env={"PATH": "/bin:/opt/my tools"}, capture_output=True, text=True, check=True
    )
    root, server, drumbeat, haproxy, path = done.stdout.splitlines()
    assert (root, server) == (str(layout.root), layout.controller_url)
    assert Path(drumbeat).name == "drumbeat"
    assert Path(haproxy).name == "haproxy"
    assert ":/bin:/opt/my tools:" in path

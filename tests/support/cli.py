"""The commands as people run them, within a repository of desired state."""

from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from controller.cli.main import app
from tests.support.git import ENVIRONMENT, commit_all, repository
from tests.support.state_files import write


def run(*words: str | Path) -> Result:
    """Run drumbeat with these words."""
    return CliRunner().invoke(app, [str(word) for word in words], env=dict(ENVIRONMENT))


def state_repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A good state directory in a repository of its own, where the commands run."""
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    folder = write(repository(tmp_path / "state"))
    commit_all(folder, "Begin")
    monkeypatch.chdir(folder)
    return folder

"""The example state directory, and what the demo makes of it."""

from pathlib import Path

import pytest

from benchmarks import setting
from controller.demo.layout import FLEET, SERVICE, TARGET, Layout
from controller.demo.repository import Tune, commit_all, committed_at, example_folder, git, write_repository
from controller.source.entries import FileEntry
from controller.source.reader import read_state
from reconcilers.target import TargetSpec, targets_of

VERSION_FILE = f'apiVersion: drumbeat/v1alpha1\nversion: "1.0.0"\nsha256: {"a" * 64}\n'


def targets_in(folder: Path) -> dict[str, TargetSpec]:
    paths = [path for path in folder.rglob("*") if path.is_file() and ".git" not in path.parts]
    files = {path.relative_to(folder).as_posix(): FileEntry("blob", path.read_bytes()) for path in paths}
    result = read_state(files, "0" * 40)
    assert result.problems == []
    assert result.state is not None
    return targets_of(result.state)


def made(layout: Layout, tune: Tune | None = None) -> TargetSpec:
    write_repository(layout, tune)
    path = layout.repository / f"versions/{FLEET}/{SERVICE}.yaml"
    path.parent.mkdir(parents=True)
    path.write_text(VERSION_FILE)
    return targets_in(layout.repository)[TARGET]


def test_the_example_is_right_as_it_lies_there() -> None:
    assert list(targets_in(example_folder())) == [TARGET]


@pytest.mark.parametrize(("hosts", "balancers"), [(3, 1), (8, 2), (40, 1)])
def test_the_demo_moves_the_example_to_this_machine(tmp_path: Path, hosts: int, balancers: int) -> None:
    layout = Layout.of(tmp_path, hosts, balancers)
    target = made(layout)
    (pool,) = target.pools
    assert {host.name: host.address for host in target.hosts.values()} == {p.name: p.address for p in layout.hosts}
    assert [node.address for node in pool.nodes] == [place.address for place in layout.balancers]
    assert (pool.port, pool.maintenance_port) == (layout.ports.service, layout.ports.maintenance)
    assert target.release is not None
    assert str(layout.ports.service) in target.release.run
    assert target.release.url == f"http://127.0.0.1:{layout.ports.artifacts}/trading-api-1.0.0.tar.gz"
    assert target.probes[0].http is not None
    assert target.probes[0].http.port == layout.ports.service


def test_the_benchmark_changes_only_how_it_is_rolled_out(tmp_path: Path) -> None:
    target = made(Layout.of(tmp_path, 8), setting.tune)
    assert target.rollout.batches == ["25%"]
    assert target.rollout.soak == 0
    assert target.gates[0].http is not None
    assert target.release is not None
    assert target.release.run[-2:] == ["--startup", setting.STARTUP]


def test_a_commit_is_made_whatever_the_users_settings_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = tmp_path / "gitconfig"
    config.write_text("[commit]\n\tgpgsign = true\n[gpg]\n\tprogram = /nonexistent\n")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(config))
    layout = Layout.of(tmp_path, 3)
    made(layout)
    commit_all(layout, "Begin")
    assert git(layout.repository, "log", "--format=%s %an", "main") == "Begin Demo"
    assert committed_at(layout) > 0

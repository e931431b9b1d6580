"""The archive that the demo deploys."""

import hashlib
import tarfile
from pathlib import Path

import pytest

from controller.demo.artifact import build_artifact, service_script


def test_the_same_build_gives_the_same_bytes(tmp_path: Path) -> None:
    first, second = tmp_path / "a", tmp_path / "b"
    first.mkdir()
    second.mkdir()
    builds = [build_artifact(folder, "1.0.0") for folder in (first, second)]
    assert builds[0].path.read_bytes() == builds[1].path.read_bytes()
    assert builds[0].sha256 == hashlib.sha256(builds[0].path.read_bytes()).hexdigest()


def test_the_archive_holds_one_executable(tmp_path: Path) -> None:
    artifact = build_artifact(tmp_path, "1.0.0")
    assert artifact.path.name == "trading-api-1.0.0.tar.gz"
    with tarfile.open(artifact.path) as archive:
        (member,) = archive.getmembers()
    assert (member.name, member.mode, member.isfile()) == ("trading-api", 0o755, True)


def test_each_version_is_another_release(tmp_path: Path) -> None:
    sums = {build_artifact(tmp_path, version, broken).sha256 for version in ("1.0.0", "1.1.0") for broken in (0, 1)}
    assert len(sums) == 4


@pytest.mark.parametrize("path", ["/opt/my python/bin/python3", "/" + "x" * 200])
def test_a_path_that_the_kernel_would_not_take_is_avoided(path: str) -> None:
    assert service_script("1.0.0", False, Path(path)).startswith("#!/usr/bin/env -S python3 -IS\n")

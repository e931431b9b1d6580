"""Fleets that several scenarios share: each scenario begins and ends with a converged one, under load all the while.

All scenarios of one fleet are in one xdist group, so that it is started once.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.fleet import Rig


def started(folder: Path, balancers: int) -> Iterator[Rig]:
    """A fleet that has converged, and is stopped whatever happens."""
    rig = Rig(folder, balancers)
    try:
        rig.start()
        yield rig
    finally:
        rig.stop()
        sys.stderr.write(f"the fleet was in {folder}\n")
    assert rig.failures() == {}


@pytest.fixture(scope="session")
def one_balancer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """Four hosts behind one balancer node."""
    yield from started(tmp_path_factory.mktemp("one"), 1)


@pytest.fixture(scope="session")
def two_balancers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """Four hosts behind two balancer nodes."""
    yield from started(tmp_path_factory.mktemp("two"), 2)

"""The fleet of this folder: each scenario begins and ends with a converged one, under load all the while."""

from collections.abc import Iterator

import pytest

from tests.support.fleet import Rig, started


@pytest.fixture(scope="package")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """A running fleet behind two balancer nodes."""
    yield from started(tmp_path_factory.mktemp("fleet"), balancers=2)

"""How tests are spread over workers."""

import pytest
from xdist.scheduler import LoadScopeScheduling


class Spread(LoadScopeScheduling):
    """One by one, but a folder below tests/e2e is one worker's: its scenarios share a fleet, which is started once."""

    def _split_scope(self, nodeid: str) -> str:
        folder = nodeid.partition("::")[0].rpartition("/")[0]
        return folder if "/e2e/" in folder else nodeid


def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> Spread:
    """Called by pytest-xdist, once."""
    return Spread(config, log)

"""How a release is kept running: each module has a ``Config`` and a ``Driver``."""

"""How a release is brought onto a host: each module has a ``Config`` and a ``Driver``."""

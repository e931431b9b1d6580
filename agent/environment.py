"""What a service's process is given: its command and environment with the placeholders filled in."""

import os
import re
from collections.abc import Mapping

from crds.release import Release

_PLACEHOLDER = re.compile(r"\{(version|host|address)\}")
_INHERITED = ("PATH", "LANG", "LC_ALL", "TZ", "TMPDIR", "SYSTEMROOT", "TEMP", "TMP")
"""What a process needs from the machine; everything else of the agent's environment stays the agent's."""


def fill(text: str, values: Mapping[str, str]) -> str:
    """Put the values in for ``{host}``, ``{address}`` and ``{version}``; other braces stay as they are."""
    return _PLACEHOLDER.sub(lambda found: values.get(found[1], found[0]), text)


def inherited(environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The clean base of every service's environment."""
    return {name: environment[name] for name in _INHERITED if name in environment}


def service_environment(
    base: Mapping[str, str], release: Release, values: Mapping[str, str], secrets: Mapping[str, str]
) -> dict[str, str]:
    """The base, what the release says, the values of its secrets, and where the service runs."""
    said = {name: fill(value, values) for name, value in release.environment.items()}
    where = {f"DRUMBEAT_{name.upper()}": value for name, value in values.items()}
    return {**base, **said, **secrets, **where}

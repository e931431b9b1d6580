"""Release: all that a host runs for a service, named by its digest."""

import hashlib
import json
from functools import cached_property

from pydantic import Field

from crds.base import WireModel


class Quiesce(WireModel):
    """A command that has a process finish its work before it is stopped."""

    command: list[str]
    timeout: float = 60.0


class Release(WireModel):
    """Everything whose change must move hosts, and nothing else."""

    version: str
    url: str
    sha256: str | dict[str, str]
    run: list[str]
    driver: str = "archive"
    environment: dict[str, str] = Field(default_factory=dict)
    secrets: dict[str, str] = Field(default_factory=dict)
    """Environment variable: name of a secret on the node. Names only."""
    user: str | None = None
    supervisor: str = "process"
    stop_timeout: float = 10.0
    quiesce: Quiesce | None = None

    @cached_property
    def digest(self) -> str:
        """SHA-256 over canonical JSON with defaults left out, so that a new optional field redeploys nothing."""
        said = self.model_dump(mode="json", by_alias=True, exclude_defaults=True)
        return hashlib.sha256(canonical_json(said)).hexdigest()

    def sha256_for(self, platform: str) -> str | None:
        """The archive's checksum on a platform (``linux``, ``windows``); None if the release has none for it."""
        return self.sha256 if isinstance(self.sha256, str) else self.sha256.get(platform)


def canonical_json(value: object) -> bytes:
    """The one way to write a value down for hashing: sorted keys, no spaces, UTF-8."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()

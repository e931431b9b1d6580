"""The version file: versions/FLEET/SERVICE.yaml, the one that a deployment changes."""

from typing import Literal, Self

from pydantic import Field, model_validator

from crds.base import API_VERSION, FileModel, Name, Sha256, Version


class VersionFile(FileModel):
    """Which version of a service a fleet should run."""

    api_version: Literal["drumbeat/v1alpha1"] = Field(description=f"always {API_VERSION}")
    version: Version | None = Field(default=None, description="always quoted: 1.10 without quotes would be 1.1")
    sha256: Sha256 | dict[Name, Sha256] | None = Field(
        default=None, description="of the archive: one, or one for each platform (linux, windows)"
    )
    state: Literal["present", "absent"] = Field(
        default="present", description="absent: drain the service and remove it from the fleet"
    )

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.state == "present" and (self.version is None or self.sha256 is None):
            raise ValueError("write version and sha256, or state: absent to remove the service")
        return self

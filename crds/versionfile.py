"""The version file: versions/FLEET/SERVICE.yaml, the one that a deployment changes."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from crds.base import API_VERSION, FileModel, Name, Sha256, Version


class BreakGlass(FileModel):
    """Goes on although a freeze is in force."""

    reason: Annotated[str, Field(min_length=1, max_length=500)] = Field(
        description="why it cannot wait; it is put on record"
    )


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
    profile: Name | None = Field(
        default=None, description="one of the service's rollout.profiles, for this deployment: urgent, say"
    )
    break_glass: BreakGlass | None = Field(default=None, description="let this deployment pass a freeze")

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.state == "present" and (self.version is None or self.sha256 is None):
            raise ValueError("write version and sha256, or state: absent to remove the service")
        return self

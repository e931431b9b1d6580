"""Policy: what a fleet demands of whatever is deployed on it."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from crds.base import API_VERSION, FileModel, Metadata, Name
from crds.trust import PublicKeyText


class PolicyKey(FileModel):
    """Somebody who may sign."""

    name: Name = Field(description="whose key it is")
    key: PublicKeyText


class ReleasePolicy(FileModel):
    """Who signs releases. Nodes learn it from a trust document that roots have signed, never from this file."""

    threshold: Annotated[int, Field(ge=1, le=32)] = Field(
        default=1, description="how many different keys must have signed a release"
    )
    keys: Annotated[list[PolicyKey], Field(min_length=1)] = Field(description="keys that sign releases")
    revoked: list[PolicyKey] = Field(default_factory=list, description="keys that must never be believed again")
    floors: dict[Name, Annotated[int, Field(ge=0, lt=2**53)]] = Field(
        default_factory=dict, description="by service: releases signed with a lower sequence are refused"
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        """Whether a key is listed twice is seen by whoever can read keys: one has several forms."""
        if self.threshold > len(self.keys):
            count = len(self.keys)
            raise ValueError(f"threshold {self.threshold} cannot be met by {count} keys; add keys, or lower it")
        return self


class PolicySpec(FileModel):
    """What is demanded, and where."""

    fleets: Annotated[list[Name], Field(min_length=1)] = Field(description="the fleets it holds for")
    releases: ReleasePolicy = Field(description="who signs releases")


class Policy(FileModel):
    """policies/NAME.yaml: rules for fleets."""

    api_version: Literal["drumbeat/v1alpha1"] = Field(description=f"always {API_VERSION}")
    kind: Literal["Policy"]
    metadata: Metadata
    spec: PolicySpec

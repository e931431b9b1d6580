"""Fleet: the machines of one environment."""

from typing import Annotated, Literal

from pydantic import Field

from crds.base import API_VERSION, Amount, FileModel, HostName, Labels, Limit, Metadata, Name

Address = Annotated[
    str, Field(pattern=r"^[0-9A-Za-z.:_-]{1,253}$", description="IP address or DNS name that the balancers use")
]


class Host(FileModel):
    """A machine that runs services. Its agent's node name is the host's name."""

    name: HostName
    address: Address
    labels: Labels = Field(default_factory=dict, description="matched by the selector in a Service's hosts")
    zone: Name | None = Field(default=None, description="rack, room or data centre; batches spread over zones")


class BalancerNode(FileModel):
    """A machine that runs a load balancer with an agent beside it."""

    name: HostName
    address: Address


class Runner(FileModel):
    """A machine whose agent runs gates and other operations."""

    name: HostName


class Limits(FileModel):
    """What the fleet allows all of its services together; what is left out is not limited."""

    max_unavailable: Amount | None = Field(
        default=None, description="hosts of the fleet that may be out at once, for whatever cause and service"
    )
    per_zone: Amount | None = Field(default=None, description="likewise of each zone's hosts")
    rollouts: Annotated[int, Field(ge=1)] | None = Field(default=None, description="rollouts under way at once")


class FleetSpec(FileModel):
    """The machines, by what they do."""

    hosts: list[Host]
    balancers: list[BalancerNode] = Field(default_factory=list)
    runners: list[Runner] = Field(default_factory=list)
    max_removed: Limit = Field(
        default="50%",
        description="of its services, and of a service's hosts: what one commit may remove without saying so in its "
        "message; one may always be removed",
    )
    halt_after: Annotated[int, Field(ge=1)] | None = Field(
        default=None,
        description="once rollouts of one revision have failed on so many targets, those on this fleet stop",
    )
    limits: Limits = Limits()


class Fleet(FileModel):
    """Named hosts: an environment such as prod or staging."""

    api_version: Literal["drumbeat/v1alpha1"] = Field(description=f"always {API_VERSION}")
    kind: Literal["Fleet"]
    metadata: Metadata
    spec: FleetSpec

"""LoadBalancer: the balancer of one fleet that services name by its role."""

from typing import Annotated, Literal

from pydantic import Field

from crds.base import API_VERSION, Amount, FileModel, HostName, Metadata, PoolName, Port


class Pool(FileModel):
    """What the balancer's owners say of one pool."""

    port: Port | None = Field(
        default=None, description="where tests reach a maintenance pool: its frontend's port on each balancer node"
    )
    max_unavailable: Amount | None = Field(
        default=None, description="hosts of an online pool that may be missing at once, whatever the service asks for"
    )


class LoadBalancerSpec(FileModel):
    """A balancer: its nodes behave alike and carry the same pools."""

    driver: Literal["haproxy"] = "haproxy"
    nodes: Annotated[list[HostName], Field(min_length=1)] = Field(description="names from the fleet's balancers")
    pools: dict[PoolName, Pool | None] = Field(
        description="the pools on it; a maintenance pool says at which port tests reach it"
    )


class LoadBalancer(FileModel):
    """balancers/FLEET/NAME.yaml: one fleet's balancer, named by services as ``balancer: NAME``."""

    api_version: Literal["drumbeat/v1alpha1"] = Field(description=f"always {API_VERSION}")
    kind: Literal["LoadBalancer"]
    metadata: Metadata
    spec: LoadBalancerSpec

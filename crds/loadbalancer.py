"""LoadBalancer: the balancer of one fleet that services name by its role."""

from typing import Annotated, Literal

from pydantic import Field

from crds.base import API_VERSION, FileModel, HostName, Metadata, PoolName, Port


class MaintenanceEntry(FileModel):
    """Where tests reach a maintenance pool: the same port on every balancer node."""

    port: Port = Field(description="port of the maintenance pool's frontend on each balancer node")


class LoadBalancerSpec(FileModel):
    """A balancer: its nodes behave alike and carry the same pools."""

    driver: Literal["haproxy"] = "haproxy"
    nodes: Annotated[list[HostName], Field(min_length=1)] = Field(description="names from the fleet's balancers")
    pools: dict[PoolName, MaintenanceEntry | None] = Field(
        description="the pools on it; a maintenance pool says at which port tests reach it"
    )


class LoadBalancer(FileModel):
    """balancers/FLEET/NAME.yaml: one fleet's balancer, named by services as ``balancer: NAME``."""

    api_version: Literal["drumbeat/v1alpha1"] = Field(description=f"always {API_VERSION}")
    kind: Literal["LoadBalancer"]
    metadata: Metadata
    spec: LoadBalancerSpec

"""DesiredState: all resources of one commit, after every rule of reading was met."""

from dataclasses import dataclass, field

from crds.fleet import Fleet
from crds.loadbalancer import LoadBalancer
from crds.service import Service
from crds.versionfile import VersionFile


@dataclass(frozen=True)
class DesiredState:
    """The resources of one revision, by name. Names inside are consistent: the reader refuses what is not."""

    revision: str
    fleets: dict[str, Fleet] = field(default_factory=dict)
    services: dict[str, Service] = field(default_factory=dict)
    balancers: dict[tuple[str, str], LoadBalancer] = field(default_factory=dict)
    """By (fleet, name)."""
    versions: dict[tuple[str, str], VersionFile] = field(default_factory=dict)
    """By (fleet, service)."""

"""DesiredState: all resources of one commit, after every rule of reading was met."""

from dataclasses import dataclass, field

from crds.fleet import Fleet
from crds.freeze import Freeze
from crds.loadbalancer import LoadBalancer
from crds.policy import Policy
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
    policies: dict[str, Policy] = field(default_factory=dict)
    freezes: dict[str, Freeze] = field(default_factory=dict)
    statements: dict[tuple[str, str], str] = field(default_factory=dict)
    """By (fleet, service): what was signed about the release, as it lies beside the version file."""
    trust: dict[str, str] = field(default_factory=dict)
    """By fleet: the trust document that its nodes are to take."""
    unsigned: dict[tuple[str, str], str] = field(default_factory=dict)
    """By (fleet, service): why the release does not meet the fleet's policy, and what to do."""

"""All resources of one revision while they are being checked against each other."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property

from controller.source.problems import FieldPath, Problem, Severity
from controller.source.validating import Loaded
from crds.desired import DesiredState
from crds.fleet import Fleet, Host
from crds.freeze import Freeze
from crds.loadbalancer import LoadBalancer
from crds.policy import Policy
from crds.service import Service, ServiceSpec
from crds.versionfile import VersionFile
from reconcilers.overrides import service_on


@dataclass(frozen=True)
class Deployed:
    """A service on a fleet for which there is a version file, all of them valid."""

    fleet: Fleet
    service: Service
    spec: ServiceSpec
    """As it holds on the fleet."""
    version: VersionFile
    file: Loaded
    """The service's."""

    @property
    def target(self) -> str:
        return f"{self.service.metadata.name}@{self.fleet.metadata.name}"

    @property
    def fleet_name(self) -> str:
        return self.fleet.metadata.name

    @cached_property
    def hosts(self) -> list[Host]:
        """Those that the selector matches."""
        wanted = self.spec.hosts.items()
        return [host for host in self.fleet.spec.hosts if wanted <= host.labels.items()]

    def problem(self, path: FieldPath, message: str, hint: str, severity: Severity = "error") -> Problem:
        """A problem at a field of the spec, in the fleet's override if the field stands there."""
        at = ("spec", "fleets", self.fleet_name, *path)
        override = ("spec", "fleets", self.fleet_name, *path[:1])
        written = override in self.file.document.keys
        target = self.target if severity == "warning" else ""
        place = at if written else ("spec", *path)
        return self.file.document.problem(place, message, hint, severity=severity, target=target)


@dataclass(frozen=True)
class Collection:
    """Files by what they hold. A file that is there but not valid is known, and has no model."""

    fleets: dict[str, Loaded] = field(default_factory=dict)
    services: dict[str, Loaded] = field(default_factory=dict)
    balancers: dict[tuple[str, str], Loaded] = field(default_factory=dict)
    """By (fleet, name)."""
    versions: dict[tuple[str, str], Loaded] = field(default_factory=dict)
    """By (fleet, service)."""
    policies: dict[str, Loaded] = field(default_factory=dict)
    freezes: dict[str, Loaded] = field(default_factory=dict)

    def add(self, loaded: Loaded) -> None:
        """Take one file in."""
        place = loaded.place
        match place.kind:
            case "Fleet":
                self.fleets[place.name] = loaded
            case "Service":
                self.services[place.name] = loaded
            case "LoadBalancer":
                self.balancers[place.fleet, place.name] = loaded
            case "Version":
                self.versions[place.fleet, place.name] = loaded
            case "Policy":
                self.policies[place.name] = loaded
            case "Freeze":
                self.freezes[place.name] = loaded

    def state(self, revision: str) -> DesiredState:
        """The valid resources."""
        return DesiredState(
            revision,
            fleets={name: each.model for name, each in self.fleets.items() if isinstance(each.model, Fleet)},
            services={name: each.model for name, each in self.services.items() if isinstance(each.model, Service)},
            balancers={key: each.model for key, each in self.balancers.items() if isinstance(each.model, LoadBalancer)},
            versions={key: each.model for key, each in self.versions.items() if isinstance(each.model, VersionFile)},
            policies={name: each.model for name, each in self.policies.items() if isinstance(each.model, Policy)},
            freezes={name: each.model for name, each in self.freezes.items() if isinstance(each.model, Freeze)},
        )

    def deployed(self) -> Iterator[Deployed]:
        """Every target whose files are valid."""
        state = self.state("")
        for (fleet, service), version in state.versions.items():
            if fleet in state.fleets and service in state.services:
                spec = service_on(state, service, fleet)
                yield Deployed(state.fleets[fleet], state.services[service], spec, version, self.services[service])

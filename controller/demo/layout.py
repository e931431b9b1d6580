"""Where everything of the demo is: folders, addresses, ports."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from controller.demo.processes import free_ports

FLEET = "prod"
SERVICE = "trading-api"
TARGET = f"{SERVICE}@{FLEET}"
RUNNER = "runner-1"


@dataclass(frozen=True)
class Place:
    """A node and its address, all of them on this machine's loopback network."""

    name: str
    address: str


@dataclass(frozen=True)
class Ports:
    """Free ones, from the system."""

    service: int
    online: int
    maintenance: int
    controller: int
    artifacts: int


@dataclass(frozen=True)
class Layout:
    """One demo's plan; nothing of it exists yet."""

    root: Path
    hosts: Sequence[Place]
    balancers: Sequence[Place]
    ports: Ports = field(default_factory=lambda: Ports(*free_ports(5)))

    @classmethod
    def of(cls, root: Path, hosts: int, balancers: int = 1) -> "Layout":
        """A plan for so many hosts, each at an address of its own with the same port."""
        digits = max(2, len(str(hosts)))
        return cls(
            root,
            [Place(f"trading-{i:0{digits}}", f"127.0.{1 + i // 250}.{1 + i % 250}") for i in range(1, hosts + 1)],
            [Place(f"lb-{i}", f"127.0.0.{i}") for i in range(1, balancers + 1)],
        )

    @property
    def repository(self) -> Path:
        """The git repository with the desired state."""
        return self.root / "state"

    @property
    def artifacts(self) -> Path:
        """What the artifact server serves."""
        return self.root / "artifacts"

    @property
    def logs(self) -> Path:
        """A log for each process."""
        return self.root / "logs"

    @property
    def keys(self) -> Path:
        """The controller's keys."""
        return self.root / "keys"

    @property
    def scripts(self) -> Path:
        """The scripts of gates, on the runner."""
        return self.root / "scripts"

    @property
    def tally(self) -> Path:
        """What became of the customers' requests."""
        return self.root / "customers.json"

    def node(self, name: str) -> Path:
        """A node's folder: settings, credentials and state of its agent."""
        return self.root / "nodes" / name

    @property
    def controller_url(self) -> str:
        """Where agents and the CLI find the controller."""
        return f"http://127.0.0.1:{self.ports.controller}"

    @property
    def customers_url(self) -> str:
        """Where customers find the service: the online pool on the first balancer."""
        return f"http://{self.balancers[0].address}:{self.ports.online}"

"""What really is, whoever believes what."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from agent.drivers.contracts import Server
from agent.journal import Journal
from tests.simulation.desired import host_names, pool


class PromiseBroken(BaseException):
    """A promise was broken: its number, and what was seen. No Exception, so that no agent survives it."""

    def __init__(self, promise: int, what: str) -> None:
        super().__init__(f"promise {promise} is broken: {what}")
        self.promise = promise


@dataclass
class Truth:
    """Ways to see what really is."""

    hosts: int
    services: Sequence[str]
    balancers: Sequence[str]
    server: Callable[[str, str, str], Server | None]
    """(balancer node, pool, host) -> the server."""
    digest: Callable[[str, str], str | None]
    """(host, target) -> the digest of what runs there."""
    version: Callable[[str, str], str | None]
    """(host, target) -> its version."""
    journal: Callable[[str], Journal]
    """Of the present life of a node's agent."""
    apart: Callable[[str], bool]
    """Whether people have excluded a balancer node, so that nobody asks what it has in."""
    away: Callable[[str], bool]
    """Whether they send no customers through it, from before that until it is as the others again."""
    marked: Callable[[str, str, str], bool]
    """(balancer node, pool, host) -> a person took it out, and nobody has put it back."""
    excluded: Callable[[str, str], bool]
    """(service, host) -> people keep it out of the pool on some node, or are about to lift that."""
    frozen: Callable[[str, str, datetime, bool], bool]
    """(revision, service, moment, whether it rolls back) -> a freeze of that revision holds the service then."""
    time: Callable[[], float]
    """Seconds since the run began."""
    _behind: dict[str, str | None] = field(default_factory=dict)

    @property
    def names(self) -> list[str]:
        """Of the hosts."""
        return host_names(self.hosts)

    @property
    def allowed(self) -> int:
        """Hosts of each service that may be missing at once: 25%, but one at least (see desired.py)."""
        return max(25 * self.hosts // 100, 1)

    @property
    def counted(self) -> list[str]:
        """Balancer nodes that a host must be online on to be online."""
        return [node for node in self.balancers if not self.apart(node)]

    def online(self, service: str, host: str) -> list[Server | None]:
        """The host's server in the online pool of each balancer node that counts."""
        return [self.server(node, pool(service, "online"), host) for node in self.counted]

    def is_in(self, service: str, host: str) -> bool:
        """Every balancer node that counts has it in, whatever its checks say."""
        return all(server is not None and server.admin == "ready" for server in self.online(service, host))

    def serves_everywhere(self, service: str) -> bool:
        """Every host does; who did not when that was last asked is looked at first."""
        last = self._behind.get(service)
        if last is not None and not self.serves(service, last):
            return False
        behind = next((host for host in self.names if not self.serves(service, host)), None)
        self._behind[service] = behind
        return behind is None

    def serves(self, service: str, host: str) -> bool:
        """Online on every balancer node that counts, and running."""
        if self.digest(host, f"{service}@prod") is None:
            return False
        return all(
            server is not None and server.admin == "ready" and server.up for server in self.online(service, host)
        )


def service_of(target: str) -> str:
    """``web`` of ``web@prod``."""
    return target.partition("@")[0]

"""Brokers as deploy/rabbitmq lays them out: TLS both ways, and three of them as one cluster that can be cut apart."""

import contextlib
import json
import os
import secrets
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bus.amqp_topology import EXCHANGE
from controller.demo.processes import Processes, free_ports
from controller.demo.rabbitmq import Broker, Ports
from tests.support.certificates import Authority
from tests.support.ports import own_address
from tests.support.rabbitmq import RabbitMq
from tests.support.waiting import eventually

_SHIPPED = Path(__file__).parents[2] / "deploy/rabbitmq/rabbitmq.conf"
_BEGIN, _END = "# -- cluster of three\n", "# -- end of cluster\n"


def shipped_lines(
    host: str, port: int, authority: Authority, peers: Sequence[str] = (), management: int = 15671
) -> list[str]:
    """The shipped configuration, adapted as its README says: addresses, certificates, and the cluster's nodes."""
    certificate, key = authority.issue(f"broker-{host}", host)
    text = _SHIPPED.read_text(encoding="utf-8")
    before, cluster, after = text.partition(_BEGIN)[0], text.partition(_BEGIN)[2], text.partition(_END)[2]
    whole = before + (cluster.partition(_END)[0] if peers else "") + after
    for name, file in (("ca.pem", authority.file), ("broker.pem", certificate), ("broker.key", key)):
        whole = whole.replace(f"/etc/rabbitmq/tls/{name}", str(file))
    changes = {
        "0.0.0.0:5671": f"{host}:{port}",
        "management.ssl.ip = 0.0.0.0": f"management.ssl.ip = {host}",
        "management.ssl.port = 15671": f"management.ssl.port = {management}",
        "disk_free_limit.absolute = 2GB": "disk_free_limit.absolute = 20MB",
        **{f"= rabbit@broker-{number}\n": f"= {peer}\n" for number, peer in enumerate(peers, 1)},
    }
    for old, new in changes.items():
        assert whole.count(old) == 1, f"{_SHIPPED} must contain {old!r} exactly once"
        whole = whole.replace(old, new)
    return [line for line in whole.splitlines() if line and not line.startswith(("#", "prometheus."))]


class Loopback:
    """All brokers on this machine's loopback network; none can be cut off."""

    can_cut = False

    def __init__(self) -> None:
        names = free_ports(1)[0]
        self.ports = [Ports(*free_ports(2), names) for _ in range(3)]
        self.hosts = [own_address()] * 3

    def within(self, at: int) -> list[str]:
        """What stands before a broker's commands."""
        return []

    def close(self) -> None:
        """Nothing was made."""


class Namespaces:
    """A network namespace for each broker, joined by a bridge that this machine is on too. Needs root and iproute2."""

    can_cut = True

    def __init__(self) -> None:
        # Addresses that RFC 2544 keeps for tests; a process has eight of them.
        number = os.getpid() % 16384 * 8
        net = f"198.{18 + number // 65536}.{number // 256 % 256}"
        self.hosts = [f"{net}.{number % 256 + at}" for at in (1, 2, 3)]
        self.ports = [Ports(5671, 25672, 4369)] * 3
        self._bridge = f"dr{os.getpid()}"
        self._names = [f"{self._bridge}-{at}" for at in (1, 2, 3)]
        self.close()
        try:
            self._make(f"{net}.{number % 256 + 6}/29")
        except BaseException:
            self.close()
            raise

    def _make(self, address: str) -> None:
        _ip(f"link add {self._bridge} type bridge")
        _ip(f"address add {address} dev {self._bridge}")
        _ip(f"link set {self._bridge} up")
        for name, host in zip(self._names, self.hosts, strict=True):
            _ip(f"netns add {name}")
            _ip(f"link add {name} type veth peer name eth0 netns {name}")
            _ip(f"link set {name} master {self._bridge} up")
            _ip(f"-n {name} link set lo up")
            _ip(f"-n {name} address add {host}/29 dev eth0")
            _ip(f"-n {name} link set eth0 up")

    def within(self, at: int) -> list[str]:
        """What stands before a broker's commands."""
        return ["ip", "netns", "exec", self._names[at]]

    def cut(self, at: int) -> None:
        """Nobody hears of this broker any more, and it of nobody; connections stay as they are."""
        _ip(f"link set {self._names[at]} down")

    def heal(self, at: int) -> None:
        """Join it again."""
        _ip(f"link set {self._names[at]} up")

    def close(self) -> None:
        """Remove what was made, as far as it is there."""
        for name in self._names:
            for words in (f"link delete {name}", f"netns delete {name}"):
                with contextlib.suppress(AssertionError):
                    _ip(words)
        with contextlib.suppress(AssertionError):
            _ip(f"link delete {self._bridge}")


def _ip(words: str) -> None:
    done = subprocess.run(["ip", *words.split()], capture_output=True, text=True)
    assert done.returncode == 0, f"ip {words}: {done.stderr}"


def may_cut() -> bool:
    """Whether this account may make network namespaces here."""
    if os.name != "posix" or os.geteuid() != 0 or shutil.which("ip") is None:
        return False
    with contextlib.suppress(AssertionError):
        Namespaces().close()
        return True
    return False


@dataclass(frozen=True)
class Placed(Broker):
    """A broker behind a command that puts it somewhere, such as into a network namespace."""

    within: Sequence[str] = ()

    def names_command(self) -> list[str]:
        return [*self.within, *super().names_command()]

    def tool(self, name: str, *words: str) -> list[str]:
        return [*self.within, *super().tool(name, *words)]


class Cluster:
    """Three brokers."""

    def __init__(self, folder: Path) -> None:
        self.network = Namespaces() if may_cut() else Loopback()
        self.authority = Authority(folder / "tls")
        self.processes = Processes(folder / "logs")
        cookie = secrets.token_hex(16)
        plans = [
            Placed(
                folder / f"broker-{at + 1}",
                f"broker-{at + 1}",
                host,
                ports,
                cookie=cookie,
                within=self.network.within(at),
            )
            for at, (host, ports) in enumerate(zip(self.network.hosts, self.network.ports, strict=True))
        ]
        peers = [plan.node for plan in plans]
        self.brokers = [
            RabbitMq(
                replace(plan, lines=shipped_lines(plan.host, plan.ports.amqp, self.authority, peers, free_ports(1)[0])),
                self.processes,
            )
            for plan in plans
        ]

    @property
    def addresses(self) -> list[str]:
        """HOST:PORT of each."""
        return [broker.address for broker in self.brokers]

    def start(self) -> None:
        """The first one, then both others beside each other, and wait until all are one cluster."""
        first, *others = self.brokers
        first.begin()
        first.wait()
        for broker in others:
            broker.begin(names=self.network.can_cut)
        for broker in others:
            broker.wait()
        eventually(self.is_whole, 60)

    def is_whole(self) -> bool:
        """Whether each broker runs and sees all three."""
        return all(_sees_three(broker) for broker in self.brokers)

    def await_return(self, at: int) -> None:
        """Wait until a broker that was cut off is one of three again.

        Erlang's global name server sometimes waits for ever when two nodes connect to each other at once (seen with
        RabbitMQ 3.10 on Erlang 25): the broker hangs while it starts. It is started anew then, see docs/rabbitmq.md.
        """
        try:
            eventually(self.is_whole, 15)
        except AssertionError:
            self.brokers[at].kill()
            self.brokers[at].start()
            eventually(self.is_whole, 60)

    def queues(self) -> list[dict[str, Any]]:
        """All queues of reports, with leader, members and the members that are online."""
        columns = ("name", "leader", "members", "online")
        found = self.brokers[0].ctl("-q", "-p", "drumbeat", "list_queues", *columns, "--formatter", "json")
        return [queue for queue in json.loads(found) if queue["name"].startswith(EXCHANGE)]

    def close(self) -> None:
        """End everything."""
        self.processes.kill_all()
        self.network.close()


def _sees_three(broker: RabbitMq) -> bool:
    """A broker that stopped serving, for want of a majority, answers with an error."""
    if not broker.broker.accepts():
        return False
    with contextlib.suppress(AssertionError):
        return broker.ctl("-q", "eval", "length(rabbit_nodes:all_running()).").strip() == "3"
    return False


@contextlib.contextmanager
def running_cluster(folder: Path) -> Iterator[Cluster]:
    """Three brokers, started, and ended whatever happens."""
    cluster = Cluster(folder)
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.close()

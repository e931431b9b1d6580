"""Real HAProxy processes and services behind them, each started here and stopped by its own process id."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from agent.drivers.balancers import haproxy
from controller.demo.artifact import service_script
from controller.demo.haproxy import ServicePools, Site, write
from controller.demo.processes import free_ports
from controller.demo.programs import find_program
from controller.demo.runtime_api import ask
from tests.support.ports import free_port, own_address
from tests.support.waiting import eventually

ONLINE, MAINTENANCE = "trading_online", "trading_maintenance"


@dataclass
class App:
    """One service behind the balancer; each start may bring another version."""

    name: str
    folder: Path
    address: str = field(default_factory=lambda: f"{own_address()}:{free_port()}")
    process: "subprocess.Popen[bytes] | None" = None

    def start(self, version: str = "1.0", latency: float = 0.005) -> None:
        script = self.folder / f"{self.name}-{version}.py"
        script.write_text(service_script(version, broken=False, interpreter=Path(sys.executable)))
        host, _, port = self.address.rpartition(":")
        command = [sys.executable, "-IS", script, "--address", host, "--port", port, "--latency", str(latency)]
        self.process = subprocess.Popen(command, env={**os.environ, "DRUMBEAT_HOST": self.name})
        eventually(self.accepts)

    def accepts(self) -> bool:
        host, _, port = self.address.rpartition(":")
        with contextlib.suppress(OSError), socket.create_connection((host, int(port)), 1):
            return True
        return False

    def stop(self) -> None:
        """At once, with whatever it was doing."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None


class HAProxy:
    """One balancer node."""

    def __init__(self, site: Site) -> None:
        write(site)
        self.site = site
        self.process: subprocess.Popen[bytes] | None = None

    @classmethod
    def attached(cls, site: Site) -> "HAProxy":
        """One that somebody else has started and will stop; to talk to it."""
        node = cls.__new__(cls)
        node.site, node.process = site, None
        return node

    def start(self) -> None:
        program = find_program("haproxy")
        with (self.site.folder / "haproxy.log").open("ab") as log:
            self.process = subprocess.Popen(self.site.command(str(program)), stdout=log, stderr=subprocess.STDOUT)
        eventually(self.answers)

    def answers(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, (self.site.folder / "haproxy.log").read_text()
        with contextlib.suppress(OSError):
            return "Pid:" in ask(self.site.socket, "show info") and self.worker() in self.workers()
        return False

    def stop(self) -> None:
        """The master and every worker."""
        if self.process is None:
            return
        workers = self.workers() if self.process.poll() is None else []
        self.process.kill()
        self.process.wait()
        for worker in workers:
            with contextlib.suppress(ProcessLookupError):
                os.kill(worker, signal.SIGKILL)
        self.process = None

    def tell(self, command: str) -> str:
        """As an operator would, with socat."""
        return ask(self.site.socket, command)

    def worker(self) -> int:
        return int(self.tell("show info").partition("Pid: ")[2].split()[0])

    def workers(self) -> list[int]:
        """All workers that the master knows, old ones too."""
        lines = [line.split() for line in self.master("show proc").splitlines()]
        return [int(words[0]) for words in lines if len(words) > 1 and words[1] == "worker"]

    def master(self, command: str) -> str:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(10)
            connection.connect(str(self.site.master_socket))
            connection.sendall(command.encode() + b"\n")
            connection.shutdown(socket.SHUT_WR)
            parts = []
            while part := connection.recv(65536):
                parts.append(part)
        return b"".join(parts).decode()

    def reload(self) -> None:
        """As a bare 'systemctl reload' would, without saving anything; returns when the new worker answers."""
        before = self.worker()
        self.master("reload")
        eventually(lambda: self._answered_by_other(before))

    def _answered_by_other(self, before: int) -> bool:
        with contextlib.suppress(OSError, ValueError, IndexError):
            return self.worker() != before and self.worker() in self.workers()
        return False

    def driver(self, timeout: float = 5.0) -> haproxy.Driver:
        """The agent's driver for it. The timeout is generous, as tests share their machine."""
        said = {name: value for name, value in self.site.settings().items() if name != "driver"}
        return haproxy.Driver(haproxy.Config.model_validate({**said, "timeout": timeout}))


def pools(apps: list[App], ready: bool = True) -> ServicePools:
    """Both pools of the one service, on ports of this process's own."""
    address = own_address()
    online, maintenance = (f"{address}:{port}" for port in free_ports(2, address))
    return ServicePools({app.name: app.address for app in apps}, online, maintenance, ready=ready)


@contextlib.contextmanager
def running(
    folder: Path, count: int = 3, nodes: int = 1, without: str = ""
) -> Iterator[tuple[list[App], list[HAProxy]]]:
    """So many services behind so many nodes, all of them online and up; a line may be left out of the configuration."""
    apps = [App(f"vm{number}", folder) for number in range(1, count + 1)]
    balancers = [HAProxy(Site(folder / f"lb{number}", [pools(apps)])) for number in range(1, nodes + 1)]
    for balancer in balancers:
        path = balancer.site.config_file
        path.write_text("".join(line for line in path.open() if not without or without not in line))
    try:
        for app in apps:
            app.start()
        for balancer in balancers:
            balancer.start()
            eventually(lambda node=balancer: all_up(node, apps))  # type: ignore[misc]
        yield apps, balancers
    finally:
        for part in (*balancers, *apps):
            part.stop()


def all_up(balancer: HAProxy, apps: list[App]) -> bool:
    """Whether every server of the online pool is fully up."""
    return balancer.tell(f"show stat {ONLINE} 4 -1").count(",UP,") == len(apps)

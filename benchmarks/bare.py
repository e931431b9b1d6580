"""A rolling deployment by a bare script: only the steps that cannot be left out, for what they cost alone.

It runs beside the services, starts and stops them by itself, keeps nothing, and trusts everybody. All hosts of a batch
go together; one look at HAProxy serves them all.
"""

import http.client
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from controller.demo.runtime_api import ServerRow, ask, parse_servers

LOOK = 0.02
"""Seconds between two looks at HAProxy."""
PATIENCE = 60.0
"""Seconds after which a batch has failed."""


@dataclass
class BareHost:
    """A service's process at its address."""

    name: str
    address: str
    port: int
    process: "subprocess.Popen[bytes] | None" = None

    def start(self, command: Sequence[str]) -> None:
        """Start the service here."""
        where = ["--address", self.address, "--port", str(self.port)]
        self.process = subprocess.Popen([*command, *where], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)

    def stop(self) -> None:
        """Ask it to end."""
        assert self.process is not None
        self.process.terminate()

    def end(self) -> None:
        """Have no process left, if there is one."""
        if self.process is not None:
            self.process.terminate()
            self.process.wait()

    def gone(self) -> bool:
        """Whether its process has ended."""
        return self.process is None or self.process.poll() is not None

    def healthy(self) -> bool:
        """Whether it answers now; a refused connection costs next to nothing."""
        try:
            with socket.create_connection((self.address, self.port), timeout=1) as connection:
                connection.sendall(b"GET /health HTTP/1.0\r\n\r\n")
                return b" 200 " in connection.recv(4096)
        except OSError:
            return False


@dataclass(frozen=True)
class View:
    """HAProxy at one moment."""

    online: dict[str, ServerRow]
    maintenance: dict[str, ServerRow]
    used: dict[str, int]
    """Connections of the online pool that carry a request, by server."""

    def idle(self, name: str) -> bool:
        """No session, no queue entry, no used connection."""
        row = self.online[name]
        return row.sessions == 0 and row.queued == 0 and self.used[name] == 0


@dataclass(frozen=True)
class Site:
    """The balancer, and what customers and tests see of it."""

    runtime: Path
    online: str
    maintenance: str
    maintenance_port: int

    def look(self) -> View:
        """Read both pools at once."""
        pools = f"show stat {self.online} 4 -1;show stat {self.maintenance} 4 -1"
        online, maintenance, used = ask(self.runtime, f"{pools};show servers conn {self.online}").split("\n# ")
        return View(parse_servers(online), parse_servers(maintenance), _used(used))

    def set(self, pool: str, name: str, state: str) -> None:
        """Change one server. Raises RuntimeError if HAProxy objects."""
        answer = ask(self.runtime, f"set server {pool}/{name} state {state}").strip()
        if answer:
            raise RuntimeError(answer)

    def smoke(self, name: str, version: str) -> None:
        """One request through the maintenance pool to the very host. Raises RuntimeError if it fails."""
        connection = http.client.HTTPConnection("127.0.0.1", self.maintenance_port, timeout=10)
        connection.request("GET", "/quote", headers={"X-Drumbeat-Server": name})
        answer = connection.getresponse()
        answer.read()
        connection.close()
        if answer.status != 200 or answer.getheader("X-App-Version") != version:
            raise RuntimeError(f"{name} answered {answer.status} with version {answer.getheader('X-App-Version')}")


def roll(site: Site, hosts: Sequence[BareHost], size: int, command: Sequence[str], version: str) -> float:
    """Bring ``version`` onto all hosts, ``size`` at a time; returns the seconds that it took."""
    begun = time.monotonic()
    with ThreadPoolExecutor(size) as pool:
        for first in range(0, len(hosts), size):
            batch = [_journey(site, host, command, version, pool) for host in hosts[first : first + size]]
            _run(site, batch)
    return time.monotonic() - begun


Step = Callable[[View], bool]
"""What a journey waits for."""


def _journey(site: Site, host: BareHost, command: Sequence[str], version: str, pool: Executor) -> Iterator[Step]:
    name = host.name
    site.set(site.online, name, "drain")
    yield lambda view: view.idle(name)
    site.set(site.online, name, "maint")
    host.stop()
    yield lambda _: host.gone()
    host.start(command)
    yield lambda _: host.healthy()
    site.set(site.maintenance, name, "ready")
    yield lambda view: view.maintenance[name].status.startswith("UP")
    test = pool.submit(site.smoke, name, version)
    yield lambda _: test.done()
    test.result()
    site.set(site.maintenance, name, "maint")
    site.set(site.online, name, "drain")
    # Exactly DRAIN: straight after MAINT it is "DRAIN 1/2", whatever the last check said, until a fresh one succeeds.
    yield lambda view: view.online[name].status == "DRAIN"
    site.set(site.online, name, "ready")
    yield lambda view: view.online[name].status == "UP"


def _run(site: Site, batch: list[Iterator[Step]]) -> None:
    deadline = time.monotonic() + PATIENCE
    waiting = [(journey, next(journey)) for journey in batch]
    while waiting:
        if time.monotonic() > deadline:
            raise TimeoutError(f"{len(waiting)} hosts did not come back")
        view, still = site.look(), []
        for journey, step in waiting:
            following: Step | None = next(journey, None) if step(view) else step
            if following is not None:
                still.append((journey, following))
        waiting = still
        time.sleep(LOOK)


def _used(text: str) -> dict[str, int]:
    """Read the answer to ``show servers conn``: used connections by server."""
    header, *rows = [line.split() for line in text.splitlines() if line]
    place = header.index("used_cur")
    return {row[0].rpartition("/")[2]: int(row[place]) for row in rows}

"""python -m benchmarks.balancer_agent [--json] [--servers N]: what a balancer's agent costs in a rolling deployment.

A real HAProxy with both pools of one service, and the agent as it is put together, without a bus. Quarters of the
servers are moved as a rollout moves them. Counted is the process's CPU time, so that others on the machine do not show.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from pathlib import Path
from random import Random

from agent.core import Agent
from agent.drivers.balancers import haproxy
from agent.journal import Journal
from agent.reporting import Reporter, Speaker
from agent.roles.balancer import BalancerRole
from benchmarks.setting import batch_size
from bus.clock import SystemClock
from bus.envelope import open_assignment, seal_assignment, seal_report
from bus.keys import generate_key
from controller.demo.haproxy import ServicePools, Site, write
from controller.demo.layout import Layout
from controller.demo.processes import Processes, free_ports
from controller.demo.programs import need_program
from controller.demo.runtime_api import servers
from crds.messages import AdminState, Assignment, PoolAssignment, Report, ServerAssignment

NODE = "lb-1"
ONLINE, MAINTENANCE = ServicePools.online, ServicePools.maintenance
PATIENCE = 60.0
"""Seconds for HAProxy to get where it is asked to be."""
MOVES: Sequence[Mapping[str, AdminState]] = (
    {ONLINE: "drain", MAINTENANCE: "maint"},
    {ONLINE: "maint", MAINTENANCE: "maint"},
    {ONLINE: "maint", MAINTENANCE: "ready"},
    {ONLINE: "maint", MAINTENANCE: "maint"},
    {ONLINE: "ready", MAINTENANCE: "maint"},
)
"""Of each batch, in this order."""


class Desk:
    """The agent, and what it is told and says."""

    def __init__(self, folder: Path, site: Site) -> None:
        self._clock = SystemClock()
        self._controller, self._key = generate_key(), generate_key()
        self._addresses = site.services[0].servers
        self._serial = 0
        self.steps: list[float] = []
        """CPU seconds of each."""
        self.report: Report | None = None
        self._agent = self._make(folder, site)

    def move(self, names: Sequence[str], states: Mapping[str, AdminState]) -> None:
        """Assign states by pool, and take steps as the agent's loop does until all are there."""
        self._serial += 1
        pools = {pool: self._pool(pool, names, state) for pool, state in states.items()}
        expires = self._clock.now() + timedelta(hours=1)
        assignment = Assignment(node=NODE, term=1, serial=self._serial, expires=expires, pools=pools)
        self._agent.receive(seal_assignment(assignment, self._controller))
        self._run(lambda: self._is_done(assignment))

    def _run(self, done: Callable[[], bool]) -> None:
        deadline = self._clock.monotonic() + PATIENCE
        while True:
            begun = time.process_time()
            wait = self._agent.step(self._clock.now())
            self.steps.append(time.process_time() - begun)
            if done():
                return
            if self._clock.monotonic() > deadline:
                raise TimeoutError(f"HAProxy is not where it was asked to be: {self.report}")
            time.sleep(wait)

    def _is_done(self, assignment: Assignment) -> bool:
        return self.report is not None and all(
            self._is_there(pool, name, wanted.state)
            for pool, said in assignment.pools.items()
            for name, wanted in said.servers.items()
        )

    def _is_there(self, pool: str, name: str, state: str) -> bool:
        server = self.report.pools[pool].servers.get(name) if self.report and pool in self.report.pools else None
        return server is not None and server.admin == state and (state != "ready" or server.up)

    def _pool(self, pool: str, names: Sequence[str], state: AdminState) -> PoolAssignment:
        named = {name: ServerAssignment(state=state, address=self._addresses[name]) for name in names}
        return PoolAssignment(plain="ready" if pool == ONLINE else "maint", servers=named)

    def _make(self, folder: Path, site: Site) -> Agent:
        said = {name: value for name, value in site.settings().items() if name != "driver"}
        driver = haproxy.Driver(haproxy.Config.model_validate(said))
        journal = Journal.open(folder / "journal", self._clock, Random(1))
        role = BalancerRole("haproxy", driver, journal.steps("balancer"), self._clock)
        believe = partial(open_assignment, controller_keys=[self._controller.public_key], node=NODE)
        speaker = Speaker(NODE, "1.0.0", "linux", ["balancer"])
        reporter = Reporter(speaker, journal, self._seal, lambda _: None, timedelta(seconds=30))
        return Agent(journal, [role], believe, reporter, lambda: None, 30.0)

    def _seal(self, report: Report) -> bytes:
        self.report = report
        return seal_report(report, self._key)


def measure(count: int) -> dict[str, float]:
    """CPU of a whole rolling deployment, and of a step of the loop."""
    with tempfile.TemporaryDirectory(prefix="drumbeat-balancer-") as folder, _haproxy(Path(folder), count) as site:
        desk = Desk(Path(folder), site)
        desk.move([], {ONLINE: "ready", MAINTENANCE: "maint"})
        desk.steps.clear()  # the configuration was read, and all servers seen
        for batch in _batches(list(site.services[0].servers)):
            for states in MOVES:
                desk.move(batch, states)
    spent, ordered = sum(desk.steps), sorted(desk.steps)
    return {
        "servers": count,
        "steps": len(ordered),
        "cpu_seconds": round(spent, 3),
        "step_ms_mean": round(1000 * spent / len(ordered), 2),
        "step_ms_p50": round(1000 * ordered[len(ordered) // 2], 2),
        "step_ms_worst": round(1000 * ordered[-1], 2),
    }


def _batches(names: list[str]) -> Iterator[list[str]]:
    size = batch_size(len(names))
    yield from (names[start : start + size] for start in range(0, len(names), size))


@contextmanager
def _haproxy(folder: Path, count: int) -> Iterator[Site]:
    """One whose servers are all up: they are a frontend of its own, which says yes to every check."""
    layout = Layout.of(folder, hosts=1)
    *binds, answering = (f"{layout.balancers[0].address}:{port}" for port in free_ports(3, layout.balancers[0].address))
    pools = ServicePools({f"vm{number}": answering for number in range(1, count + 1)}, *binds, ready=True)
    site, processes = Site(folder / NODE, [pools]), Processes(folder / "logs")
    write(site)
    with site.config_file.open("a", encoding="utf-8") as config:
        config.write(f"\nfrontend services\n    bind {answering}\n    http-request return status 200\n")
    try:
        process = processes.start(NODE, site.command(str(need_program("haproxy"))))
        _wait(lambda: all(row.status == "UP" for row in servers(site.socket, ONLINE).values()), process.check)
        yield site
    finally:
        processes.stop_all()


def _wait(condition: Callable[[], bool], check: Callable[[], None]) -> None:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        check()
        try:
            if condition():
                return
        except OSError:  # it does not listen yet
            pass
        time.sleep(0.05)
    raise TimeoutError("HAProxy's servers did not come up")


def main() -> int:
    """0 once it could be measured."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.balancer_agent", description=__doc__)
    parser.add_argument("--json", action="store_true", help="end with one object on a line")
    parser.add_argument("--servers", type=int, default=100, help="in each of both pools")
    options = parser.parse_args()
    found = measure(options.servers)
    print("\n".join(f"{name:<16}{value:g}" for name, value in found.items()))
    if options.json:
        print(json.dumps({"balancer_agent": found}))
    return 0


if __name__ == "__main__":
    sys.exit(main())

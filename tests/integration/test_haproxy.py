"""The balancer role beside real HAProxy: reloads, hangs, deaths; and journeys under load without a failed request."""

import contextlib
import http.client
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agent.drivers.contracts import Change
from agent.role import Observed
from agent.roles.balancer import BalancerRole
from bus.clock import SystemClock
from controller.demo.haproxy import Site, template
from controller.demo.load import read_tally
from crds.messages import PoolAssignment, ServerReport, ServerState, plain_digest
from tests.conformance.balancers.test_balancers import freeze, hold_request, thaw
from tests.support.haproxy import MAINTENANCE, ONLINE, App, HAProxy, pools, running
from tests.support.ports import own_address
from tests.support.roles import NOON, MemorySteps, assignment, servers
from tests.support.waiting import eventually

REPOSITORY = Path(__file__).parents[2]


class Agent:
    """The role beside one node, driven by a thread as the core would; tests ask and look."""

    def __init__(self, node: HAProxy, apps: list[App], timeout: float = 5.0) -> None:
        self.node = node
        self._addresses = {app.name: app.address for app in apps}
        self._serial = 0
        self._asked = assignment(0)
        self.role = BalancerRole("haproxy", node.driver(timeout), MemorySteps(), SystemClock())
        self._seen = Observed()
        self._end, self._woken = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def ask(self, spare: dict[str, ServerState] | None = None, **states: ServerState) -> None:
        self._serial += 1
        self._asked = assignment(
            self._serial,
            {
                ONLINE: PoolAssignment(servers=servers(self._addresses, **states)),
                MAINTENANCE: PoolAssignment(plain="maint", servers=servers(self._addresses, **(spare or {}))),
            },
        )
        self._woken.set()

    def wait(self, holds: Callable[[dict[str, ServerReport]], bool], pool: str = ONLINE, patience: float = 30) -> None:
        """Until the newest word of the node, read under the newest assignment, says so."""
        eventually(lambda: self._holds(holds, pool), patience)

    def settle(self, state: ServerState, name: str, pool: str = ONLINE) -> None:
        """Until the server is there: idle if out, up if ready."""
        self.wait(lambda seen: is_settled(seen[name], state), pool)

    def silent(self) -> bool:
        return self._seen.balancer is not None and not self._seen.balancer.reachable

    def worker(self) -> int:
        """The worker that it speaks of."""
        return int((self._seen.balancer.worker if self._seen.balancer else "0").partition("@")[0] or 0)

    @property
    def seen(self) -> Observed:
        return self._seen

    def close(self) -> None:
        self._end.set()
        self._woken.set()
        self._thread.join()

    def _holds(self, holds: Callable[[dict[str, ServerReport]], bool], pool: str) -> bool:
        report = self._seen.pools.get(pool)
        return report is not None and report.read.serial == self._serial and holds(report.servers)

    def _run(self) -> None:
        while not self._end.is_set():
            self._woken.clear()
            self._seen = self.role.converge(self._asked, NOON)
            self._woken.wait(self._seen.again_in)


def is_settled(server: ServerReport, state: ServerState) -> bool:
    if state == "ready":
        return server.admin == "ready" and server.up
    return server.admin == state and server.idle and server.old_workers == 0


@contextlib.contextmanager
def site(folder: Path, count: int, nodes: int = 1, timeout: float = 5.0) -> Iterator[tuple[list[App], list[Agent]]]:
    with running(folder, count, nodes) as (apps, balancers):
        agents = [Agent(balancer, apps, timeout) for balancer in balancers]
        try:
            yield apps, agents
        finally:
            for agent in agents:
                agent.close()


@contextlib.contextmanager
def load(node: HAProxy, folder: Path, rate: float = 150) -> Iterator[Path]:
    """Customers: keep-alive, close and POST. The tally is final when the block is left."""
    tally = folder / "tally.json"
    url = f"http://{node.site.services[0].bind}"
    command = [sys.executable, "-m", "controller.demo.load", "--url", url, "--tally", str(tally), "--rate", str(rate)]
    with subprocess.Popen(command, cwd=REPOSITORY) as customers:
        try:
            eventually(lambda: read_tally(tally).requests > 50)
            yield tally
        finally:
            customers.terminate()


def replace(app: App, agents: list[Agent], version: str) -> None:
    """One host's journey, as the controller leads it."""
    name = app.name
    for state in ("drain", "maint"):
        each(agents, lambda agent, state=state: agent.ask(**{name: state}))  # type: ignore[misc]
        each(agents, lambda agent, state=state: agent.settle(state, name))  # type: ignore[misc]
    app.stop()
    app.start(version)
    each(agents, lambda agent: agent.ask(spare={name: "ready"}, **{name: "maint"}))
    each(agents, lambda agent: agent.settle("ready", name, MAINTENANCE))
    each(agents, lambda agent: agent.ask(spare={name: "maint"}, **{name: "ready"}))
    each(agents, lambda agent: agent.settle("ready", name))
    each(agents, lambda agent: agent.settle("maint", name, MAINTENANCE))


def each(agents: list[Agent], do: Callable[[Agent], None]) -> None:
    for agent in agents:
        do(agent)


def test_three_hosts_on_two_nodes_are_replaced_without_a_failed_request(tmp_path: Path) -> None:
    with site(tmp_path, 3, nodes=2) as (apps, agents):
        with load(agents[0].node, tmp_path) as tally:
            for app in apps:
                replace(app, agents, "2.0")
                if app is apps[1]:
                    agents[0].node.reload()  # somebody reloads in the midst of it
            eventually(lambda: read_tally(tally).versions.get("2.0", 0) > 300)
        counted = read_tally(tally)
        assert counted.failed == 0, counted
        assert counted.versions["1.0"] > 50
        each(agents, lambda agent: agent.ask())
        expected = plain_digest({app.name: app.address for app in apps})
        for agent in agents:
            agent.wait(lambda seen: not seen)
            assert agent.seen.pools[ONLINE].plain_digest == expected


def test_without_waiting_for_idle_requests_fail(tmp_path: Path) -> None:
    """The load sees failures where there are some: the same journey, with services stopped while they serve."""
    with running(tmp_path, 2) as (apps, [node]), load(node, tmp_path) as tally:
        deadline = time.monotonic() + 30
        while read_tally(tally).failed == 0:
            assert time.monotonic() < deadline
            for app in apps:
                app.stop()
            for app in apps:
                app.start()


def test_a_reload_in_mid_drain_is_waited_out(tmp_path: Path) -> None:
    """A client that keeps its connection is served by the old worker, which cannot be told that the server is out."""
    with site(tmp_path, 1) as ([app], [agent]):
        host, _, port = agent.node.site.services[0].bind.rpartition(":")
        client = http.client.HTTPConnection(host, int(port), timeout=30)
        assert exchange(client) == 200
        agent.ask(vm1="drain")
        agent.wait(lambda seen: seen["vm1"].admin == "drain")
        agent.node.reload()
        agent.ask(vm1="maint")
        agent.wait(lambda seen: seen["vm1"].admin == "maint" and seen["vm1"].old_workers == 1)
        agent.wait(lambda seen: seen["vm1"].idle)
        assert app.process
        client.close()
        agent.settle("maint", "vm1")


def test_an_old_worker_that_does_not_answer_may_still_send_requests(tmp_path: Path) -> None:
    with running(tmp_path, 1) as (apps, [node]):
        driver = node.driver(timeout=0.5)
        end = hold_request(apps, node)
        eventually(lambda: driver.observe({ONLINE}).pools[ONLINE]["vm1"].sessions)
        driver.apply([Change(ONLINE, "vm1", "maint")])
        driver.save()
        old = node.worker()
        node.reload()
        os.kill(old, signal.SIGSTOP)
        try:
            assert driver.observe({ONLINE}).pools[ONLINE]["vm1"].old_workers == 1
        finally:
            os.kill(old, signal.SIGCONT)
        assert driver.observe({ONLINE}).pools[ONLINE]["vm1"].old_workers == 0, "it says that vm1 is in MAINT there"
        end()


def exchange(client: http.client.HTTPConnection) -> int:
    client.request("GET", "/")
    answer = client.getresponse()
    answer.read()
    return answer.status


def test_a_reload_that_forgets_everything_is_repaired_at_once(tmp_path: Path) -> None:
    with site(tmp_path, 2) as (_, [agent]):
        agent.ask(vm1="maint", vm2="drain")
        agent.settle("maint", "vm1")
        agent.settle("drain", "vm2")
        agent.node.site.state_file.unlink()
        agent.node.reload()
        begun = time.monotonic()
        eventually(lambda: admin_mask(agent.node, "vm1") & 1 and admin_mask(agent.node, "vm2") & 8)
        assert time.monotonic() - begun < 3.0, "a quarter of a second, on a machine that is not busy"
        eventually(lambda: agent.worker() == agent.node.worker())
        agent.node.reload()
        assert admin_mask(agent.node, "vm1") & 1, "what was asserted was saved, too"


def admin_mask(node: HAProxy, name: str) -> int:
    rows = [line.split() for line in node.tell(f"show servers state {ONLINE}").splitlines()]
    return next(int(row[6]) for row in rows if len(row) > 6 and row[3] == name)


def test_a_node_that_hangs_says_nothing_and_another_is_not_held_up(tmp_path: Path) -> None:
    with site(tmp_path, 2, nodes=2, timeout=0.3) as (_, agents):
        frozen = freeze(agents[0].node)
        try:
            each(agents, lambda agent: agent.ask(vm1="maint"))
            agents[1].settle("maint", "vm1")
            eventually(agents[0].silent)
            assert agents[0].seen.pools == {}
            assert agents[0].seen.balancer
            assert "does not answer" in agents[0].seen.balancer.message
        finally:
            thaw(frozen)
        agents[0].settle("maint", "vm1")


def test_a_killed_haproxy_comes_back_as_it_was(tmp_path: Path) -> None:
    with site(tmp_path, 2) as (_, [agent]):
        agent.ask(vm1="maint")
        agent.settle("maint", "vm1")
        agent.node.stop()
        eventually(agent.silent)
        agent.node.start()
        assert admin_mask(agent.node, "vm1") & 1, "not for a moment may it serve"
        agent.wait(lambda seen: is_settled(seen["vm1"], "maint"), patience=5)


def test_the_reload_script_saves_what_a_person_set_and_stops_at_mistakes(tmp_path: Path) -> None:
    with running(tmp_path, 2) as (_, [node]):
        node.tell(f"set server {ONLINE}/vm1 state maint")
        before = node.worker()
        assert reload_script(node.site).returncode == 0
        eventually(lambda: answered_by_another(node, before))
        assert admin_mask(node, "vm1") & 1
        good, worker = node.site.config_file.read_text(), node.worker()
        node.site.config_file.write_text(good + "\nnonsense\n")
        assert reload_script(node.site).returncode != 0
        node.site.config_file.write_text(good)
        node.site.state_file.write_text("kept")
        assert reload_script(node.site, "/dev/null/no.sock").returncode != 0
        assert (node.worker(), node.site.state_file.read_text()) == (worker, "kept")


def reload_script(site: Site, admin: str | None = None) -> "subprocess.CompletedProcess[bytes]":
    script = REPOSITORY / "deploy/haproxy/haproxy-reload"
    files = [site.config_file, site.state_file, admin or site.socket, site.master_socket]
    environment = {**os.environ, "PATH": os.environ["PATH"] + ":/usr/sbin"}
    return subprocess.run([script, *files], env=environment, stderr=subprocess.DEVNULL)


def answered_by_another(node: HAProxy, before: int) -> bool:
    with contextlib.suppress(OSError, IndexError):
        return node.worker() != before
    return False


def test_the_shipped_configuration_is_valid(tmp_path: Path) -> None:
    path = tmp_path / "haproxy.cfg"
    path.write_text(template())
    checked = subprocess.run(["haproxy", "-c", "-f", path], capture_output=True, text=True, env=with_sbin())
    assert checked.returncode == 0, checked.stderr


def with_sbin() -> dict[str, str]:
    return {**os.environ, "PATH": os.environ["PATH"] + ":/usr/sbin"}


@pytest.mark.parametrize(
    ("there", "instead", "words"),
    [
        ("    load-server-state-from-file global\n", "", "load-server-state-from-file global"),
        ("server-state-file", "#server-state-file", "has no server-state-file"),
        ("servers.state", "other.state", "servers.state"),
        ("\nbackend trading_online", "\nbackend renamed", "has no backend trading_online"),
    ],
)
def test_a_configuration_that_would_forget_is_noticed(tmp_path: Path, there: str, instead: str, words: str) -> None:
    with running(tmp_path, 1) as (_, [node]):
        driver = node.driver()
        assert driver.observe({ONLINE}).message == ""
        text = node.site.config_file.read_text()
        node.site.config_file.write_text(text.replace(there, instead, 1))
        seen = driver.observe({ONLINE})
        assert (seen.reload_safe, words in seen.message) == (False, True), seen.message


@pytest.mark.parametrize(
    ("there", "instead", "words"),
    [
        (" check\n", "\n", "no health check of its own"),
        ("fall 2", "fall 1", "fall 1"),
        (" check\n", " track trading_maintenance/vm1\n", "no 'track'"),
    ],
)
def test_servers_that_could_not_come_back_safely_are_refused(
    tmp_path: Path, there: str, instead: str, words: str
) -> None:
    app = App("vm1", tmp_path)
    node = HAProxy(Site(tmp_path / "lb", [pools([app])]))
    path = node.site.config_file
    path.write_text(path.read_text().replace(there, instead))
    try:
        app.start()
        node.start()
        driver = node.driver()
        for state in ("drain", "maint", "ready"):
            refused = driver.apply([Change(ONLINE, "vm1", state)])
            assert words in refused[ONLINE, "vm1"]
            driver.observe({ONLINE})  # what was read here is not read again
            assert driver.apply([Change(ONLINE, "vm1", state)]) == refused
    finally:
        node.stop()
        app.stop()


def test_a_mark_is_seen_and_our_own_state_is_kept_beside_it(tmp_path: Path) -> None:
    with site(tmp_path, 2) as (_, [agent]):
        agent.ask(vm1="maint")
        agent.settle("maint", "vm1")
        agent.node.tell(f"set server {ONLINE}/vm2 state drain")
        agent.wait(lambda seen: "vm2" in seen and seen["vm2"].by == "person")
        agent.node.tell(f"set server {ONLINE}/vm1 state ready")
        agent.wait(lambda seen: seen["vm1"].admin == "maint" and admin_mask(agent.node, "vm1") & 1 == 1)
        assert agent.seen.pools[ONLINE].servers["vm1"].by == "us"


def test_two_hundred_servers_cost_little(tmp_path: Path) -> None:
    """Generous bounds against the worst; figures are in the benchmarks."""
    apps = [App(f"vm{number}", tmp_path, f"{own_address()}:{10000 + number}") for number in range(200)]
    node = HAProxy(Site(tmp_path / "lb", [pools(apps)]))
    try:
        node.start()
        driver = node.driver()
        assert len(driver.observe({ONLINE, MAINTENANCE}).pools[ONLINE]) == 200
        begun = time.process_time()
        for _ in range(10):
            driver.observe({ONLINE, MAINTENANCE})
        assert (time.process_time() - begun) / 10 < 0.05
    finally:
        node.stop()

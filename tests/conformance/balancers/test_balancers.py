"""What every balancer driver must do. Drivers are found by themselves: a new module without a workshop here fails."""

import http.client
import pkgutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

import pytest

import agent.drivers.balancers
from agent.drivers.contracts import BalancerDriver, Change, Retry, Server
from agent.drivers.find import NoSuchDriver, find_driver
from crds.messages import AdminState
from tests.simulation.balancer import Line, SimBalancer
from tests.simulation.drivers import SimClock
from tests.support.haproxy import MAINTENANCE, ONLINE, App, HAProxy, running
from tests.support.waiting import eventually


class Shop(Protocol):
    """A balancer with vm1 and vm2 online and up, both disabled by configuration in the maintenance pool."""

    driver: BalancerDriver

    def stop_app(self, name: str) -> None: ...
    def start_app(self, name: str) -> None: ...
    def address(self, name: str) -> str: ...
    def hold(self) -> Callable[[], None]:
        """Begin a session with some server that lasts; returns what ends it."""
        ...

    def reload(self) -> None: ...
    def fall_silent(self) -> None: ...
    def speak_again(self) -> None: ...
    def wait(self, condition: Callable[[], bool]) -> None: ...
    def close(self) -> None: ...


class HAProxyShop:
    """The real one."""

    def __init__(self, tmp_path: Path) -> None:
        self._running = running(tmp_path, count=2)
        self._apps, (self._node,) = self._running.__enter__()
        self.driver: BalancerDriver = self._node.driver()
        self._frozen: list[int] = []

    def _app(self, name: str) -> App:
        return next(app for app in self._apps if app.name == name)

    def stop_app(self, name: str) -> None:
        self._app(name).stop()

    def start_app(self, name: str) -> None:
        self._app(name).start()

    def address(self, name: str) -> str:
        return self._app(name).address

    def hold(self) -> Callable[[], None]:
        return hold_request(self._apps, self._node)

    def reload(self) -> None:
        self._node.reload()

    def fall_silent(self) -> None:
        self.driver = self._node.driver(timeout=0.3)
        self._frozen = freeze(self._node)

    def speak_again(self) -> None:
        thaw(self._frozen)
        self.driver = self._node.driver()

    def wait(self, condition: Callable[[], bool]) -> None:
        eventually(condition, 20)  # HAProxy itself ends a request after 30 s

    def close(self) -> None:
        thaw(self._frozen)
        self._running.__exit__(None, None, None)


def freeze(node: HAProxy) -> list[int]:
    """Stop every process of it, as a machine that hangs."""
    import os
    import signal

    assert node.process is not None
    pids = [node.process.pid, *node.workers()]
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    return pids


def thaw(pids: list[int]) -> None:
    import contextlib
    import os
    import signal

    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)


def hold_request(apps: list[App], node: HAProxy) -> Callable[[], None]:
    """A request to which the service takes its time; it ends when the service is let go on."""
    import os
    import signal

    pids = [app.process.pid for app in apps if app.process]
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    host, _, port = node.site.services[0].bind.rpartition(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=60)
    connection.request("GET", "/quote")
    thread = threading.Thread(target=lambda: connection.getresponse().read(), daemon=True)
    thread.start()

    def end() -> None:
        thaw(pids)
        thread.join()
        connection.close()

    return end


class SimShop:
    """The simulator's."""

    def __init__(self, tmp_path: Path) -> None:
        self._clock = SimClock()
        self._dead: set[str] = set()
        lines = {name: f"10.0.0.{name[-1]}:80" for name in ("vm1", "vm2")}
        config = {
            ONLINE: {name: Line(address) for name, address in lines.items()},
            MAINTENANCE: {name: Line(address, disabled=True) for name, address in lines.items()},
        }
        self._sim = SimBalancer(self._clock, config, lambda address: address not in self._dead)
        self.driver: BalancerDriver = self._sim
        self._clock.advance(10)

    def stop_app(self, name: str) -> None:
        self._dead.add(self.address(name))

    def start_app(self, name: str) -> None:
        self._dead.discard(self.address(name))

    def address(self, name: str) -> str:
        return f"10.0.0.{name[-1]}:80"

    def hold(self) -> Callable[[], None]:
        self._sim.hold(ONLINE, "vm1", 5.0)
        return lambda: self._clock.advance(6.0)

    def reload(self) -> None:
        self._sim.reload()

    def fall_silent(self) -> None:
        self._sim.silent = True

    def speak_again(self) -> None:
        self._sim.silent = False

    def wait(self, condition: Callable[[], bool]) -> None:
        for _ in range(1000):
            if condition():
                return
            self._clock.advance(0.1)
        raise AssertionError(f"never came: {condition}")

    def close(self) -> None: ...


SHOPS: dict[str, Callable[[Path], Shop]] = {"haproxy": HAProxyShop, "simulated": SimShop}


def driver_names() -> list[str]:
    names = []
    for module in pkgutil.iter_modules(agent.drivers.balancers.__path__):
        try:
            find_driver("balancers", module.name)
        except NoSuchDriver:
            continue
        names.append(module.name)
    return [*names, "simulated"]


@pytest.fixture(params=driver_names())
def shop(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Shop]:
    made = SHOPS[request.param](tmp_path)
    yield made
    made.close()


def see(shop: Shop, name: str = "vm1", pool: str = ONLINE) -> Server:
    return shop.driver.observe({pool}).pools[pool][name]


def put(shop: Shop, state: AdminState, name: str = "vm1", pool: str = ONLINE) -> None:
    assert shop.driver.apply([Change(pool, name, state)]) == {}


def test_pools_are_shown_as_they_are(shop: Shop) -> None:
    seen = shop.driver.observe({ONLINE, MAINTENANCE, "nobody"})
    assert seen.reload_safe, seen.message
    assert seen.pools.keys() == {ONLINE, MAINTENANCE}
    assert seen.pools[ONLINE].keys() == {"vm1", "vm2"}
    online, spare = seen.pools[ONLINE]["vm1"], seen.pools[MAINTENANCE]["vm1"]
    assert (online.admin, online.by_config, online.up, online.sessions) == ("ready", False, True, 0)
    assert (spare.admin, spare.by_config, spare.up) == ("maint", True, False)
    assert online.address == spare.address == shop.address("vm1")
    assert shop.driver.observe(set()).worker == seen.worker


def test_a_drained_server_is_checked_on_and_may_be_made_ready(shop: Shop) -> None:
    put(shop, "drain")
    assert (see(shop).admin, see(shop).up, see(shop).fresh_drain) == ("drain", True, True)
    put(shop, "ready")
    assert (see(shop).admin, see(shop).fresh_drain) == ("ready", False)
    assert see(shop, "vm2").admin == "ready"


def test_a_server_in_maint_is_never_up(shop: Shop) -> None:
    put(shop, "maint")
    seen = see(shop)
    assert (seen.admin, seen.by_config, seen.up, seen.fresh_drain) == ("maint", False, False, False)


def test_leaving_maint_needs_a_check_that_succeeds_afterwards(shop: Shop) -> None:
    put(shop, "maint")
    shop.stop_app("vm1")
    put(shop, "drain")
    verdicts = []

    def down() -> bool:
        verdicts.append((see(shop).fresh_drain, see(shop).up))
        return see(shop).status.startswith("DOWN")

    shop.wait(down)
    assert set(verdicts) == {(False, False)}
    shop.start_app("vm1")
    shop.wait(lambda: see(shop).fresh_drain)
    put(shop, "ready")
    assert see(shop).up


def test_a_server_that_dies_is_not_up(shop: Shop) -> None:
    shop.stop_app("vm1")
    shop.wait(lambda: not see(shop).up)
    assert see(shop).admin == "ready"
    shop.start_app("vm1")
    shop.wait(lambda: see(shop).up)


def holding(shop: Shop) -> list[str]:
    seen = shop.driver.observe({ONLINE}).pools[ONLINE]
    return [name for name, server in seen.items() if server.sessions]


def test_a_session_is_counted_until_it_ends(shop: Shop) -> None:
    end = shop.hold()
    shop.wait(lambda: holding(shop) != [])
    (name, *_) = holding(shop)
    put(shop, "maint", name)
    assert see(shop, name).sessions > 0
    end()
    shop.wait(lambda: see(shop, name).sessions == 0)


def test_close_cuts_what_holds_on(shop: Shop) -> None:
    end = shop.hold()
    shop.wait(lambda: holding(shop) != [])
    assert shop.driver.apply([Change(ONLINE, name, "maint", close=True) for name in ("vm1", "vm2")]) == {}
    shop.wait(lambda: holding(shop) == [])
    end()


def test_a_reload_keeps_what_was_saved_and_has_another_worker(shop: Shop) -> None:
    before = shop.driver.observe(set()).worker
    put(shop, "maint")
    put(shop, "drain", "vm2")
    put(shop, "drain", "vm1", MAINTENANCE)
    shop.driver.save()
    shop.reload()
    seen = shop.driver.observe({ONLINE, MAINTENANCE})
    assert seen.worker != before
    assert [seen.pools[ONLINE][name].admin for name in ("vm1", "vm2")] == ["maint", "drain"]
    assert seen.pools[MAINTENANCE]["vm1"].admin == "drain"


def test_a_reload_forgets_what_was_not_saved(shop: Shop) -> None:
    shop.driver.save()
    put(shop, "maint")
    shop.reload()
    assert see(shop).admin == "ready"


def test_an_old_worker_counts_as_long_as_it_may_send_requests(shop: Shop) -> None:
    put(shop, "maint", "vm2")
    put(shop, "ready", "vm2", MAINTENANCE)  # anything but MAINT: a pool that tests use
    put(shop, "drain", "vm2", MAINTENANCE)
    end = shop.hold()
    shop.wait(lambda: "vm1" in holding(shop))
    put(shop, "drain")
    shop.driver.save()
    shop.reload()
    put(shop, "maint")
    seen = shop.driver.observe({ONLINE, MAINTENANCE}).pools
    assert (seen[ONLINE]["vm1"].admin, seen[ONLINE]["vm1"].old_workers) == ("maint", 1)
    assert seen[ONLINE]["vm1"].sessions > 0
    assert seen[ONLINE]["vm2"].old_workers == 0, "it was in MAINT before the reload already"
    assert seen[MAINTENANCE]["vm2"].old_workers == 1
    end()
    shop.wait(lambda: see(shop).old_workers == 0 and see(shop).sessions == 0)


def test_silence_is_an_error_that_may_pass(shop: Shop) -> None:
    shop.fall_silent()
    with pytest.raises(Retry):
        shop.driver.observe({ONLINE})
    with pytest.raises(Retry):
        put(shop, "drain")
    with pytest.raises(Retry):
        shop.driver.save()
    shop.speak_again()
    shop.wait(lambda: see(shop).up)


def test_what_is_not_there_cannot_be_set(shop: Shop) -> None:
    more = f"{ONLINE};set server {ONLINE}/vm1 state maint"
    wrong = [(ONLINE, "vm9"), ("nobody", "vm1"), (more, "vm1"), (ONLINE, f"vm9 state maint;{more}")]
    for place in wrong:
        assert shop.driver.apply([Change(*place, "drain")]).keys() == {place}
    assert shop.driver.observe({more}).pools == {}
    assert see(shop).admin == "ready"


def test_what_cannot_be_set_does_not_keep_the_others(shop: Shop) -> None:
    refused = shop.driver.apply(
        [Change(ONLINE, "vm9", "maint"), Change(ONLINE, "vm1", "drain"), Change(MAINTENANCE, "vm2", "drain")]
    )
    assert refused.keys() == {(ONLINE, "vm9")}
    assert (see(shop).admin, see(shop, "vm2", MAINTENANCE).admin) == ("drain", "drain")
    assert shop.driver.apply([]) == {}


def test_more_changes_than_one_question_holds(shop: Shop) -> None:
    states: list[AdminState] = ["drain", "maint"] * 300
    assert shop.driver.apply([Change(ONLINE, name, state) for state in states for name in ("vm1", "vm2")]) == {}
    assert (see(shop).admin, see(shop, "vm2").admin) == ("maint", "maint")

"""The balancer role against a simulated balancer: what it sets, when, and what it says."""

from collections.abc import Callable, Sequence
from datetime import timedelta

import pytest

from agent.drivers.contracts import Change
from agent.role import Observed
from agent.roles.balancer import BalancerRole
from crds.messages import (
    AdminState,
    BalancerReport,
    PoolAssignment,
    PoolReport,
    ServerReport,
    ServerState,
    Stamp,
    plain_digest,
)
from tests.simulation.balancer import Line, SimBalancer
from tests.simulation.drivers import SimClock
from tests.support.roles import NOON, MemorySteps, assignment, servers

ONLINE, SPARE = "online", "spare"
ADDRESS = {f"vm{number}": f"10.0.0.{number}:80" for number in (1, 2, 3)}


class Node:
    """A balancer with its agent's role; time moves only here."""

    def __init__(self, disabled: bool = False) -> None:
        self.clock = SimClock()
        self.dead: set[str] = set()
        config = {
            ONLINE: {name: Line(address, disabled) for name, address in ADDRESS.items()},
            SPARE: {name: Line(address, disabled=True) for name, address in ADDRESS.items()},
        }
        self.sim = SimBalancer(self.clock, config, lambda address: address not in self.dead)
        self.clock.advance(10)
        self.steps = MemorySteps()
        self.serial = 0
        self.asked = assignment(0)
        self.set: list[tuple[str, str, AdminState]] = []
        apply = self.sim.apply

        def recorded(changes: Sequence[Change]) -> dict[tuple[str, str], str]:
            refused = apply(changes)
            self.set += [(one.pool, one.server, one.state) for one in changes if one.place not in refused]
            return refused

        self.sim.apply = recorded  # type: ignore[method-assign]
        self.restart_agent()

    def restart_agent(self) -> None:
        self.role = BalancerRole("haproxy", self.sim, self.steps, self.clock)

    def ask(self, close: bool = False, spare: dict[str, ServerState] | None = None, **states: ServerState) -> Observed:
        """A new assignment for the online pool, and for the other one; what comes of it at once."""
        self.serial += 1
        self.asked = assignment(
            self.serial,
            {
                ONLINE: PoolAssignment(servers=servers(ADDRESS, close, **states)),
                SPARE: PoolAssignment(plain="maint", servers=servers(ADDRESS, **(spare or {}))),
            },
        )
        return self.look()

    def look(self) -> Observed:
        return self.role.converge(self.asked, NOON)

    def run(self, until: Callable[[Observed], bool], patience: float = 30.0) -> Observed:
        """Let time pass as the core would, until something is seen anew for which the condition holds."""
        end = self.clock.monotonic() + patience
        seen = self.look()
        while True:
            assert seen.again_in is not None
            assert self.clock.monotonic() < end, seen
            self.clock.advance(max(seen.again_in, 0.001))
            seen = self.look()
            if until(seen):
                return seen


def pool(seen: Observed, name: str = ONLINE) -> PoolReport:
    return seen.pools[name]


def server(seen: Observed, name: str = "vm1", where: str = ONLINE) -> ServerReport:
    return pool(seen, where).servers[name]


def balancer(seen: Observed) -> BalancerReport:
    assert seen.balancer
    return seen.balancer


@pytest.fixture
def node() -> Node:
    return Node()


def test_servers_that_are_not_named_are_counted_and_left_alone(node: Node) -> None:
    seen = node.ask()
    assert pool(seen) == PoolReport(read=Stamp(1, 1), plain_count=3, plain_digest=plain_digest(ADDRESS))
    assert pool(seen, SPARE).plain_digest == plain_digest(ADDRESS)
    assert balancer(seen) == BalancerReport(reachable=True, reload_safe=True, worker="worker-1")
    assert node.set == []


def test_a_server_that_is_not_plain_is_named(node: Node) -> None:
    node.ask()
    node.dead.add(ADDRESS["vm2"])
    seen = node.run(lambda seen: "vm2" in pool(seen).servers)
    assert (server(seen, "vm2").admin, server(seen, "vm2").up) == ("ready", False)
    others = {name: address for name, address in ADDRESS.items() if name != "vm2"}
    assert (pool(seen).plain_count, pool(seen).plain_digest) == (2, plain_digest(others))


def test_what_is_asked_is_set_and_read_back_in_the_same_pass(node: Node) -> None:
    seen = node.ask(vm1="drain")
    assert (server(seen).admin, server(seen).by, server(seen).read) == ("drain", "us", Stamp(1, 1))
    seen = node.ask(vm1="maint")
    assert (server(seen).admin, server(seen).read) == ("maint", Stamp(1, 2))
    assert node.set == [(ONLINE, "vm1", "drain"), (ONLINE, "vm1", "maint")]
    node.clock.advance(5)
    node.look()
    assert len(node.set) == 2, "nothing is left to do"


def test_what_is_asked_is_held_however_long_ago_it_was_asked(node: Node) -> None:
    """Expiry is for installations and operations. So an order that was withheld on the way is carried out late, unless
    a newer one was heard of (docs/SECURITY.md).
    """
    pools = {ONLINE: PoolAssignment(servers=servers(ADDRESS, vm1="drain"))}
    node.asked = assignment(1, pools, expires=NOON - timedelta(days=1))
    node.look()
    assert node.set == [(ONLINE, "vm1", "drain")]


def test_a_server_is_led_out_of_maint_through_drain_and_a_fresh_check(node: Node) -> None:
    node.ask(vm1="maint")
    node.dead.add(ADDRESS["vm1"])
    seen = node.ask(vm1="ready")
    assert server(seen).admin == "drain"
    node.clock.advance(5)
    assert server(node.look()).admin == "drain"
    assert not node.sim.serves(ONLINE, "vm1")
    node.dead.clear()
    seen = node.run(lambda seen: server(seen).up and server(seen).admin == "ready")
    assert [state for _, _, state in node.set] == ["maint", "drain", "ready"]


def test_drain_does_not_lead_back_from_maint(node: Node) -> None:
    """DRAIN admits clients with a cookie; a server in MAINT has none to wait for."""
    node.ask(vm1="maint")
    assert server(node.ask(vm1="drain")).admin == "maint"


def test_watching_changes_nothing(node: Node) -> None:
    node.sim.by_person(ONLINE, "vm1", "maint")
    seen = node.ask(vm1="watch", vm2="watch")
    assert pool(seen).servers.keys() == {"vm1", "vm2"}
    assert node.set == []


def test_another_address_is_not_touched(node: Node) -> None:
    wrong = servers({"vm1": "10.9.9.9:80"}, vm1="maint")
    node.asked = assignment(1, {ONLINE: PoolAssignment(servers=wrong)})
    seen = node.look()
    assert (server(seen).admin, server(seen).address) == ("ready", ADDRESS["vm1"])
    assert "10.9.9.9:80" in pool(seen).message
    assert node.set == []


def test_close_cuts_what_holds_on(node: Node) -> None:
    node.sim.hold(ONLINE, "vm1", 1000)
    seen = node.ask(vm1="maint")
    assert (server(seen).idle, server(seen).sessions) == (False, 1)
    assert server(node.ask(close=True, vm1="maint")).idle


def test_a_reload_that_forgets_is_repaired_within_a_second(node: Node) -> None:
    node.ask(vm1="maint", vm2="drain")
    node.clock.advance(60)
    node.look()
    node.sim.safe = False  # the worker that begins now reads no saved state
    node.sim.reload()
    node.sim.safe = True
    begun = node.clock.monotonic()
    assert node.sim.serves(ONLINE, "vm1")
    node.run(lambda seen: balancer(seen).worker == "worker-2", patience=1.0)
    assert node.clock.monotonic() - begun < 0.5
    assert not node.sim.may_send(ONLINE, "vm1")
    assert not node.sim.serves(ONLINE, "vm2")


def test_what_is_set_is_saved_so_that_a_reload_keeps_it(node: Node) -> None:
    node.ask(vm1="maint", vm2="drain")
    node.sim.reload()
    assert not node.sim.may_send(ONLINE, "vm1")


def test_what_is_asserted_again_is_saved_again(node: Node) -> None:
    """Somebody may have saved the state that was undone."""
    node.ask(vm1="maint")
    node.sim.by_person(ONLINE, "vm1", "ready")
    node.sim.save()
    node.run(lambda seen: node.set[1:] == [(ONLINE, "vm1", "maint")])
    node.sim.reload()
    assert not node.sim.may_send(ONLINE, "vm1")


def test_what_a_person_set_is_saved_too(node: Node) -> None:
    node.ask()
    node.sim.by_person(ONLINE, "vm3", "maint")
    node.run(lambda seen: "vm3" in pool(seen).servers)
    node.sim.reload()
    assert not node.sim.may_send(ONLINE, "vm3")


def test_old_workers_are_reported_until_they_end(node: Node) -> None:
    node.ask(vm1="drain")
    node.sim.hold(ONLINE, "vm1", 5)
    node.sim.reload()
    seen = node.ask(vm1="maint")
    assert (server(seen).admin, server(seen).old_workers, server(seen).idle) == ("maint", 1, False)
    node.run(lambda seen: server(seen).old_workers == 0 and server(seen).idle)


def test_silence_is_not_evidence(node: Node) -> None:
    node.ask(vm1="maint")
    node.sim.silent = True
    seen = node.run(lambda seen: not balancer(seen).reachable)
    assert seen.pools == {}
    assert "does not answer" in balancer(seen).message
    assert (seen.again_in or 1) < 0.1, "its socket may come back at once"
    node.clock.advance(30)
    assert (node.look().again_in or 0) <= 1
    node.sim.silent = False
    node.run(lambda seen: balancer(seen).reachable and server(seen).admin == "maint", patience=1.5)


def test_a_new_assignment_is_never_answered_from_memory(node: Node) -> None:
    node.ask(vm1="maint")
    node.sim.silent = True
    assert node.ask(vm1="maint", vm2="drain").pools == {}


def test_nothing_is_disrupted_where_a_reload_would_forget(node: Node) -> None:
    node.sim.safe = False
    seen = node.ask(vm1="drain", vm2="maint", spare={"vm1": "ready"})
    assert {server(seen, name).admin for name in ("vm1", "vm2")} == {"ready"}
    assert not balancer(seen).reload_safe
    assert "mend it" in balancer(seen).message
    assert "vm1" in pool(seen).message
    assert server(seen, "vm1", SPARE).admin == "ready", "no customer is there"
    node.sim.safe = True
    node.run(lambda seen: server(seen).admin == "drain" and server(seen, "vm2").admin == "maint", patience=2)


def test_a_state_that_cannot_be_saved_is_as_unsafe(node: Node) -> None:
    node.sim.full_disk = True
    seen = node.ask(vm1="drain")
    assert server(seen).admin == "ready"
    assert not balancer(seen).reload_safe
    assert "no space" in balancer(seen).message
    node.sim.full_disk = False
    node.run(lambda seen: server(seen).admin == "drain" and balancer(seen).reload_safe, patience=2)


def test_the_intent_is_journaled_before_it_is_set(node: Node) -> None:
    apply, journaled = node.sim.apply, []

    def checked(changes: Sequence[Change]) -> dict[tuple[str, str], str]:
        journaled.extend(node.steps.load()["intents"][" ".join(one.place)] for one in changes)
        return apply(changes)

    node.sim.apply = checked  # type: ignore[method-assign]
    node.ask(vm1="maint")
    assert journaled == ["maint"]


def test_a_persons_mark_is_told_from_ours(node: Node) -> None:
    node.ask(vm1="maint")
    node.sim.by_person(ONLINE, "vm2", "drain")
    seen = node.ask(vm1="maint", vm2="watch")
    assert (server(seen).by, server(seen, "vm2").by) == ("us", "person")


@pytest.mark.parametrize("restart", [False, True])
def test_our_own_state_stays_ours_when_it_is_no_longer_named(node: Node, restart: bool) -> None:
    node.ask(vm1="maint")
    if restart:
        node.restart_agent()
    assert server(node.ask()).by == "us"


def test_a_mark_on_a_line_that_begins_disabled_is_a_persons_and_stays_so_over_restarts() -> None:
    node = Node(disabled=True)
    assert server(node.ask(vm1="watch")).by == "config"
    node.ask(vm1="ready")
    node.run(lambda seen: server(seen).up and server(seen).admin == "ready")
    node.ask()
    node.sim.by_person(ONLINE, "vm1", "maint")
    node.clock.advance(2)
    assert server(node.look()).by == "person"
    node.restart_agent()
    node.sim.reload()
    assert server(node.ask()).by == "person"


def test_a_server_that_a_person_takes_out_after_it_was_made_ready_stays_out(node: Node) -> None:
    node.ask(vm1="maint")
    node.ask(vm1="ready")
    node.run(lambda seen: server(seen).admin == "ready")
    node.sim.by_person(ONLINE, "vm1", "maint")
    node.clock.advance(5)
    seen = node.look()
    assert (server(seen).admin, server(seen).by) == ("maint", "person")
    node.clock.advance(5)
    assert server(node.look()).admin == "maint"
    node.ask(vm1="maint")
    node.ask(vm1="ready")
    node.run(lambda seen: server(seen).admin == "ready" and server(seen).up)


def test_what_a_reload_brings_back_is_not_a_persons(node: Node) -> None:
    node.ask(vm1="maint")
    node.ask(vm1="ready")
    node.run(lambda seen: server(seen).admin == "ready" and server(seen).up)
    node.sim.config[ONLINE]["vm1"] = Line(ADDRESS["vm1"], disabled=True)
    node.sim.safe = False
    node.sim.reload()
    node.sim.safe = True
    node.run(lambda seen: server(seen).admin == "ready" and server(seen).up, patience=5)


def test_unknown_pools_servers_and_drivers_are_said_in_words(node: Node) -> None:
    missing = servers({"vm9": "10.0.0.9:80"}, vm9="drain")
    node.asked = assignment(
        1,
        {
            ONLINE: PoolAssignment(servers=missing),
            "nowhere": PoolAssignment(),
            "elsewhere": PoolAssignment(driver="other"),
        },
    )
    seen = node.look()
    assert "vm9" in pool(seen).message
    assert (pool(seen, "nowhere").known, pool(seen, "elsewhere").known) == (False, False)
    assert "other" in pool(seen, "elsewhere").message


def test_it_looks_often_only_while_something_moves(node: Node) -> None:
    assert node.ask().again_in == 1.0
    node.sim.hold(ONLINE, "vm1", 1000)
    assert node.ask(vm1="drain").again_in == pytest.approx(0.05)
    assert node.ask(vm2="maint").again_in == 0.25
    node.ask(vm1="drain")
    node.clock.advance(40)
    node.look()
    assert (node.look().again_in or 0) > 0.5, "a drain that holds for long is looked at less and less"

"""What the balancer role reads again after it has set something."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from agent.drivers.contracts import Change, Snapshot
from crds.messages import plain_digest
from tests.unit.test_balancer_role import ADDRESS, ONLINE, SPARE, Node, balancer, pool, server


@pytest.fixture
def node() -> Node:
    return Node()


def test_after_a_change_only_its_pools_are_read_back(node: Node) -> None:
    node.ask()
    observe, asked = node.sim.observe, list[set[str]]()
    node.sim.observe = lambda pools: (asked.append(set(pools)), observe(pools))[1]  # type: ignore[method-assign]
    seen = node.ask(vm1="drain")
    assert asked == [{ONLINE, SPARE}, {ONLINE}]
    assert server(seen).admin == "drain" and pool(seen, SPARE).plain_digest == plain_digest(ADDRESS)


def test_all_is_read_anew_if_a_reload_came_between_a_change_and_its_reading_back(node: Node) -> None:
    node.ask(spare={"vm2": "ready"})
    apply = node.sim.apply

    def reloaded(changes: Sequence[Change]) -> dict[tuple[str, str], str]:
        refused = apply(changes)
        node.sim.by_person(SPARE, "vm2", "maint")
        node.sim.save()
        node.sim.reload()
        return refused

    node.sim.apply = reloaded  # type: ignore[method-assign]
    seen = node.ask(vm1="drain", spare={"vm2": "ready"})
    assert balancer(seen).worker == "worker-2"
    assert server(seen, "vm2", SPARE).admin == "maint"


def test_a_pool_that_a_reload_would_forget_is_told_of_also_when_only_another_is_read_back(node: Node) -> None:
    node.ask(vm1="maint")
    observe = node.sim.observe

    def unsafe(pools: set[str]) -> Snapshot:
        return replace(observe(pools), reload_safe=False, message="mend it") if SPARE in pools else observe(pools)

    node.sim.observe = unsafe  # type: ignore[method-assign]
    seen = node.ask(vm1="ready")
    assert server(seen).admin == "drain"
    assert (balancer(seen).reload_safe, balancer(seen).message) == (False, "mend it")

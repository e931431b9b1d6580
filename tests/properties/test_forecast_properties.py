"""What is foretold is what then happens, and nobody who asks changes anything."""

import re
from collections.abc import Set
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from controller.supposing import changed, suppose
from controller.world import World
from reconcilers.forecast import Forecast
from reconcilers.target import TargetSpec
from tests.properties.test_world_properties import Histories, from_nothing, spec_of
from tests.support.site import Site, converged, ran
from tests.support.worlds import NODES, ONLINE, hosts, pool, target

MOST = 9
_BATCH = re.compile(r"batch (\d+): (.*)")
amounts = st.sampled_from([1, 2, 3, "25%", "50%", "100%"])
few_hosts = st.sets(st.sampled_from([f"vm{number}" for number in range(1, MOST + 1)]), max_size=2)
rollouts = st.fixed_dictionaries(
    {"batches": st.lists(amounts, min_size=1, max_size=3), "max_unavailable": amounts, "soak": st.just("0s")}
)
NO_TROUBLE = {"silent": set[str](), "marked": set[str]()}
troubles = st.fixed_dictionaries({"silent": few_hosts, "marked": few_hosts})


def foretold(world: World, now: Any, *specs: TargetSpec) -> dict[str, Forecast]:
    """What would happen if these specs were declared beside those that are."""
    wanted = {**world.declared, **{spec.name: spec for spec in specs}}
    return {name: suppose(world, wanted[name]).forecast(wanted, now) for name in changed(world, wanted)}


def began(site: Site) -> list[tuple[int, set[str]]]:
    """The batches that were begun, as the events say."""
    found = [_BATCH.fullmatch(event.message) for event in ran(site, "BatchStarted")]
    return [(int(match[1]), set(match[2].split(", "))) for match in found if match]


def batches_of(said: Forecast, under_way: bool = False) -> list[tuple[int, set[str]]]:
    """Up to one for which the budget has no room at all: hosts that are missing would have to come back first."""
    cut = next((place for place, each in enumerate(said.batches, 1) if each.waits), len(said.batches))
    return [(each.number, set(each.hosts)) for each in said.batches[:cut] if each.under_way is under_way]


def in_trouble(site: Site, trouble: dict[str, set[str]]) -> None:
    site.behaviour.silent = set(trouble["silent"])
    if NODES[0] in site.agents:
        site.agents[NODES[0]].marked = {(ONLINE, host): "maint" for host in trouble["marked"]}


def without_lines(site: Site, gone: Set[str]) -> None:
    """Whoever takes a host out of the fleet takes its server lines out, too."""
    for node in NODES:
        for servers in site.agents[node].admin.values() if node in site.agents else ():
            for host in gone:
                servers.pop(host, None)


@given(
    before=st.integers(1, MOST),
    after=st.integers(1, MOST),
    zones=st.sampled_from(["a", "ab", "aab", "abc"]),
    pools=st.sampled_from([(pool(),), ()]),
    version=st.sampled_from(["1", "2", "2", "2", None]),
    mode=st.sampled_from(["manage", "manage", "", "adopt", "observe"]),
    rollout=rollouts,
    trouble=st.one_of(st.just(NO_TROUBLE), troubles),
)
@settings(max_examples=60, deadline=None)
def test_the_batches_that_are_foretold_are_those_that_then_happen(
    before: int,
    after: int,
    zones: str,
    pools: Any,
    version: str | None,
    mode: Any,
    rollout: dict[str, Any],
    trouble: dict[str, set[str]],
) -> None:
    old = target("1", hosts=hosts(before, zones), pools=pools, downtime="allowed", **rollout)
    new = target(version, hosts=hosts(after, zones), pools=pools, downtime="allowed", mode=mode, **rollout)
    site = converged(old)
    site.install(new)
    in_trouble(site, trouble)
    site.run(100)
    site.events.clear()

    said = foretold(site.world, site.now, new).get(new.name)
    site.declare(new)
    without_lines(site, old.hosts.keys() - new.hosts.keys())
    site.decide()
    site.run(120)

    assert began(site) == (batches_of(said) if said else [])


@given(count=st.integers(2, MOST), rollout=rollouts, rounds=st.integers(0, 20))
@settings(max_examples=40, deadline=None)
def test_in_the_midst_of_a_rollout_hosts_under_way_come_first(count: int, rollout: dict[str, Any], rounds: int) -> None:
    site = converged(target("1", count, **rollout))
    site.declare(target("2", count, **rollout))
    site.decide()
    site.run(rounds)
    site.events.clear()
    newer = target("3", count, **rollout)

    said = foretold(site.world, site.now, newer)[newer.name]
    site.declare(newer)
    site.decide()
    turned = {(journey.batch, host) for host, journey in site.journeys().items() if journey.step != "waiting"}
    site.run(120)

    first = batches_of(said, under_way=True)
    assert (turned == {(number, host) for number, moving in first for host in moving}) or not first
    assert began(site) == batches_of(said)


class Asked(Histories):
    """After any history: who asks what another commit would do leaves no trace."""

    def teardown(self) -> None:
        site, wanted = self.site, [spec_of("api@prod", "9", 3), spec_of("web@prod", None, 4)]
        before, dirty = from_nothing(site.world), set(site.world.dirty)
        again = [foretold(site.world, site.now, *wanted) for _ in range(2)]
        assert again[0] == again[1]
        assert site.world.dirty == dirty
        for name in site.world.specs:
            assert site.world.index(name) == before.index(name)
            assert site.world.journeys.get(name, {}) == before.journeys.get(name, {})
        assert site.world.fleets.indexes == before.fleets.indexes
        assert site.world.statuses == before.statuses


Asked.TestCase.settings = settings(max_examples=20, stateful_step_count=15, deadline=None)
TestAsked = Asked.TestCase

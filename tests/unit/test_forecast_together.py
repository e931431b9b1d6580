"""Forecasts of what one commit changes together: who begins first takes places of the fleet, and others wait for it."""

from dataclasses import replace

from controller.supposing import changed, suppose
from reconcilers.assuming import assumed_forecasts
from reconcilers.forecast import Beginnings, Forecast
from reconcilers.limits import FleetLimits
from reconcilers.target import TargetSpec
from tests.support.site import Site, converged
from tests.support.worlds import NOW, pool, target


def reasons(said: Forecast) -> list[str]:
    return [each.reason for each in said.obstacles]


def together(site: Site, *specs: TargetSpec) -> dict[str, Forecast]:
    wanted = {**site.world.declared, **{spec.name: spec for spec in specs}}
    begun = Beginnings()
    return {
        name: suppose(site.world, wanted[name]).forecast(wanted, site.now, begun)
        for name in changed(site.world, wanted)
    }


def two(version: str, **places: int) -> tuple[TargetSpec, TargetSpec]:
    """Two services on the same hosts of a fleet with these limits; a limit of zones is named by the zone."""
    named = {f"zone/{name}" if name in "ab" else name: number for name, number in places.items()}
    limits = FleetLimits("prod", named, {"hosts": 4, "zone/a": 2, "zone/b": 2})
    web = (pool("web", maintenance="web_tests"),)
    return target(version, limits=limits), target(version, name="web@prod", pools=web, limits=limits)


def test_of_two_rollouts_that_one_commit_brings_the_second_waits_where_the_fleet_allows_one() -> None:
    site = converged(*two("1", rollouts=1))
    said = together(site, *two("2", rollouts=1))

    assert reasons(said["api@prod"]) == []
    assert [(each.reason, each.message) for each in said["web@prod"].obstacles] == [
        ("RolloutsLimited", "1 rollout is under way on fleet prod (api@prod), and its limits allow 1")
    ]
    assert said["web@prod"].batches[0].hosts == ("vm1",), "it begins once the other is done"
    alone = together(site, two("2", rollouts=1)[1])
    assert reasons(alone["web@prod"]) == []


def test_the_canary_of_the_second_is_in_another_zone_where_each_has_one_place() -> None:
    site = converged(*two("1", a=1, b=1))
    said = together(site, *two("2", a=1, b=1))
    site.declare(*two("2", a=1, b=1))
    site.run(1)

    for name, found in said.items():
        assert tuple(site.journeys(name)) == found.batches[0].hosts
    assert [found.batches[0].hosts for found in said.values()] == [("vm1",), ("vm2",)]
    assert not any(each.waits for found in said.values() for each in found.batches)


def test_who_waits_for_something_else_takes_no_place_from_others() -> None:
    site = converged(*two("1", rollouts=1))
    first, second = two("2", rollouts=1)
    said = together(site, replace(first, depends_on=("db@prod",)), second)

    assert (reasons(said["api@prod"]), reasons(said["web@prod"])) == (["DependsOn"], [])


def test_files_alone_know_the_limits_too() -> None:
    before, after = ({spec.name: spec for spec in two(version, rollouts=1)} for version in ("1", "2"))
    first, second = assumed_forecasts(before, after, NOW)

    assert (reasons(first), reasons(second)) == ([], ["RolloutsLimited"])

"""The emergency fix: a profile chosen by the version file, and a freeze passed with a reason."""

from dataclasses import replace
from datetime import timedelta

import pytest

from crds.desired import DesiredState
from reconcilers.target import TargetSpec, targets_of
from tests.support.bad_input import Case
from tests.support.site import converged, ran
from tests.support.state_files import SERVICE, VERSION, read
from tests.support.worlds import NOW, target
from tests.unit.test_freezes import freeze

S, V = "services/api.yaml", "versions/prod/api.yaml"
URGENT = SERVICE.replace(
    "soak: 30s}", "soak: 30s, deadline: 2m, profiles: {urgent: {batches: [1, 100%], maxUnavailable: 50%, soak: 0s}}}"
)


def taken(files: dict[str, str]) -> DesiredState:
    result = read({**files})
    assert result.state is not None, result.problems
    return result.state


def planned(files: dict[str, str]) -> TargetSpec:
    return targets_of(taken(files))["api@prod"]


def test_a_profile_is_laid_over_the_rollout_field_by_field() -> None:
    rollout = planned({S: URGENT, V: VERSION + "profile: urgent\n"}).rollout
    assert (rollout.batches, rollout.max_unavailable, rollout.soak) == ([1, "100%"], "50%", 0.0)
    assert rollout.deadline == 120.0


def test_without_it_nothing_changes_and_what_is_not_chosen_makes_no_difference() -> None:
    assert planned({S: URGENT}).rollout.soak == 30.0
    another = URGENT.replace("soak: 0s", "soak: 1s")
    assert planned({S: URGENT}).fingerprint == planned({S: another}).fingerprint


def test_neither_is_part_of_the_release() -> None:
    urgent = VERSION + 'profile: urgent\nbreakGlass: {reason: "customers cannot pay"}\n'
    assert planned({S: URGENT, V: urgent}).digest == planned({}).digest


CASES = [
    Case(
        "a profile that is misspelt",
        {S: URGENT, V: VERSION + "profile: urgnt\n"},
        "versions/prod/api.yaml:4:10: error: profile: service api has no profile urgnt (did you mean urgent?)",
    ),
    Case(
        "a profile that is nowhere",
        {V: VERSION + "profile: urgent\n"},
        "versions/prod/api.yaml:4:10: error: profile: service api has no profile urgent (add it to "
        "spec.rollout.profiles in services/api.yaml, or leave it out)",
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_an_unknown_profile_is_refused(case: Case) -> None:
    case.check()


def test_a_glass_is_not_broken_without_a_reason() -> None:
    assert read({V: VERSION + 'breakGlass: {reason: ""}\n'}).state is None
    assert read({V: VERSION + "breakGlass: {}\n"}).state is None


def test_a_deployment_with_a_reason_passes_a_freeze_and_is_put_on_record_once() -> None:
    window = {"from": f"{NOW - timedelta(days=1):%Y-%m-%d %H:%M}", "until": f"{NOW + timedelta(days=9):%Y-%m-%d %H:%M}"}
    frozen = (freeze("closing", {**window, "timezone": "UTC"}),)
    site = converged(target("1", batches=[1]))
    fix = replace(target("2", batches=["100%"]), freezes=frozen)
    site.declare(fix)
    site.run(30)
    assert site.condition("Reconciling")[1] == "Frozen"
    site.declare(replace(fix, break_glass="customers cannot pay"))
    site.run(90)
    assert set(site.versions().values()) == {"2"}
    assert [event.message for event in ran(site, "GlassBroken")] == ["customers cannot pay"]

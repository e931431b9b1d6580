"""Targets on a pretend site that wait for each other."""

from typing import Any

import pytest

from crds.status import ProvenEdition, RolloutStatus
from reconcilers.operators import Refused
from reconcilers.order import halted, noted
from reconcilers.target import TargetSpec
from tests.support.commands import command
from tests.support.site import Site
from tests.support.worlds import NOW, pool, release, seconds, target


def api(version: str, **more: Any) -> TargetSpec:
    return target(version, **more)


def web(version: str, name: str = "web@prod", **more: Any) -> TargetSpec:
    """On the same hosts, in pools of its own."""
    return target(version, name=name, pools=(pool("web", maintenance="web_tests"),), **more)


def site(*specs: TargetSpec) -> Site:
    """Where these are ready."""
    made = Site(*specs)
    for _ in range(200):
        made.run(1)
        if all(made.condition("Ready", spec.name)[0] == "True" for spec in specs):
            return made
    raise AssertionError("never ready")


def versions(site: Site, name: str) -> set[str]:
    return set(site.versions(name).values())


def test_a_service_waits_until_what_it_depends_on_is_ready_with_its_release() -> None:
    there = site(api("1"), web("1"))
    there.declare(api("2"), web("2", depends_on=("api@prod",)))
    seen = []
    for _ in range(300):
        there.run(1)
        seen.append((versions(there, "api@prod"), versions(there, "web@prod")))
        if versions(there, "web@prod") == {"2"}:
            break
    begun = next(index for index, (_, web) in enumerate(seen) if web != {"1"})
    assert all(api == {"2"} for api, _ in seen[begun:])
    assert versions(there, "web@prod") == {"2"}


def test_it_says_what_it_waits_for() -> None:
    there = site(api("1"), web("1"))
    there.behaviour.stuck.add("vm1")
    there.declare(api("2"), web("2", depends_on=("api@prod",)))
    there.run(30)
    assert there.condition("Reconciling", "web@prod")[1:] == (
        "DependsOn",
        "waits until these are ready with their release: api@prod (3 of 4 hosts run 1, healthy and online)".replace(
            "3 of 4 hosts run 1", "0 of 4 hosts run 2"
        ),
    )


def test_what_is_not_new_here_waits_for_nobody() -> None:
    """A host that drifted is mended though a dependency is in trouble."""
    there = site(api("1"), web("1"))
    there.behaviour.stuck.add("vm1")
    there.declare(api("2"), web("1", depends_on=("api@prod",)))
    there.run(5)
    for node in ("lb1", "lb2"):
        there.agents[node].admin["web"]["vm4"] = "maint"
    there.run(60)
    assert "vm4" in there.serving("web", "lb1")


def test_later_waves_wait_until_earlier_ones_have_finished() -> None:
    there = site(api("1"), web("1"))
    there.behaviour.stuck.add("vm1")
    there.declare(api("2"), web("2", earlier=("api@prod",)))
    there.run(30)
    assert versions(there, "web@prod") == {"1"}
    assert there.condition("Reconciling", "web@prod")[1:] == ("Wave", "services of earlier waves come first: api@prod")
    there.behaviour.stuck.clear()
    there.run(200)
    assert versions(there, "web@prod") == {"2"}


def test_a_release_waits_until_it_was_ready_elsewhere_for_its_soak() -> None:
    first = {"name": "web@staging", "edition": "one"}
    there = site(api("1"), web("1", **first))
    there.declare(api("2", edition="two", after=("web@staging", 100.0)))
    there.run(30)
    assert versions(there, "api@prod") == {"1"}
    assert there.condition("Reconciling")[1:] == (
        "After",
        "version 2 of this revision of the service must first be ready on web@staging for 1m40s; "
        "web@staging declares version 1",
    )
    there.declare(web("2", name="web@staging", edition="two"))
    there.until(lambda site: site.condition("Ready", "web@staging")[0] != "True")
    there.until(lambda site: site.condition("Ready", "web@staging")[0] == "True", rounds=200)
    ready = there.now
    there.run(1)
    until = there.status("web@staging").editions[-1].ready_since
    assert until is not None
    at = f"{until + seconds(100):%H:%M:%S}"
    message = f"version 2 must first be ready on web@staging for 1m40s, which it is at {at} UTC"
    assert there.condition("Reconciling")[1:] == ("After", message)
    there.until(lambda site: bool(site.steps("api@prod")), rounds=200)
    assert (there.now - ready).total_seconds() >= 99
    there.run(100)
    assert versions(there, "api@prod") == {"2"}


def after(there: Site) -> str:
    """What api@prod says that it waits for on staging."""
    there.run(5)
    condition = there.condition("Reconciling")
    assert condition[1] == "After"
    return condition[2].partition("must first be ready on web@staging")[2]


def test_it_says_what_else_staging_declares_or_ran() -> None:
    there = site(api("1"), web("2", name="web@staging", edition="old"))
    there.declare(api("2", edition="new", after=("web@staging", 0.0)))
    assert after(there) == "; web@staging declares version 2 with another sha256"
    there.behaviour.stuck.add("vm1")
    changed = release("2").model_copy(update={"run": ["api", "--verbose"]})
    there.declare(web("2", name="web@staging", edition="new", release=changed))
    assert after(there) == "; version 2 was ready there with another revision of the service only"


def test_it_says_that_staging_was_taken_back() -> None:
    there = site(api("1"), web("1", name="web@staging", edition="old"))
    there.behaviour.failing.add("2")
    there.declare(web("2", name="web@staging", edition="new", on_failure="rollback"))
    there.until(lambda site: site.condition("Stalled", "web@staging")[1] == "RolledBack", rounds=200)
    there.declare(api("2", edition="new", after=("web@staging", 0.0)))
    assert after(there) == "; it was taken back there"


def test_a_soak_counts_when_staging_has_moved_on_since() -> None:
    there = site(api("1"), web("1", name="web@staging", edition="one"))
    there.run(200)
    there.declare(web("2", name="web@staging", edition="two"))
    there.until(lambda site: site.condition("Ready", "web@staging")[0] != "True")
    there.declare(api("2", edition="one", after=("web@staging", 150.0)))
    there.until(lambda site: bool(site.steps("api@prod")))


def test_a_soak_was_watched_elsewhere_however_new_the_target_is() -> None:
    there = site(web("1", name="web@staging", edition="one"))
    there.run(200)
    new = api("2", edition="one", after=("web@staging", 150.0))
    there.install(new)
    there.declare(new)
    there.run(5)
    assert there.steps("api@prod")


def test_a_soak_begins_anew_after_trouble_and_with_each_controller() -> None:
    there = site(api("1"), web("1", name="web@staging", edition="one"))
    there.run(80)
    there.restart()
    there.declare(api("2", edition="one", after=("web@staging", 100.0)))
    there.run(90)
    assert not there.steps("api@prod")
    there.agents["vm1"].runs["web@staging"] = ("drift", 7)
    there.behaviour.stuck.add("vm1")
    there.run(5)
    there.behaviour.stuck.clear()
    there.until(lambda site: site.condition("Ready", "web@staging")[0] == "True")
    there.run(90)
    assert not there.steps("api@prod")
    there.run(20)
    assert there.steps("api@prod") or versions(there, "api@prod") == {"2"}


def test_rollouts_of_one_revision_stop_once_it_failed_in_too_many_targets() -> None:
    there = site(api("1"), web("1"), target("1", name="job@prod", pools=(pool("job", maintenance="job_tests"),)))
    there.behaviour.failing.add("2")
    new = {"revision": "bad", "halt_after": 2}
    job = target("3", name="job@prod", pools=(pool("job", maintenance="job_tests"),), depends_on=("web@prod",), **new)
    there.declare(api("2", **new), web("2", **new), job)
    there.run(100)
    message = (
        "rollouts of its revision failed on api@prod, web@prod, and haltAfter is 2; "
        "it goes on with a newer revision, or once 'drumbeat rollout retry api@prod' lets 1 of them go on"
    )
    assert there.condition("Stalled", "job@prod") == ("True", "Halted", message)
    assert versions(there, "job@prod") == {"1"}
    fixed = target("4", name="job@prod", pools=(pool("job", maintenance="job_tests"),), revision="good", halt_after=2)
    there.declare(fixed)
    there.run(100)
    assert versions(there, "job@prod") == {"4"}


@pytest.mark.parametrize(
    ("failed", "words"),
    [
        (["api@prod", "job@prod", "web@prod"], "'drumbeat rollout retry TARGET' lets 2 of them go on"),
        (["api@prod", "job@prod"], "'drumbeat rollout retry api@prod' lets 1 of them go on"),
    ],
)
def test_no_single_one_is_named_where_several_must_be_let_go_on(failed: list[str], words: str) -> None:
    assert halted(target("1", halt_after=2), failed).endswith(f"or once {words}")


def test_whom_to_let_go_on_is_said_there_and_to_whoever_tries_the_wrong_one() -> None:
    there = site(api("1"), web("1"))
    there.behaviour.failing.add("2")
    new = {"revision": "bad", "halt_after": 1}
    there.declare(api("2", **new), web("3", depends_on=("api@prod",), **new))
    there.run(60)
    message = (
        "rollouts of its revision failed on api@prod, and haltAfter is 1; "
        "it goes on with a newer revision, or once 'drumbeat rollout retry api@prod' lets that one go on"
    )
    assert there.condition("Stalled", "web@prod") == ("True", "Halted", message)
    with pytest.raises(Refused) as refused:
        command(there, "retry", target="web@prod")
    assert str(refused.value) == f"web@prod has not failed itself: {message}"


def test_what_nobody_watched_proves_nothing_when_trouble_ends_it_either() -> None:
    """Ready when the controller went away for a day, and in trouble when it came back."""
    spec = web("1", name="web@staging", edition="one")
    before = RolloutStatus(
        target=spec.name, editions=[ProvenEdition(edition="one", version="1", ready_since=NOW, longest=5.0)]
    )
    back = NOW + seconds(86_400)
    after = noted(before, spec, ready=False, now=back + seconds(7), watching_since=back)
    assert [(each.ready_since, each.longest) for each in after.editions] == [(None, 7.0)]

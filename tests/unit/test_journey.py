"""Each step of a journey ends by evidence alone: read under the assignment that asked, from every balancer node."""

from dataclasses import replace

import pytest

from crds.messages import ServerReport, Stamp
from crds.status import Step
from reconcilers.entries import entries_for
from reconcilers.facts import HostFacts
from reconcilers.journey import advance, elapsed_of, wakes_at
from tests.support.journeys import fails, stays, step_after
from tests.support.worlds import (
    BEFORE,
    NODES,
    NOW,
    ONLINE,
    TESTS,
    pool,
    probe,
    process,
    scene,
    seconds,
    server,
    service,
    target,
)

GO_ON = {
    Step.DRAINING: Step.LEAVING,
    Step.LEAVING: Step.DEPLOYING,
    Step.DEPLOYING: Step.TESTING,
    Step.ENABLING: None,  # no soak: straight through
    Step.SOAKING: None,
}


@pytest.mark.parametrize("step", GO_ON)
def test_with_every_answer_there_the_host_goes_on(step: Step) -> None:
    assert step_after(scene(step)) is GO_ON[step]


def test_a_tested_host_is_enabled_once_its_gate_has_passed() -> None:
    assert step_after(scene(Step.TESTING).gated("passed")) is Step.ENABLING


@pytest.mark.parametrize("step", [Step.DRAINING, Step.LEAVING, Step.ENABLING, Step.SOAKING])
@pytest.mark.parametrize("node", NODES)
@pytest.mark.parametrize("kind", ["silent", "before it was asked", "another address"])
def test_each_balancer_node_must_confirm_under_the_assignment_that_asked(step: Step, node: str, kind: str) -> None:
    at = scene(step)
    said = at.servers[node, ONLINE]
    late = {
        "silent": None,
        "before it was asked": said.model_copy(update={"read": BEFORE}),
        "another address": said.model_copy(update={"address": "10.0.0.66:8080"}),
    }[kind]
    reason = stays(at.seeing(node, ONLINE, late))
    assert node in reason
    assert ONLINE in reason


@pytest.mark.parametrize("step", [Step.DRAINING, Step.LEAVING, Step.ENABLING])
def test_an_older_term_does_not_confirm_however_high_its_serial(step: Step) -> None:
    at = scene(step)
    former = at.servers["lb1", ONLINE].model_copy(update={"read": Stamp(0, 999)})
    assert "lb1" in stays(at.seeing("lb1", ONLINE, former))


@pytest.mark.parametrize(
    "said",
    [server("drain", idle=False, sessions=3), server("ready")],
    ids=["still busy", "still ready"],
)
def test_draining_waits_until_every_node_is_idle(said: ServerReport) -> None:
    assert "lb2" in stays(scene(Step.DRAINING).seeing("lb2", ONLINE, said))


def test_a_drain_that_takes_too_long_ends_in_maint() -> None:
    at = scene(Step.DRAINING, target(drain={"timeout": "30s"})).seeing(
        "lb2", ONLINE, server("drain", idle=False, sessions=3)
    )
    assert "3 sessions" in stays(at.after(29.9))
    assert step_after(at.after(30)) is Step.LEAVING


@pytest.mark.parametrize(
    "said",
    [
        server("drain", idle=True),
        server("maint", idle=False, sessions=1),
        server("maint", idle=True, old_workers=1),
    ],
    ids=["not in MAINT", "a session holds on", "a worker from before a reload lives"],
)
@pytest.mark.parametrize("node", NODES)
def test_a_host_is_out_only_in_maint_idle_and_with_old_workers_gone(node: str, said: ServerReport) -> None:
    assert node in stays(scene(Step.LEAVING).seeing(node, ONLINE, said))


def test_out_means_out_of_the_maintenance_pool_too() -> None:
    assert TESTS in stays(scene(Step.LEAVING).seeing("lb2", TESTS, server("ready")))


def test_a_host_that_was_never_asked_to_leave_is_not_out_though_it_seems_so() -> None:
    """MAINT by the configuration can end with the next reload, unless MAINT was asked and is asserted."""
    at = scene(Step.LEAVING).situation
    unasked = {key: entry for key, entry in at.facts.entries.items() if key[0] == "vm1"}
    journey = at.facts.journey
    assert journey is not None
    assert advance(journey, replace(at, facts=replace(at.facts, entries=unasked))) == journey


@pytest.mark.parametrize(
    ("policy", "closes"),
    [("hold", False), ("close", True)],
)
def test_what_holds_on_after_the_drain_is_cut_only_if_told(policy: str, closes: bool) -> None:
    spec = target(drain={"on_timeout": policy})
    known = scene(Step.LEAVING, spec).facts
    asked = entries_for(spec, known)
    assert ('"close":true' in asked["lb1", f"server/{ONLINE}/vm1"]) is closes
    draining = scene(Step.DRAINING, spec).facts
    assert "close" not in entries_for(spec, draining)["lb1", f"server/{ONLINE}/vm1"]


@pytest.mark.parametrize(
    ("running", "words"),
    [
        (None, "agent"),
        (service("2", read=BEFORE), "agent"),
        (service("1"), "running"),
        (service("2", healthy=False, message="503 from /health"), "503"),
        (service("2", healthy=None), "running"),
        (service("2", identity=None), "running"),
        (service("2", pid=1), "old process"),
        (service("2", state="installing", identity=None, healthy=None), "installing"),
        (service("2", state="expired", identity=None, healthy=None), "expired"),
    ],
)
def test_deployed_means_that_release_as_a_new_healthy_process(running: object, words: str) -> None:
    assert words in stays(scene(Step.DEPLOYING).but(running=running))


def test_a_silent_host_is_not_deployed_whatever_it_said_last() -> None:
    assert "agent" in stays(scene(Step.DEPLOYING).but(silent=True))


def test_the_same_process_will_do_where_it_ran_the_release_already() -> None:
    spec = target()
    at = scene(Step.DEPLOYING, spec, before=process(2), before_digest=spec.digest)
    assert step_after(at) is Step.TESTING


@pytest.mark.parametrize("state", ["failed", "crashing"])
def test_a_release_that_cannot_run_fails_the_host_with_its_own_words(state: str) -> None:
    running = service("2", state=state, healthy=False, message="exit code 3", log_tail=["boot", "no database"])
    failed = fails(scene(Step.DEPLOYING).but(running=running))
    assert failed.reason == f"{state}: exit code 3; its log ends: no database"
    assert failed.out


def test_a_host_that_somebody_took_out_meanwhile_is_not_put_online() -> None:
    at = scene(Step.TESTING).gated("passed").seeing("lb2", ONLINE, server("maint", by="person"))
    assert "somebody" in stays(at)


@pytest.mark.parametrize("said", [server("maint"), server("drain"), server("ready", up=False)])
def test_online_means_ready_and_up_as_every_node_sees_it(said: ServerReport) -> None:
    assert "lb2" in stays(scene(Step.ENABLING).seeing("lb2", ONLINE, said))


def test_a_host_soaks_for_its_time_and_health_is_read_again() -> None:
    at = scene(Step.SOAKING, target(soak="30s"))
    assert stays(at.after(29)) == "soaks"
    assert step_after(at.after(30)) is None
    assert "report" in stays(at.after(30).but(silent=True))
    assert "lb1" in stays(at.after(30).seeing("lb1", ONLINE, server(up=False)))


def test_a_host_that_gets_sick_while_it_soaks_has_failed() -> None:
    at = scene(Step.SOAKING, target(soak="30s")).but(running=service("2", healthy=False, message="503"))
    assert fails(at).reason == "unhealthy while it soaked: 503"


@pytest.mark.parametrize(
    "running", [service("2", healthy=None), service("1")], ids=["health unknown", "another release"]
)
def test_soaked_means_healthy_on_the_release(running: object) -> None:
    assert stays(scene(Step.SOAKING).but(running=running))


@pytest.mark.parametrize("running", [service("2", healthy=None), None], ids=["health unknown", "silent"])
def test_a_soak_does_not_wait_for_ever(running: object) -> None:
    at = scene(Step.SOAKING, target(soak="30s", deadline="10m")).but(running=running)
    assert stays(at.after(629))
    assert "soaking" in fails(at.after(631)).reason


def test_the_deadline_fails_a_host_with_what_it_waited_for() -> None:
    at = scene(Step.LEAVING, target(deadline="10m")).seeing("lb2", ONLINE, server("maint", idle=False, sessions=1))
    waiting = advance(at.journey, at.after(599).situation)
    assert waiting is not None
    failed = fails(at.but(journey=waiting).after(600))
    assert failed.reason.startswith("not back online within 10m: still leaving, waits for lb2")
    assert not failed.out


def test_only_observed_time_counts() -> None:
    at = scene(Step.DEPLOYING, target(deadline="10m")).but(running=None)
    away = at.but(watching_since=NOW + seconds(86_400), now=NOW + seconds(86_400))
    assert stays(away)
    assert stays(away.after(599))
    assert fails(away.after(600))


def test_time_that_was_watched_before_a_restart_is_not_forgotten_with_each_new_reason() -> None:
    at = scene(Step.DEPLOYING, target(deadline="10m")).but(running=service("1"))
    noted = advance(at.journey, at.after(400).situation)
    assert noted is not None
    restarted = at.but(journey=noted, watching_since=NOW + seconds(1000), now=NOW + seconds(1000))
    assert stays(restarted.after(199))
    assert fails(restarted.after(201))


def test_a_clock_that_was_set_back_neither_stops_the_deadline_nor_hastens_it() -> None:
    """What was noted an hour ahead counts as noted when somebody saw that the clock was wrong."""
    at = scene(Step.DEPLOYING, target(deadline="10m")).but(running=None)
    noted = at.journey.model_copy(update={"accounted": NOW + seconds(3600), "elapsed": 100.0})
    back = at.but(journey=noted, watching_since=NOW)
    assert stays(back.after(499))
    assert fails(back.after(500))
    uneven = noted.model_copy(update={"accounted": NOW + seconds(0.05)})
    assert elapsed_of(uneven, NOW, NOW - seconds(86_400)) == 100.0


@pytest.mark.parametrize("step", [Step.WAITING, Step.FAILED])
def test_waiting_and_failed_hosts_have_no_deadline(step: Step) -> None:
    at = scene(step).after(1e6)
    assert step_after(at) is step
    assert elapsed_of(at.journey, at.now, at.watching_since) == 0


def test_a_step_asks_before_it_believes() -> None:
    """DRAIN was answered; that MAINT is answered too must be read again."""
    assert step_after(scene(Step.DRAINING).seeing("lb1", ONLINE, server("maint"))) is Step.LEAVING


def test_changed_probes_are_asked_before_health_is_believed() -> None:
    at = scene(Step.DEPLOYING).situation
    changed = replace(at, target=replace(at.target, probes=(probe("/ready"),)))
    journey = at.facts.journey
    assert journey is not None
    assert advance(journey, changed) == journey


def test_a_service_without_pools_takes_the_same_journey_without_them() -> None:
    spec = target(pools=())
    assert step_after(scene(Step.DRAINING, spec)) is Step.DEPLOYING
    assert step_after(scene(Step.TESTING, spec)) is Step.TESTING
    assert step_after(scene(Step.TESTING, spec).gated("passed")) is None
    assert step_after(scene(Step.DEPLOYING, target(pools=(), gates=()))) is None


def test_a_host_in_several_pools_on_several_balancers_leaves_and_enters_all() -> None:
    spec = target(pools=(pool(), pool("admin", ("lb3",), "admin-tests", 9090)))
    assert step_after(scene(Step.LEAVING, spec)) is Step.DEPLOYING
    for name in ("admin", "admin-tests"):
        busy = server("maint", idle=False, address="10.0.0.1:9090")
        assert "lb3" in stays(scene(Step.LEAVING, spec).seeing("lb3", name, busy))
    assert "lb3" in stays(scene(Step.TESTING, spec).gated("passed").seeing("lb3", "admin-tests", None))
    assert "lb3" in stays(scene(Step.ENABLING, spec).seeing("lb3", "admin", None))


def test_an_absent_service_is_done_once_it_is_gone() -> None:
    spec = target(None)
    at = scene(Step.DEPLOYING, spec)
    assert "running" in stays(at.but(running=service("1")))
    assert step_after(at.but(running=service("1", state="absent", identity=None, healthy=None))) is None
    before = service("1", state="absent", identity=None, healthy=None, read=BEFORE)
    assert "agent" in stays(at.but(running=before))


def test_a_removed_service_stays_out_of_the_pools() -> None:
    spec = target(None)
    done = replace(scene(Step.DEPLOYING, spec).facts, journey=None)
    assert '"state":"maint"' in entries_for(spec, done)["lb1", f"server/{ONLINE}/vm1"]


def test_a_host_that_is_only_watched_is_not_thrown_out_when_its_service_is_to_be_removed() -> None:
    spec = target(None)
    unclear = frozenset({("lb1", ONLINE)})
    watched = replace(scene(Step.FAILED, spec, out=False).facts, journey=None, unclear=unclear)
    assert '"watch"' in watched.entries["lb1", f"server/{ONLINE}/vm1"].value
    assert not any('"maint"' in value for value in entries_for(spec, watched).values())


def test_a_failed_host_is_not_given_a_release_that_it_was_not_given_before() -> None:
    """It left the pools for an older release, and failed before it was confirmed out for this one."""
    spec = target("3")
    known = scene(Step.LEAVING, spec, out=True).facts
    journey = known.journey
    assert journey is not None
    failed: HostFacts = replace(known, journey=journey.model_copy(update={"step": Step.FAILED}))
    assert entries_for(spec, failed)["vm1", "service"] == known.entries["vm1", "service"].value


@pytest.mark.parametrize("step", [Step.DRAINING, Step.LEAVING, Step.DEPLOYING, Step.TESTING, Step.SOAKING])
def test_at_the_time_for_which_a_journey_asks_it_moves(step: Step) -> None:
    """Floating point must not have it wake a moment early, and then never again."""
    spec = target(soak="30s", drain={"timeout": "30s"})
    for number in range(300):
        spent = round(0.1 + number * 1.372141, 6)
        at = scene(step, spec, elapsed=spent, entered=spent).after(number * 0.000_07)
        if step is not Step.SOAKING:
            at = at.but(running=service("1")).seeing("lb1", ONLINE, None)
        wake = wakes_at(at.journey, spec, at.now, at.watching_since)
        assert wake is not None
        assert step_after(at.but(now=wake)) is not step

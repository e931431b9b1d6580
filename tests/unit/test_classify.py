"""Where a host stands: what the counts, the budget and the choice of the next hosts rest upon."""

import pytest

from crds.messages import ServiceReport
from crds.status import Step
from reconcilers.classify import Standing, classify
from reconcilers.facts import HostFacts
from tests.support.worlds import ASKED, BEFORE, ONLINE, everywhere, facts, journey, scene, server, service, target

SPEC = target()


def standing(known: HostFacts) -> Standing:
    return classify(SPEC, known).standing


def test_the_release_healthy_and_online_everywhere_is_current() -> None:
    found = classify(SPEC, facts(SPEC, service("2")))
    assert (found.standing, found.available) == (Standing.CURRENT, True)


def test_another_release_is_outdated_and_serves() -> None:
    found = classify(SPEC, facts(SPEC, service("1")))
    assert (found.standing, found.available) == (Standing.OUTDATED, True)


def test_a_host_whose_process_ends_again_and_again_does_not_serve_whoever_answers_at_its_port() -> None:
    """Found by the simulator: a process that nobody knew of held the port, and the balancer saw the host up."""
    crashing = service("1", state="crashing", identity=None, healthy=None)
    assert not classify(SPEC, facts(SPEC, crashing)).available


def test_a_process_that_ended_often_and_is_up_again_serves_and_has_not_proven_itself() -> None:
    """Found by the simulator: whoever counts it as missing takes it out however many are, and customers lose it."""
    crashing = service("2", state="crashing", message="restarted: the process before exited with status 3")
    found = classify(SPEC, facts(SPEC, crashing))
    assert (found.standing, found.available) == (Standing.UNHEALTHY, True)
    assert found.why == crashing.message


def test_a_host_that_never_ran_the_service_is_outdated() -> None:
    known = HostFacts(host=SPEC.hosts["vm1"], silent=False, servers=everywhere(SPEC, server("maint", by="config")))
    found = classify(SPEC, known)
    assert (found.standing, found.available) == (Standing.OUTDATED, False)


def test_a_silent_host_is_unknown_and_unavailable_whatever_it_said_last() -> None:
    found = classify(SPEC, facts(SPEC, service("2"), silent=True))
    assert (found.standing, found.available) == (Standing.UNKNOWN, False)
    assert found.why == "its agent does not report"


def test_a_balancer_node_that_does_not_know_the_host_makes_it_unknown() -> None:
    servers = everywhere(SPEC, server())
    del servers["lb2", ONLINE]
    found = classify(SPEC, facts(SPEC, service("2"), servers))
    assert (found.standing, found.available) == (Standing.UNKNOWN, False)
    assert "lb2" in found.why
    assert ONLINE in found.why


@pytest.mark.parametrize("state", ["maint", "drain"])
def test_a_mark_that_a_person_set_on_any_node_excludes_the_host(state: str) -> None:
    servers = everywhere(SPEC, server()) | {("lb2", ONLINE): server(state, by="person")}
    found = classify(SPEC, facts(SPEC, service("1"), servers))
    assert (found.standing, found.available) == (Standing.EXCLUDED, False)
    assert found.why == f"somebody set it to {state.upper()} in pool {ONLINE} on lb2"


def test_a_host_that_runs_the_release_but_was_never_put_online_is_out() -> None:
    servers = everywhere(SPEC, server()) | {("lb1", ONLINE): server("maint", by="config")}
    assert standing(facts(SPEC, service("2"), servers)) is Standing.OUT


@pytest.mark.parametrize(
    ("running", "servers"),
    [
        (service("2", healthy=False, message="503 from /health"), everywhere(SPEC, server())),
        (service("2"), everywhere(SPEC, server()) | {("lb2", ONLINE): server(up=False)}),
        (service("2", healthy=False), everywhere(SPEC, server("maint"))),
    ],
    ids=["by its probes", "by a balancer node", "and out besides"],
)
def test_an_unhealthy_host_on_the_release_is_left_to_its_agent(running: ServiceReport, servers: dict) -> None:
    found = classify(SPEC, facts(SPEC, running, servers))
    assert (found.standing, found.available) == (Standing.UNHEALTHY, False)


def test_a_host_is_not_current_before_its_probes_have_answered() -> None:
    found = classify(SPEC, facts(SPEC, service("2", healthy=None)))
    assert found.standing is Standing.UNHEALTHY
    assert "probes" in found.why


@pytest.mark.parametrize("step", list(Step))
def test_a_host_on_a_journey_counts_as_available_only_before_and_after(step: Step) -> None:
    known = facts(SPEC, service("2"), journey=journey(SPEC, step))
    found = classify(SPEC, known)
    assert found.standing is (Standing.FAILED if step is Step.FAILED else Standing.IN_FLIGHT)
    assert found.available is (step in (Step.WAITING, Step.SOAKING))


def test_a_server_line_with_another_address_makes_the_host_unknown_and_names_both() -> None:
    servers = everywhere(SPEC, server()) | {("lb2", ONLINE): server(address="10.0.0.77:8080")}
    found = classify(SPEC, facts(SPEC, service("1"), servers))
    assert (found.standing, found.available) == (Standing.UNKNOWN, False)
    for words in ("lb2", ONLINE, "10.0.0.77:8080", "10.0.0.1:8080"):
        assert words in found.why


def test_a_maintenance_line_with_another_address_makes_the_host_unknown_too() -> None:
    servers = everywhere(SPEC, server()) | {("lb1", "tests"): server("maint", address="10.0.0.1:9999")}
    found = classify(SPEC, facts(SPEC, service("2"), servers))
    assert found.standing is Standing.UNKNOWN
    assert "10.0.0.1:9999" in found.why


def test_what_a_node_read_before_it_was_asked_does_not_make_a_host_available() -> None:
    known = scene(Step.FAILED, SPEC, out=False).but(servers=everywhere(SPEC, server(read=BEFORE))).facts
    ended = HostFacts(known.host, False, service("1"), known.servers, entries=known.entries)
    found = classify(SPEC, ended)
    assert not found.available
    assert found.standing is Standing.UNKNOWN  # it may well serve: taking it out is not for free
    answered = HostFacts(known.host, False, service("1"), everywhere(SPEC, server(read=ASKED)), entries=known.entries)
    assert classify(SPEC, answered).available


def test_a_service_without_pools_serves_while_it_is_healthy() -> None:
    spec = target(pools=())
    assert classify(spec, facts(spec, service("2"), {})).standing is Standing.CURRENT
    assert classify(spec, facts(spec, service("1"), {})).available
    sick = classify(spec, facts(spec, service("2", healthy=False), {}))
    assert (sick.standing, sick.available) == (Standing.UNHEALTHY, False)


def test_an_absent_service_is_current_where_it_is_gone() -> None:
    spec = target(None)
    gone = service("1", state="absent", identity=None, healthy=None)
    assert classify(spec, facts(spec, gone, everywhere(spec, server("maint")))).standing is Standing.CURRENT
    assert classify(spec, facts(spec, service("1"))).standing is Standing.OUTDATED


def test_a_host_is_settled_when_what_is_asked_is_what_should_be_asked() -> None:
    known = facts(SPEC, service("2"))
    assert not classify(SPEC, known).settled  # its service entry is missing
    soaked = scene(Step.SOAKING, SPEC).facts
    assert not classify(SPEC, soaked).settled  # it is on a journey

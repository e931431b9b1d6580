"""What people do by hand: what a simulated balancer takes for a person's deed, its agent must be able to know."""

from tests.simulation.balancer import Line, SimBalancer
from tests.simulation.drivers import SimClock

AGENT = object()
MARK = ("web_online", "vm1")


def seen(balancer: SimBalancer) -> None:
    """A step of the balancer's agent."""
    balancer.observe({"web_online"})
    balancer.was_seen_by(AGENT)


def balancer() -> SimBalancer:
    """One server, which its agent has seen ready, and saved so."""
    made = SimBalancer(SimClock(), {"web_online": {"vm1": Line("10.0.0.1:80")}}, lambda _: True)
    seen(made)
    seen(made)
    made.save()
    return made


def test_a_change_between_two_looks_of_one_agent_is_a_persons() -> None:
    edge = balancer()
    edge.by_person(*MARK, "maint")
    assert not edge.people
    seen(edge)
    assert edge.people == {MARK}


def test_a_change_before_the_first_look_at_a_worker_may_be_of_the_reload() -> None:
    edge = balancer()
    edge.reload()
    edge.by_person(*MARK, "maint")
    seen(edge)
    assert not edge.people


def test_whoever_lifts_a_mark_looks_again_until_it_is_noticed_and_no_reload_would_bring_it_back() -> None:
    edge = balancer()
    assert not edge.unsettled(*MARK)
    edge.by_person(*MARK, "drain")
    assert edge.unsettled(*MARK), "its agent has not looked yet"
    seen(edge)
    edge.save()
    edge.by_person(*MARK, "ready")
    assert edge.unsettled(*MARK), "the next reload brings it back"
    edge.save()
    assert not edge.unsettled(*MARK)
    edge.reload()
    assert edge.unsettled(*MARK), "its agent has not seen this worker yet"

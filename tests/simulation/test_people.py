"""Simulated people: what they set by hand they lift, or a run would wait for them for ever."""

from pathlib import Path

from tests.simulation.balancer import Line, SimBalancer
from tests.simulation.drivers import SimClock
from tests.simulation.faults import NONE
from tests.simulation.nodes import INTERVAL
from tests.simulation.run import quiet
from tests.simulation.simulator import Simulation

PLACE = ("lb1", "api_online", "vm1")


def test_somebody_lifts_what_no_agent_has_noticed_yet(tmp_path: Path) -> None:
    """The balancer did not answer its agent meanwhile; the agent takes it for a person's once it looks."""
    simulation = converged(tmp_path)
    balancer = simulation.balancers["lb1"]
    balancer.silent = True
    simulation.nodes["lb1"].crash()
    simulation.hands.mark(PLACE, "drain", lasts=3600.0)
    simulation.start_agent_in("lb1", 1.0)
    go_on(simulation, 2.0)
    balancer.silent = False
    simulation.hands.lift_all()
    go_on(simulation, 2 * INTERVAL)
    assert balancer.serves("api_online", "vm1")


def test_somebody_lifts_what_a_reload_brings_back(tmp_path: Path) -> None:
    simulation = converged(tmp_path)
    balancer = simulation.balancers["lb1"]
    simulation.hands.mark(PLACE, "drain", lasts=10.0)
    go_on(simulation, 9.0)
    balancer.full_disk = True
    go_on(simulation, INTERVAL)
    assert balancer.serves("api_online", "vm1"), "that is not saved"
    balancer.reload()
    balancer.full_disk = False
    go_on(simulation, 2 * INTERVAL)
    assert balancer.serves("api_online", "vm1")


def test_a_change_between_two_looks_of_one_agent_is_a_persons() -> None:
    edge = watched()
    edge.by_person("web_online", "vm1", "maint")
    assert not edge.people
    look(edge)
    assert edge.people == {("web_online", "vm1")}


def test_a_change_before_the_first_look_at_a_worker_may_be_of_the_reload() -> None:
    edge = watched()
    edge.reload()
    edge.by_person("web_online", "vm1", "maint")
    look(edge)
    assert not edge.people


def test_a_change_before_the_first_look_of_an_agent_was_seen_by_nobody() -> None:
    edge = watched()
    edge.has_new_agent()
    edge.by_person("web_online", "vm1", "maint")
    look(edge)
    assert not edge.people


def test_a_change_after_the_first_look_of_an_agent_that_was_started_again_is_a_persons() -> None:
    edge = watched()
    edge.has_new_agent()
    look(edge)
    edge.by_person("web_online", "vm1", "maint")
    look(edge)
    assert edge.people == {("web_online", "vm1")}


def test_what_an_agent_was_shown_as_it_died_is_nothing_to_the_next_one() -> None:
    edge = watched()
    edge.observe({"web_online"})
    edge.has_new_agent()
    edge.was_seen()
    edge.by_person("web_online", "vm1", "maint")
    look(edge)
    assert not edge.people


def watched() -> SimBalancer:
    """A balancer with one server, which its agent has seen ready."""
    made = SimBalancer(SimClock(), {"web_online": {"vm1": Line("10.0.0.1:80")}}, lambda _: True)
    look(made)
    return made


def look(balancer: SimBalancer) -> None:
    """A step of the balancer's agent."""
    balancer.observe({"web_online"})
    balancer.was_seen()


def converged(folder: Path) -> Simulation:
    """Four hosts that run one service."""
    quiet()
    simulation = Simulation(1, 4, folder, NONE, services=1)
    simulation.begin()
    while not has_succeeded(simulation):
        simulation.advance()
    return simulation


def has_succeeded(simulation: Simulation) -> bool:
    status = simulation.controller.world.statuses.get("api@prod")
    return status is not None and status.finished is not None


def go_on(simulation: Simulation, seconds: float) -> None:
    end = simulation.clock.monotonic() + seconds
    while simulation.clock.monotonic() < end:
        simulation.advance()

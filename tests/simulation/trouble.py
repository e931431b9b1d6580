"""Trouble: every kind of fault that comes at random moments, and its end."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from tests.simulation.clocks import MachineClock
from tests.simulation.desired import BALANCERS, RUNNERS, host_names, pool
from tests.simulation.faults import NONE
from tests.simulation.nodes import HostNode

if TYPE_CHECKING:
    from tests.simulation.simulator import Simulation

_IN_ABSENCE = 0.01
"""The share of faults that happen while the controller is away for hours, when the fleet is looked at rarely."""


class Trouble:
    """Injects faults into a simulation until it is told to stop."""

    def __init__(self, simulation: "Simulation") -> None:
        self._simulation = simulation
        self._skewed: list[MachineClock] = []
        """When something last ended by itself on a host."""

    def begin(self) -> None:
        """Schedule the first of each kind."""
        for kind, act in self._acts().items():
            mean = getattr(self._simulation.faults, kind)
            if mean:
                self._again(kind, mean, act)
        if self._simulation.faults.restored:
            self._again("restored", 20.0, self._simulation.backups.copy_machine)
        if self._simulation.faults.store_restored:
            self._again("store_restored", 20.0, self._simulation.backups.copy_store)

    def _acts(self) -> dict[str, Callable[[], None]]:
        simulation = self._simulation
        return {
            "commit": simulation.releases.random_commit,
            "git_unreachable": simulation.releases.lose_git,
            "artifacts_down": simulation.releases.lose_artifacts,
            "controller_crash": self._crash_controller,
            "controller_paused": self._pause_controller,
            "controller_absent": self._leave,
            "disk_full": self._fill_disk,
            "io_error": simulation.controller.fail_soon,
            "store_restored": simulation.backups.restore_store,
            "clock_stepped": self._step_clock,
            "clock_fast": self._speed_up,
            "silence": self._silence,
            "agent_crash": self._crash_agent,
            "agent_cut": self._cut_agent,
            "power_loss": self._lose_power,
            "runner_dead": self._lose_runner,
            "process_ends": self._end_process,
            "orphan": self._leave_orphan,
            "restored": simulation.backups.restore_machine,
            "cloned": self._clone,
            "reload": self._reload,
            "balancer_restarted": self._restart_balancer,
            "balancer_silent": self._silence_balancer,
            "balancer_unsaved": self._fill_balancers_disk,
            "busy": self._busy,
            "endless": self._endless,
            "manual": simulation.hands.take_out,
            "operators": simulation.operators.act,
            "balancer_excluded": simulation.detours.begin,
            "freeze": simulation.freezing.act,
        }

    def _again(self, kind: str, mean: float, act: Callable[[], None]) -> None:
        simulation, dice = self._simulation, self._simulation.dice(kind)

        def happen() -> None:
            if simulation.faults is not NONE:
                if not simulation.controller.absent or dice.random() < _IN_ABSENCE:
                    act()
                self._again(kind, mean, act)

        simulation.at(dice.expovariate(1 / mean), happen)

    def stop(self) -> None:
        """Everything that went wrong is put right, as far as people need not decide."""
        simulation = self._simulation
        simulation.post.cut.clear()
        for clock in self._skewed:
            clock.set_right()
        for balancer in simulation.balancers.values():
            balancer.silent = balancer.full_disk = False
            balancer.end_sessions()
        for name in host_names(simulation.hosts):
            self._mend_host(name)
        simulation.releases.find_artifacts()
        simulation.hands.lift_all()
        simulation.controller.finish_faults()
        simulation.operators.take_back()
        simulation.at(5.0, simulation.operators.take_back)  # what was said last may not have been heard yet
        for name, node in simulation.nodes.items():
            node.fuse.put_out()
            simulation.start_agent_in(name, 0.001)

    # --- the controller

    def _crash_controller(self) -> None:
        self._simulation.note("controller crashes")
        self._simulation.controller.crash_soon()

    def _pause_controller(self) -> None:
        dice = self._simulation.dice("controller_paused")
        successor = dice.uniform(5.0, 60.0) if dice.random() < 0.7 else None
        lasts = dice.uniform(60.0, 3 * 3600.0) if dice.random() < 0.1 else dice.uniform(5.0, 120.0)
        self._simulation.controller.pause(lasts, successor, dice.random() < 0.5)

    def _leave(self) -> None:
        self._simulation.controller.leave(10 ** self._simulation.dice("controller_absent").uniform(3.3, 4.94))

    def _fill_disk(self) -> None:
        simulation = self._simulation
        simulation.note("the store's disk is full")
        simulation.controller.full = True
        simulation.at(simulation.dice("disk_full").uniform(1.0, 60.0), self._free_disk)

    def _free_disk(self) -> None:
        self._simulation.controller.full = False

    # --- clocks

    def _some_clock(self, kind: str) -> tuple[str, MachineClock]:
        """The controller's as often as any node's of its kind: of hosts there are many."""
        simulation, dice = self._simulation, self._simulation.dice(kind)
        life = simulation.controller.life
        if life is not None and dice.random() < 0.4:
            return "the controller", life.clock
        name = dice.choice(sorted(simulation.nodes))
        return name, simulation.nodes[name].clock

    def _step_clock(self) -> None:
        simulation, dice = self._simulation, self._simulation.dice("clock_stepped")
        name, clock = self._some_clock("clock_stepped")
        by = dice.choice([-1, 1]) * 10 ** dice.uniform(0.0, 3.85)
        simulation.note(f"the clock of {name} is stepped by {by:.1f} s")
        clock.offset += by
        self._skew(clock, dice.uniform(10.0, 300.0))

    def _speed_up(self) -> None:
        simulation, dice = self._simulation, self._simulation.dice("clock_fast")
        name, clock = self._some_clock("clock_fast")
        simulation.note(f"the clocks of {name} run at double speed")
        clock.run_at(2.0)
        self._skew(clock, dice.uniform(10.0, 120.0))

    def _skew(self, clock: MachineClock, lasts: float) -> None:
        self._skewed.append(clock)
        self._simulation.at(lasts, clock.set_right)

    # --- agents and machines

    def _some_node(self, kind: str) -> str:
        return self._simulation.dice(kind).choice(sorted(self._simulation.nodes))

    def _silence(self) -> None:
        simulation = self._simulation
        name = self._some_node("silence")
        until = simulation.dice("silence").uniform(1.0, simulation.faults.silent_for)
        simulation.note(f"{name} is cut off for {until:.1f} s")
        simulation.post.cut.add(name)
        simulation.at(until, lambda: simulation.post.cut.discard(name))

    def _crash_agent(self) -> None:
        name = self._some_node("agent_crash")
        self._simulation.note(f"agent of {name} crashes")
        self._simulation.nodes[name].crash()
        self._simulation.start_agent_in(name, self._simulation.dice("agent_crash").uniform(0.1, 20.0))

    def _cut_agent(self) -> None:
        dice, name = self._simulation.dice("agent_cut"), self._some_node("agent_cut")
        self._simulation.nodes[name].fuse.set(dice.randrange(4), after=dice.random() < 0.5)

    def _lose_power(self) -> None:
        name = self._some_node("power_loss")
        self._simulation.note(f"{name} loses power")
        self._simulation.nodes[name].lose_power()
        self._simulation.start_agent_in(name, self._simulation.dice("power_loss").uniform(5.0, 60.0))

    def _lose_runner(self) -> None:
        dice = self._simulation.dice("runner_dead")
        name = dice.choice(RUNNERS)
        self._simulation.note(f"{name} is dead")
        self._simulation.nodes[name].lose_power()
        self._simulation.start_agent_in(name, dice.uniform(60.0, 300.0))

    def _end_process(self) -> None:
        dice = self._simulation.dice("process_ends")
        host, target = self._host(dice.choice(host_names(self._simulation.hosts))), self._some_target("process_ends")
        if host.supervisor.running(target).identity is None:
            return
        self._simulation.note(f"{target} on {host.name} ends by itself")
        host.watched.doomed[target] = dice.uniform(0.2, 5.0)
        host.supervisor.kill(target)
        self._simulation.at(dice.uniform(0.0, 60.0), lambda: self._mend(host, target))

    def _leave_orphan(self) -> None:
        dice = self._simulation.dice("orphan")
        host, target = self._host(dice.choice(host_names(self._simulation.hosts))), self._some_target("orphan")
        if host.supervisor.running(target).identity is None:
            return
        self._simulation.note(f"an orphan holds the port of {target} on {host.name}")
        host.orphans.add(target)
        host.watched.doomed[target] = 0.1
        host.supervisor.kill(target)
        self._simulation.at(dice.uniform(1.0, 60.0), lambda: self._mend(host, target))

    def _mend(self, host: HostNode, target: str) -> None:
        host.orphans.discard(target)
        host.watched.doomed.pop(target, None)

    def _mend_host(self, name: str) -> None:
        host = self._host(name)
        host.orphans.clear()
        host.watched.doomed.clear()

    def _host(self, name: str) -> HostNode:
        node = self._simulation.nodes[name]
        assert isinstance(node, HostNode)
        return node

    def _some_target(self, kind: str) -> str:
        return f"{self._simulation.dice(kind).choice(self._simulation.services)}@prod"

    def _clone(self) -> None:
        simulation = self._simulation
        simulation.clones.begin(simulation.dice("cloned").choice(host_names(simulation.hosts)))

    # --- balancers

    def _some_balancer(self, kind: str, what: str) -> str:
        name = self._simulation.dice(kind).choice(BALANCERS)
        self._simulation.note(f"balancer on {name} {what}")
        return name

    def _reload(self) -> None:
        self._simulation.balancers[self._some_balancer("reload", "is reloaded")].reload()

    def _restart_balancer(self) -> None:
        self._simulation.balancers[self._some_balancer("balancer_restarted", "is restarted")].restart()

    def _silence_balancer(self) -> None:
        balancer = self._simulation.balancers[self._some_balancer("balancer_silent", "does not answer")]
        balancer.silent = True
        self._simulation.at(
            self._simulation.dice("balancer_silent").uniform(1.0, 60.0), lambda: setattr(balancer, "silent", False)
        )

    def _fill_balancers_disk(self) -> None:
        balancer = self._simulation.balancers[self._some_balancer("balancer_unsaved", "cannot save")]
        balancer.full_disk = True
        self._simulation.at(
            self._simulation.dice("balancer_unsaved").uniform(1.0, 60.0), lambda: setattr(balancer, "full_disk", False)
        )

    def _busy(self) -> None:
        """Sessions that last begin on a server that admits them."""
        self._hold("busy", self._simulation.dice("busy").uniform(1.0, 100.0))

    def _endless(self) -> None:
        self._hold("endless", float("inf"))

    def _hold(self, kind: str, seconds: float) -> None:
        simulation, dice = self._simulation, self._simulation.dice(kind)
        node, service = dice.choice(BALANCERS), dice.choice(simulation.services)
        host = dice.choice(host_names(simulation.hosts))
        if simulation.balancers[node].serves(pool(service, "online"), host):
            simulation.balancers[node].hold(pool(service, "online"), host, seconds)

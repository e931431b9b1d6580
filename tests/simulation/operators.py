"""Operators: commands at any time, also to a controller that dies before it answers, taken back once faults stop."""

from concurrent.futures import Future
from typing import TYPE_CHECKING, get_args

from controller.mailbox import Commanded
from crds.command import NodeVerb, OperatorCommand, RolloutVerb
from tests.simulation.desired import host_names

if TYPE_CHECKING:
    from tests.simulation.simulator import Simulation

_AGAIN = 10.0
"""Seconds after which a command that may have been lost is given again."""
_UNTIL = ("", "", "20s", "3m")
_MOST_EXCLUDED = 0.25
"""Of the hosts: with more, a budget may never allow anybody to go."""


class Operators:
    """People at the command line. Who excludes a balancer node has to send customers around it: see detours.py."""

    def __init__(self, simulation: "Simulation") -> None:
        self._simulation = simulation

    def act(self) -> None:
        """Somebody asks for something."""
        simulation, dice = self._simulation, self._simulation.dice("operators")
        if dice.random() < 1 / 2:
            hosts = host_names(simulation.hosts)
            excluded = self._excluded() & set(hosts)
            verb: NodeVerb = dice.choice(get_args(NodeVerb))
            if verb == "include" or len(excluded) < _MOST_EXCLUDED * simulation.hosts - 1:
                host = dice.choice(sorted(excluded) if verb == "include" and excluded else hosts)
                self.say(verb, host, dice.choice(_UNTIL) if verb == "exclude" else "")
            return
        rollout: RolloutVerb = dice.choice(get_args(RolloutVerb))
        until = dice.choice(_UNTIL) if rollout == "pause" else ""
        self.say(rollout, f"{dice.choice(simulation.services)}@prod", until)

    def take_back(self) -> None:
        """What is in the way of converging is taken back, again and again until the controller says that it is."""
        deciding = self._simulation.controller.deciding
        if deciding is None or deciding.world.exclusions or any(s.pause for s in deciding.world.statuses.values()):
            for node in sorted(self._excluded()):
                self.say("include", node)
            for service in self._simulation.services:
                self.say("resume", f"{service}@prod")
            self._simulation.at(_AGAIN, self.take_back)

    def say(self, verb: RolloutVerb | NodeVerb, about: str, until: str = "") -> None:
        """Give a command; nobody hears it while there is no controller."""
        self._simulation.note(f"somebody says {verb} {about} {until}".rstrip())
        command = OperatorCommand(by="ann", reason="a simulated one", until=until)
        life = self._simulation.controller.life
        if life is not None:  # else nobody hears it
            life.put(Commanded(verb, about, command, Future()))

    def has_out(self, node: str) -> bool:
        """Whether the present controller has it that the node is excluded."""
        return node in self._excluded()

    def _excluded(self) -> set[str]:
        deciding = self._simulation.controller.deciding
        return set(deciding.world.exclusions) if deciding else set()

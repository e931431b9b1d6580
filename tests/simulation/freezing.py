"""Freezes: committed at any time, begun and ended by commits and by windows, lifted once faults stop."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from crds.freeze import WRITTEN, Freeze
from tests.simulation.desired import freeze

if TYPE_CHECKING:
    from tests.simulation.simulator import Simulation

_EVER = timedelta(days=3650)


@dataclass(frozen=True)
class Planted:
    """What a freeze means, as whoever made it knows: nothing here asks the code that reads freezes."""

    services: tuple[str, ...]
    begins: datetime
    ends: datetime
    rollbacks: bool
    """Whether a rollback may pass."""

    def forbids(self, service: str, when: datetime, rolling_back: bool) -> bool:
        """Whether no host of the service may be taken out at that moment."""
        within = self.begins <= when < self.ends
        return within and service in self.services and not (rolling_back and self.rollbacks)


@dataclass
class Freezing:
    """All freezes of a run."""

    simulation: "Simulation"
    planted: dict[str, Planted] = field(default_factory=dict)
    """Every one that ever was, by name."""

    def act(self) -> None:
        """Somebody commits a freeze, and means to lift it after a while."""
        simulation, dice = self.simulation, self.simulation.dice("freeze")
        services = dice.choice([tuple(simulation.services), (dice.choice(simulation.services),)])
        rollbacks, kind = dice.random() < 1 / 2, dice.choice(["at once", "window", "allow"])
        now, lasts = simulation.clock.now(), dice.uniform(20.0, 300.0)
        begins, ends = now - _EVER, now + _EVER
        if kind == "window":  # begins and ends by itself, at full minutes
            begins = now.replace(second=0, microsecond=0) + timedelta(minutes=dice.choice([1, 2]))
            ends = begins + timedelta(minutes=dice.choice([1, 2, 5]))
            lasts += 300.0
        name = f"freeze-{len(self.planted)}"
        # Hosts may go only after its window: the same, said the other way round.
        span = (ends, ends + _EVER) if kind == "allow" else (begins, ends)
        self.planted[name] = Planted(services, begins, ends, rollbacks)
        simulation.note(f"{name} is committed for {', '.join(services)}: {kind}")
        self._commit({**simulation.controller.freezes, name: self._file(name, kind, services, span, rollbacks)})
        simulation.at(lasts, lambda: self._lift(name))

    def _file(
        self, name: str, kind: str, services: tuple[str, ...], span: tuple[datetime, datetime], rollbacks: bool
    ) -> Freeze:
        begins, ends = (f"{moment:{WRITTEN}}" for moment in span)
        effect = "allow" if kind == "allow" else "deny"
        return freeze(name, effect, list(services), begins, ends, "allowed" if rollbacks else "refused")

    def holding(self) -> bool:
        """Whether the head of the repository has any freeze."""
        return bool(self.simulation.controller.freezes)

    def lift_all(self) -> None:
        """Nothing is frozen any more."""
        if self.holding():
            self.simulation.note("all freezes are lifted")
            self._commit({})

    def _lift(self, name: str) -> None:
        held = self.simulation.controller.freezes
        if name in held and self.simulation.faults.freeze:
            self.simulation.note(f"{name} is lifted")
            self._commit({other: kept for other, kept in held.items() if other != name})

    def _commit(self, freezes: Mapping[str, Freeze]) -> None:
        self.simulation.controller.freeze(freezes)

"""What goes wrong in a simulated run, and how often.

Each kind of fault draws from dice of its own, so that a run without one kind is as near as possible to the same run
with it: that is what makes a list of faults short (see shrink.py).
"""

from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from random import Random

NOT_KINDS = frozenset({"controller_away", "silent_for", "commit"})
"""Measures of other faults, and what makes something happen at all."""


@dataclass(frozen=True)
class Faults:
    """Each is a probability, or a mean number of seconds between two of them; 0 turns it off."""

    # --- messages
    lost: float = 0.02
    """Of a message."""
    twice: float = 0.02
    """A message arrives a second time, later."""
    late: float = 0.02
    """A message arrives up to a minute late, behind newer ones."""
    hours_late: float = 0.003
    """An assignment arrives up to five hours late. No report does: the bus drops what is older than a minute."""
    forged: float = 0.01
    """An assignment arrives beside the real one: signed with another key, or for another node."""
    silence: float = 30.0
    """A node is cut off, its services run on."""
    silent_for: float = 200.0

    # --- the controller
    controller_crash: float = 25.0
    """It dies somewhere in a step: before its transaction is on disk, after it, in the midst of publishing."""
    controller_away: float = 15.0
    """Longest time until it is started again."""
    controller_paused: float = 200.0
    """It stands still, also between saving and publishing; another one takes over; then it goes on."""
    controller_absent: float = 800.0
    """Nobody starts it again for up to a day."""
    disk_full: float = 300.0
    """The store refuses to write, for up to a minute."""
    io_error: float = 200.0
    """A commit fails, and nobody knows whether it is on disk."""
    store_restored: float = 0.0
    """The store is restored from an older copy of it. Not among ALL: a person does that, and never as often."""

    # --- clocks
    clock_stepped: float = 120.0
    """Some machine's time of day is wrong by up to two hours for a while."""
    clock_fast: float = 200.0
    """Some machine's clocks run at double speed for a while."""

    # --- agents and their machines
    agent_crash: float = 20.0
    agent_cut: float = 40.0
    """An agent dies right before or right after something that it does: a write, an installation, a start."""
    power_loss: float = 120.0
    """A machine is off for up to a minute; agent, processes, and what was under way are gone."""
    process_ends: float = 120.0
    """A process ends by itself, and ends again at once while that lasts."""
    orphan: float = 200.0
    """A process that nobody knows of holds a service's port for up to a minute, and answers there."""
    restored: float = 0.0
    """A machine is restored from an older copy. Not among ALL: it ends only when a person decides."""
    cloned: float = 0.0
    """A host is copied with its agent's journal, and both run. Not among ALL: it ends only when a person decides."""

    # --- balancers
    reload: float = 25.0
    balancer_restarted: float = 150.0
    balancer_silent: float = 200.0
    """A balancer does not answer its agent for up to a minute; it serves on."""
    balancer_unsaved: float = 200.0
    """The state of a balancer cannot be saved for up to a minute: no space is left."""
    busy: float = 5.0
    """Sessions of up to 100 s on one server of one balancer node."""
    endless: float = 400.0
    """A session that ends only when the faults do."""
    manual: float = 150.0
    """Somebody sets a server to MAINT or DRAIN by hand, and lifts that after up to five minutes."""
    operators: float = 40.0
    """Somebody pauses, resumes, aborts, retries, skips or restarts a rollout, excludes or includes a host."""

    balancer_excluded: float = 300.0
    """Somebody excludes a balancer node for up to five minutes, and sends no customers through it until it is back."""
    freeze: float = 150.0
    """Somebody commits a freeze, of some services or all, at once or for a window, and lifts it after minutes."""

    # --- git, artifacts, releases, gates
    commit: float = 60.0
    """A new commit while the one before may still be under way."""
    bad_commit: float = 0.2
    """Of a commit: it is refused."""
    forced: float = 0.1
    """Of a commit: the branch is put back to an earlier one."""
    git_unreachable: float = 150.0
    bad_release: float = 0.2
    """Of a commit: its gates fail."""
    crash_loop: float = 0.05
    """Of a commit: its processes end soon after they start."""
    wrong_artifact: float = 0.05
    """Of a commit: what lies at the URL is another file."""
    artifacts_down: float = 250.0
    """Nothing can be fetched for up to two minutes."""
    slow_install: float = 0.1
    """An installation takes up to two minutes."""
    inconclusive: float = 0.05
    """Of a gate's run."""
    flapping: float = 0.01
    """Of a gate's run: it fails though nothing is wrong."""
    hanging: float = 0.03
    """Of a gate's run: it ends by its timeout."""
    runner_dead: float = 300.0
    """A runner is off for up to five minutes."""
    died_migrating: float = 0.4
    """Of a migration's command: the runner's agent dies right before or after the effect."""
    unclear_check: float = 0.05
    """Of a migration's check: it tells nothing."""

    @property
    def kinds(self) -> frozenset[str]:
        """The kinds of faults that happen at all."""
        return frozenset(each.name for each in fields(self) if getattr(self, each.name)) - NOT_KINDS

    def only(self, names: Iterable[str]) -> "Faults":
        """These kinds and no others, as often as here, or as usual where it is none of these.

        Raises ValueError for a name that is none.
        """
        wanted, known = set(names), {each.name for each in fields(self)}
        if wanted - known:
            raise ValueError(
                f"no such fault: {', '.join(sorted(wanted - known))}; there are {', '.join(sorted(known - NOT_KINDS))}"
            )
        usual = {name: getattr(self, name) or getattr(_OFTEN, name) for name in wanted}
        return replace(self, **(dict.fromkeys(known - NOT_KINDS, 0.0) | usual))

    def some(self, dice: Random) -> "Faults":
        """A third of these kinds: where everything goes wrong at once, nothing gets far enough to go wrong well."""
        return self.only(kind for kind in sorted(self.kinds) if dice.random() < 1 / 3)


_OFTEN = Faults(restored=100.0, cloned=60.0, store_restored=100.0)
ALL = Faults()
"""What ends by itself: whatever happened, everything converges once nothing new happens."""
NONE = ALL.only(())
CLONES = replace(ALL, cloned=60.0, controller_crash=200.0, controller_paused=0.0, silence=0.0, operators=0.0)
"""With fewer crashes of the controller, and nobody cut off: noticing a clone takes minutes of hearing both."""
PERSONS = replace(ALL, restored=100.0, store_restored=120.0)
"""What ends when a person decides: whom to trust, after a machine or the store was restored from a copy."""
GROUPS = {"all": ALL, "none": NONE, "clones": CLONES, "persons": PERSONS}


def named(text: str, seed: int = 0) -> Faults:
    """A group; kinds with commas: ``lost,late,controller_crash``; or ``some``, a third of all that the seed chooses.

    Raises ValueError.
    """
    if text == "some":
        return ALL.some(Random(f"{seed} some"))
    return GROUPS.get(text) or PERSONS.only(text.split(","))

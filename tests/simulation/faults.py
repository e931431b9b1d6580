"""What goes wrong in a simulated run, and how often."""

from dataclasses import dataclass, fields, replace


@dataclass(frozen=True)
class Faults:
    """Each is a probability, or a mean number of seconds between two of them; 0 turns it off."""

    lost: float = 0.02
    """Of a message."""
    twice: float = 0.02
    """A message arrives a second time, later."""
    late: float = 0.02
    """A message arrives up to a minute late, behind newer ones."""
    forged: float = 0.01
    """An assignment arrives beside the real one: signed with another key, or for another node."""
    controller_crash: float = 25.0
    controller_away: float = 15.0
    """Longest time until it is started again."""
    silence: float = 30.0
    """A node is cut off, its services run on."""
    silent_for: float = 200.0
    agent_crash: float = 20.0
    reload: float = 25.0
    """Of a balancer."""
    busy: float = 5.0
    """Sessions of up to 100 s on one server of one balancer node."""
    commit: float = 60.0
    """A new commit while the one before may still be under way."""
    operators: float = 20.0
    """Somebody pauses, resumes, aborts, retries, skips, restarts, excludes or includes."""
    bad_release: float = 0.3
    """Of a commit: its gates fail."""
    bad_commit: float = 0.2
    """Of a commit: it is refused."""
    inconclusive: float = 0.05
    """Of a gate's run."""
    slow_install: float = 0.1
    """An installation takes up to two minutes."""
    died_migrating: float = 0.4
    """Of a migration's command: the runner's agent dies right before or after the effect."""
    unclear_check: float = 0.05
    """Of a migration's check: it tells nothing."""
    cloned: float = 0.0
    """A host is copied with its agent's journal, and both run. Not among ALL: it ends only when a person decides."""

    def only(self, names: set[str]) -> "Faults":
        """These faults and no others; raises ValueError for a name that is none."""
        known = {each.name for each in fields(self)}
        if names - known:
            raise ValueError(f"no such fault: {', '.join(sorted(names - known))}; there are {', '.join(sorted(known))}")
        always = {"controller_away", "silent_for", "commit"}
        return replace(self, **dict.fromkeys(known - names - always, 0.0))


NONE = Faults().only(set())
ALL = Faults()
CLONES = replace(ALL, cloned=60.0, controller_crash=200.0, silence=0.0, operators=0.0)
"""With fewer crashes of the controller, and nobody cut off: noticing a clone takes minutes of hearing both."""

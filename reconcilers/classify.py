"""Where one host stands, from its facts alone."""

from dataclasses import dataclass
from enum import StrEnum

from crds.messages import ServiceReport
from crds.status import Step
from reconcilers.entries import entries_for
from reconcilers.facts import HostFacts, mismatch, online_places, persons_mark
from reconcilers.target import TargetSpec


class Standing(StrEnum):
    """A host is counted under exactly one of these."""

    CURRENT = "current"
    """Runs the release, healthy, online on every node of every balancer."""
    OUTDATED = "outdated"
    """Runs something else, or nothing, or was started before people asked for a restart."""
    OUT = "out"
    """Runs the release, but nobody has put it online."""
    UNHEALTHY = "unhealthy"
    """Runs the release and is not healthy, or a balancer sees it down; the agent and time mend that, not a journey."""
    UNADOPTED = "unadopted"
    """In mode adopt: no process was taken over here, or it has ended. Left alone."""
    DRIFTED = "drifted"
    """Was brought to the release and runs it no more, and its service says that this is only to be reported."""
    IN_FLIGHT = "inFlight"
    FAILED = "failed"
    UNKNOWN = "unknown"
    """Its agent or a balancer node is silent, a node does not know it or knows another address: never acted on."""
    EXCLUDED = "excluded"
    """A person excluded it, or took it out of a pool: never put online by us."""


@dataclass(frozen=True)
class Classification:
    """What the index keeps of a host."""

    standing: Standing
    available: bool
    """Serves customers: healthy, and online on every node; taking it out spends budget."""
    settled: bool
    """What is asked about it is what should be asked, and it is on no journey."""
    why: str = ""
    """For people, where the standing needs a word."""
    out: bool = False
    """Counts among the fleet's hosts that are out: on its way, or what ran on it does not serve."""


def classify(target: TargetSpec, facts: HostFacts) -> Classification:
    """Where the host stands. Time enters through the facts alone: the world marks a node silent when its time is up."""
    standing, why = _standing(target, facts)
    journey = facts.journey
    touched = journey is not None and journey.step not in (Step.WAITING, Step.SOAKING)
    available = not touched and not facts.excluded and serves(target, facts)
    return Classification(
        standing=standing,
        available=available,
        settled=journey is None and entries_for(target, facts) == {k: e.value for k, e in facts.entries.items()},
        why=why,
        out=touched or (not available and _deployed(facts)),
    )


def _deployed(facts: HostFacts) -> bool:
    """Something runs there, or should: nobody misses a host to which a service never came, or which it has left."""
    assigned, service = facts.assigned_service(), facts.service
    return bool(assigned and assigned.release) or (service is not None and service.state != "absent")


def serves(target: TargetSpec, facts: HostFacts) -> bool:
    """Customers can count on it: ready and up on every node of every balancer, and not unhealthy by its agent's word.

    A host that only a balancer vouches for (its agent knows nothing of the service yet) serves too. What a node read
    before it took what is asked of it now does not count: that may have changed the server since.
    """
    if facts.silent or mismatch(target, facts):
        return False
    service = facts.service
    if not target.pools:
        return service is not None and service.healthy is True
    if service is not None and (service.healthy is False or (service.state == "crashing" and not service.healthy)):
        return False  # whatever the balancer still sees: a check from before, or somebody else at the port
    servers = [facts.believed_server(node, pool.online) for node, pool in online_places(target)]
    return all(server is not None and server.admin == "ready" and server.up for server in servers)


def _standing(target: TargetSpec, facts: HostFacts) -> tuple[Standing, str]:
    if facts.journey is not None:
        failed = facts.journey.step is Step.FAILED
        return (Standing.FAILED if failed else Standing.IN_FLIGHT), facts.journey.reason
    if facts.excluded or facts.silent:
        return (Standing.EXCLUDED, facts.excluded) if facts.excluded else (Standing.UNKNOWN, facts.silence())
    for node, pool in online_places(target):
        if facts.believed_server(node, pool.online) is None:
            return Standing.UNKNOWN, f"{node} does not tell its state in pool {pool.online}"
    if wrong := mismatch(target, facts):
        return Standing.UNKNOWN, wrong
    if mark := persons_mark(target, facts):
        return Standing.EXCLUDED, mark
    return _standing_by_release(target, facts)


def _standing_by_release(target: TargetSpec, facts: HostFacts) -> tuple[Standing, str]:
    service = facts.service
    if target.release is None:
        gone = service is None or service.state == "absent"
        return (Standing.CURRENT, "") if gone else (Standing.OUTDATED, "")
    if target.mode == "adopt" and _is_left_alone(facts):
        return Standing.UNADOPTED, (service.message if service else "") or "its agent was not asked to adopt anything"
    if service is None or service.digest != target.digest or service.restart < facts.restart:
        drift = drift_of(target, facts)
        return (Standing.DRIFTED if drift and target.rollout.drift == "report" else Standing.OUTDATED), drift
    return _standing_on_release(target, facts, service)


def _standing_on_release(target: TargetSpec, facts: HostFacts, service: ServiceReport) -> tuple[Standing, str]:
    """Who is up for the moment, or of unknown health, serves customers no worse than before, but it is not success."""
    if serves(target, facts):
        if service.healthy and service.state != "crashing":
            return Standing.CURRENT, ""
        return Standing.UNHEALTHY, service.message or "its probes have not answered yet"
    servers = [facts.servers[node, pool.online] for node, pool in online_places(target)]
    if service.healthy and any(server.admin != "ready" for server in servers):
        return Standing.OUT, ""
    return Standing.UNHEALTHY, service.message or "a balancer node does not see it up"


def drift_of(target: TargetSpec, facts: HostFacts) -> str:
    """In words, what the host runs in place of the release that it was brought to; empty if it was not, or runs it.

    What it is asked to run is a release that reached it on a journey, so whatever else runs came about without us.
    """
    assigned, service = facts.assigned_service(), facts.believed_service()
    if assigned is None or assigned.release is None or assigned.release.digest != target.digest or service is None:
        return ""
    if not facts.proven or service.state in ("installing", "expired") or service.digest == target.digest:
        return ""
    runs = f"version {service.version or 'unknown'}" if service.digest else f"nothing ({service.state})"
    return f"runs {runs}: {service.message}" if service.message else f"runs {runs}"


def _is_left_alone(facts: HostFacts) -> bool:
    """Nothing runs there by its agent's word, and nothing was ever installed there by us."""
    assigned, service = facts.assigned_service(), facts.service
    runs = service is not None and service.digest is not None
    return not runs and (assigned is None or assigned.adopt is not None)

"""What a host says of a service, in one report entry."""

from dataclasses import dataclass

from agent.drivers.contracts import Running
from agent.health import Health
from crds.messages import ServiceReport, Stamp


@dataclass(frozen=True)
class Sight:
    """What was seen and decided of a service in one pass."""

    running: Running
    state: str
    """Decided already, whatever runs; empty: as the process and its probes have it."""
    fetched: str | None
    notes: list[str]
    digest: str | None
    """The release that is to run."""
    restart: int = 0
    """The number under which what runs was started."""


def tell(sight: Sight, health: Health, stamp: Stamp) -> ServiceReport:
    """The entry. It is stamped with the assignment under which health was read, which may be older than the newest."""
    running = sight.running
    state = sight.state or _state(running, sight.digest, health)
    words = [*sight.notes, running.message, health.reason()]
    return ServiceReport.model_validate(
        {
            "read": health.read(stamp) if running.identity else stamp,
            "state": state,
            "digest": running.digest if running.identity else None,
            "version": running.version if running.identity else None,
            "identity": running.identity,
            "adopted": running.adopted,
            "healthy": health.healthy() if running.identity and health.begun else None,
            "fetched": sight.fetched,
            "restarts": running.restarts,
            "restart": sight.restart if running.identity else 0,
            "message": "; ".join(dict.fromkeys(word for word in words if word)),
            "log_tail": running.log_tail,
        }
    )


def _state(running: Running, digest: str | None, health: Health) -> str:
    if running.crashing and running.digest == digest:
        return "crashing"
    if running.identity is None or running.digest != digest:
        return "starting" if digest else "stopped"
    return "running" if health.started() else "starting"

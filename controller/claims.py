"""Claims: which target has a host on a journey, so that no other takes it out meanwhile."""

from collections.abc import Mapping

from crds.status import Journey, Step


def is_claim(journey: Journey) -> bool:
    """The journey keeps the host from other targets; a failed or a yielding one leaves it to whoever can use it."""
    return journey.step not in (Step.WAITING, Step.FAILED) and not journey.yields


class Claims:
    """The journeys say who claims a host; this is the same, by host. Of several, whoever came first has it."""

    def __init__(self, journeys: Mapping[str, Mapping[str, Journey]]) -> None:
        self._by_host: dict[str, list[str]] = {}
        for target, hosts in sorted(journeys.items()):
            for host, journey in hosts.items():
                self.put(target, host, journey)

    def of_another(self, target: str, host: str) -> str | None:
        """The other target that has the host."""
        first = next(iter(self._by_host.get(host, ())), target)
        return first if first != target else None

    def put(self, target: str, host: str, journey: Journey | None) -> bool:
        """The host's journey is this one now, or has ended; says whether that left the host to others."""
        targets = self._by_host.setdefault(host, [])
        had = targets[:1] == [target]
        claims = journey is not None and is_claim(journey)
        if claims and target not in targets:
            targets.append(target)
        elif not claims and target in targets:
            targets.remove(target)
        if not targets:
            del self._by_host[host]
        return had and not claims

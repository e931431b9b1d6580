"""What both contestants are given: the same service, the same HAProxy, the same customers."""

from controller.demo.repository import Document

FIRST, SECOND = "1.0.0", "1.1.0"
STARTUP = "0.5"
"""Seconds that the service takes to start."""
SHARE = 0.25
"""Of the hosts that go together."""
RATE = 200.0
"""Customers' requests a second."""


def tune(service: Document) -> None:
    """The example's service as it is benchmarked: quarters, no soak, a smoke test that costs one request."""
    spec = service["spec"]
    spec["artifact"]["run"] = [*_without(spec["artifact"]["run"], "--startup"), "--startup", STARTUP]
    spec["probes"] = [{"http": spec["probes"][0]["http"]}]
    spec["gates"] = [{"name": "smoke", "when": "maintenance", "http": {"path": "/quote", "contains": "{version}"}}]
    percent = f"{SHARE:.0%}"
    spec["rollout"] = {"batches": [percent], "maxUnavailable": percent, "soak": "0s"}


def batch_size(hosts: int) -> int:
    """A quarter of them, rounded as Drumbeat rounds."""
    return max(1, int(hosts * SHARE))


def _without(words: list[str], flag: str) -> list[str]:
    """A command without a flag and its value."""
    if flag not in words:
        return words
    place = words.index(flag)
    return [*words[:place], *words[place + 2 :]]

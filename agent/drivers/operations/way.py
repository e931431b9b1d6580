"""The way from an operation to its host: through a forwarder that demands proof, or straight to the host's address."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Protocol

from agent.drivers.contracts import Outcome
from agent.drivers.operations.forwarder import Forwarder
from crds.messages import OperationSpec


class Way(Protocol):
    """Where the operation finds its host, and what its outcome is worth."""

    url: str

    def judge(self, outcome: Outcome) -> Outcome:
        """The outcome, or inconclusive if it was not proven to be the host's."""


class _Straight:
    """The host's own address: whoever answers there is the host."""

    def __init__(self, url: str) -> None:
        self.url = url

    def judge(self, outcome: Outcome) -> Outcome:
        return outcome


class _Proven:
    """Through a balancer that says which server answered."""

    def __init__(self, forwarder: Forwarder) -> None:
        self.url = forwarder.url
        self._forwarder = forwarder

    def judge(self, outcome: Outcome) -> Outcome:
        unproven, requests = self._forwarder.unproven(), self._forwarder.requests()
        if unproven:
            words = f"{len(unproven)} of {requests} requests prove nothing: {unproven[0]}"
            return replace(outcome, outcome="inconclusive", message=_joined(words, outcome.message))
        if not requests and outcome.outcome == "passed":
            words = "it ended well without a single request to {url}, so it says nothing of the host"
            return replace(outcome, outcome="inconclusive", message=words)
        return outcome


@contextmanager
def open_way(spec: OperationSpec) -> Iterator[Way]:
    """The way for the duration of the operation. Raises OSError if no port can be had."""
    if spec.via is None:
        yield _Straight(spec.url or (f"http://{spec.address}" if spec.address else ""))
        return
    with Forwarder(spec.via.url, spec.via.server, spec.timeout) as forwarder:
        yield _Proven(forwarder)


def _joined(*words: str) -> str:
    return "; ".join(word for word in words if word)

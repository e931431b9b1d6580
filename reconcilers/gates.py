"""Gates as operations: what is run, on which runner, under which id."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from crds.messages import OperationSpec, Via
from crds.release import canonical_json
from crds.service import Gate, When
from crds.status import Journey, Operation
from reconcilers.facts import HostFacts
from reconcilers.questions import prometheus_secrets, question
from reconcilers.target import TargetSpec

MAX_ATTEMPTS = 3
"""Times that a gate may end without a verdict before the host has failed."""


def gates_at(target: TargetSpec, when: When) -> list[Gate]:
    """The target's gates of that time, in their order."""
    return [gate for gate in target.gates if gate.when == when]


def operation_id(target: TargetSpec, journey: Journey, gate: Gate) -> str:
    """Derived from what the operation is for, so that planning it again is the same operation.

    The whole gate is part of it: what an older wording of it found says nothing about this one.
    """
    test = gate.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    return identity([target.name, journey.digest, journey.host, journey.begun.isoformat(), test, journey.attempt])


def identity(said: list[Any]) -> str:
    """An operation's id out of all that it is for."""
    return hashlib.sha256(canonical_json(said)).hexdigest()[:16]


def runner_for(operation: str, runners: Sequence[str]) -> str:
    """Spread over the runners by the id, so that no counter has to be kept."""
    return runners[int(operation, 16) % len(runners)]


def next_operation(
    target: TargetSpec,
    facts: HostFacts,
    journey: Journey,
    operations: Mapping[str, Operation],
    runners: Sequence[str],
    when: When = "maintenance",
) -> Operation | None:
    """The host's first operation that has not been requested yet; gates run one after another."""
    for gate in gates_at(target, when):
        found = operation_id(target, journey, gate)
        operation = operations.get(found)
        if operation is None:
            return _operation(target, facts, gate, found, runners) if runners else None
        if operation.result is None or operation.result.outcome != "passed":
            return None
    return None


def _operation(target: TargetSpec, facts: HostFacts, gate: Gate, found: str, runners: Sequence[str]) -> Operation:
    through = _via(target, facts) if gate.when == "maintenance" and not gate.prometheus else None
    where = {"host": facts.host.name, "via": through, "address": _address(target, facts)}
    return Operation(
        id=found,
        target=target.name,
        host=facts.host.name,
        node=runner_for(found, runners),
        digest=target.digest,
        spec=gate_spec(target, gate).model_copy(update=where),
    )


def gate_spec(target: TargetSpec, gate: Gate) -> OperationSpec:
    """What a runner is told of a gate, wherever the test leads to."""
    http = gate.http
    return OperationSpec(
        name=gate.name,
        target=target.name,
        version=target.version,
        command=gate.exec.command if gate.exec else None,
        secrets=_secrets(gate),
        path=http.path if http else None,
        status=http.status if http else [200],
        contains=http.contains.replace("{version}", target.version) if http and http.contains else None,
        url=http.url if http else None,
        prometheus=question(gate.prometheus) if gate.prometheus else None,
        count=gate.count,
        interval=gate.interval,
        failure_limit=gate.failure_limit,
        timeout=next(kind.timeout for kind in (gate.exec, gate.http, gate.prometheus) if kind),
        statement=target.statement if http is None else None,
        trust=target.trust if http is None else None,
    )


def _secrets(gate: Gate) -> dict[str, str]:
    return gate.exec.secrets if gate.exec else prometheus_secrets(gate.prometheus) if gate.prometheus else {}


def _address(target: TargetSpec, facts: HostFacts) -> str:
    """Where the service itself answers: at its pools' port, or where its probes ask; without either, the bare host."""
    asked = [check.port for probe in target.probes if (check := probe.http or probe.tcp)]
    ports = [pool.port for pool in target.pools] + asked
    host = _in_url(facts.host.address)
    return f"{host}:{ports[0]}" if ports else host


def _in_url(address: str) -> str:
    """An IPv6 address stands in brackets there (RFC 3986, section 3.2.2)."""
    return f"[{address}]" if ":" in address else address


def _via(target: TargetSpec, facts: HostFacts) -> Via | None:
    """Through the first maintenance pool that tests can reach."""
    for pool in target.pools:
        if pool.maintenance and pool.maintenance_port:
            return Via(url=f"http://{_in_url(pool.nodes[0].address)}:{pool.maintenance_port}", server=facts.host.name)
    return None

"""Gates as operations: what is run, on which runner, under which id."""

import hashlib
from collections.abc import Mapping, Sequence

from crds.messages import OperationSpec, Via
from crds.release import canonical_json
from crds.service import Gate
from crds.status import Journey, Operation
from reconcilers.facts import HostFacts
from reconcilers.target import TargetSpec

MAX_ATTEMPTS = 3
"""Times that a gate may end without a verdict before the host has failed."""


def operation_id(target: TargetSpec, journey: Journey, gate: Gate) -> str:
    """Derived from what the operation is for, so that planning it again is the same operation.

    The whole gate is part of it: what an older wording of it found says nothing about this one.
    """
    test = gate.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    said = [target.name, journey.digest, journey.host, journey.begun.isoformat(), test, journey.attempt]
    return hashlib.sha256(canonical_json(said)).hexdigest()[:16]


def next_operation(
    target: TargetSpec,
    facts: HostFacts,
    journey: Journey,
    operations: Mapping[str, Operation],
    runners: Sequence[str],
) -> Operation | None:
    """The first gate's operation that has not been requested yet; gates run one after another."""
    for gate in target.gates:
        identity = operation_id(target, journey, gate)
        operation = operations.get(identity)
        if operation is None:
            return _operation(target, facts, gate, identity, runners) if runners else None
        if operation.result is None or operation.result.outcome != "passed":
            return None
    return None


def _operation(target: TargetSpec, facts: HostFacts, gate: Gate, identity: str, runners: Sequence[str]) -> Operation:
    """Spread over the runners by the id, so that no counter has to be kept."""
    return Operation(
        id=identity,
        target=target.name,
        host=facts.host.name,
        node=runners[int(identity, 16) % len(runners)],
        spec=_spec(target, facts, gate),
    )


def _spec(target: TargetSpec, facts: HostFacts, gate: Gate) -> OperationSpec:
    http = gate.http
    return OperationSpec(
        name=gate.name,
        target=target.name,
        host=facts.host.name,
        version=target.version,
        command=gate.exec.command if gate.exec else None,
        secrets=gate.exec.secrets if gate.exec else {},
        path=http.path if http else None,
        status=http.status if http else [200],
        contains=http.contains.replace("{version}", target.version) if http and http.contains else None,
        timeout=gate.exec.timeout if gate.exec else http.timeout if http else 0.0,
        via=_via(target, facts),
        address=_address(target, facts),
        statement=target.statement if gate.exec else None,
        trust=target.trust if gate.exec else None,
    )


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

"""Gates as operations: the same one is never run twice, and always against the very host."""

from dataclasses import replace

import pytest

from crds.service import Gate
from crds.status import Step
from reconcilers.gates import next_operation, operation_id
from reconcilers.target import BalancerNodeSpec
from tests.support.worlds import NOW, gate, journey, pool, scene, seconds, target

SPEC = target(gates=(gate("smoke"), gate("contract")))


def test_an_id_says_what_the_operation_is_for() -> None:
    underway = journey(SPEC, Step.TESTING)
    same = operation_id(SPEC, underway, gate("smoke"))
    assert operation_id(SPEC, journey(SPEC, Step.TESTING, elapsed=9.0, reason="x"), gate("smoke")) == same
    others = [
        operation_id(SPEC, underway, gate("contract")),
        operation_id(target(name="web@prod"), underway, gate("smoke")),
        operation_id(SPEC, journey(SPEC, Step.TESTING, "vm2"), gate("smoke")),
        operation_id(SPEC, journey(target("3"), Step.TESTING), gate("smoke")),
        operation_id(SPEC, journey(SPEC, Step.TESTING, begun=NOW + seconds(1)), gate("smoke")),
        operation_id(SPEC, journey(SPEC, Step.TESTING, attempt=1), gate("smoke")),
        operation_id(SPEC, underway, gate("contract").model_copy(update={"name": "smoke"})),
    ]
    assert len({same, *others}) == 8


def test_gates_are_requested_one_after_another() -> None:
    at = scene(Step.TESTING, SPEC)

    def requested(operations: dict) -> str | None:
        found = next_operation(SPEC, at.facts, at.journey, operations, ("run1",))
        return found.spec.name if found else None

    assert requested({}) == "smoke"
    assert requested(at.gated(None, "smoke").operations) is None
    assert requested(at.gated("failed", "smoke").operations) is None
    assert requested(at.gated("passed", "smoke").operations) == "contract"
    assert requested(at.gated("passed", "smoke").gated("passed", "contract").operations) is None
    assert next_operation(SPEC, at.facts, at.journey, {}, ()) is None


def test_a_gate_goes_through_the_maintenance_pool_to_the_very_host() -> None:
    at = scene(Step.TESTING, SPEC)
    found = next_operation(SPEC, at.facts, at.journey, {}, ("run1",))
    assert found is not None
    assert (found.host, found.node, found.target) == ("vm1", "run1", "api@prod")
    assert found.spec.via is not None
    assert (found.spec.via.url, found.spec.via.server) == ("http://10.0.9.9:8081", "vm1")
    assert found.spec.command == ["./smoke.sh", "{url}"]
    assert (found.spec.version, found.spec.timeout) == ("2", 60.0)


def test_an_ipv6_address_stands_in_brackets_in_a_url() -> None:
    through = replace(pool(), nodes=(BalancerNodeSpec("lb1", "fd00::9"),))
    for pools, expected in (((through,), "http://[fd00::9]:8081"), ((), "[fd00::1]:8080")):
        spec = target(pools=pools)
        at = scene(Step.TESTING, spec)
        facts = replace(at.facts, host=replace(at.facts.host, address="fd00::1"))
        found = next_operation(spec, facts, at.journey, {}, ("run1",))
        assert found is not None
        assert (found.spec.via.url if found.spec.via else found.spec.address) == expected


@pytest.mark.parametrize("pools", [(), (pool(maintenance=None),)])
def test_without_a_maintenance_pool_the_host_is_asked_itself(pools: tuple) -> None:
    spec = target(pools=pools)
    at = scene(Step.TESTING, spec)
    found = next_operation(spec, at.facts, at.journey, {}, ("run1",))
    assert found is not None
    assert found.spec.via is None
    assert found.spec.address == "10.0.0.1:8080", "without a pool, where its probes ask"


def test_an_http_gate_says_what_must_be_answered() -> None:
    said = '{"name": "version", "http": {"path": "/version", "contains": "v{version}", "timeout": "5s"}}'
    spec = target(gates=(Gate.model_validate_json(said),))
    at = scene(Step.TESTING, spec)
    found = next_operation(spec, at.facts, at.journey, {}, ("run1",))
    assert found is not None
    assert (found.spec.path, found.spec.contains, found.spec.status) == ("/version", "v2", [200])
    assert (found.spec.timeout, found.spec.command) == (5.0, None)


def test_hosts_are_spread_over_runners() -> None:
    spec = replace(target(count=40), runners=("run1", "run2"))
    at = scene(Step.TESTING, spec)
    found = [
        next_operation(spec, at.facts, journey(spec, Step.TESTING, name), {}, ("run1", "run2")) for name in spec.hosts
    ]
    assert {operation.node for operation in found if operation} == {"run1", "run2"}

"""Migrations and questions to a Prometheus on a runner that pins roots: only what was signed, with all that it does."""

from typing import Any

import pytest

from crds.messages import Migrating, OperationSpec, PrometheusQuery
from crds.trust import CommandKind, prometheus_command
from tests.simulation.drivers import SimClock
from tests.support.roles import MemorySteps
from tests.support.signed_nodes import SignedRunner
from tests.support.signing import TARGET, Signing, release

ONE = release("1")
ADD, HAS = ["./add", "{version}"], ["./has"]
QUERY = PrometheusQuery(url="http://prometheus:9090", query="errors", max=0.01)
TOKEN = {"token": "prometheus-token"}


@pytest.fixture(scope="module")
def signing() -> Signing:
    return Signing()


@pytest.fixture
def runner(signing: Signing) -> SignedRunner:
    clock = SimClock()
    return SignedRunner(signing.node(clock), clock, MemorySteps())


def migration(signing: Signing, kind: CommandKind = "expand", **said: Any) -> OperationSpec:
    fields: dict[str, Any] = {
        "name": "add",
        "target": TARGET,
        "version": "1",
        "command": ADD,
        "migration": Migrating(phase="expand", check=HAS, lock="api"),
        "statement": signing.statement(ONE, commands={kind: ADD}, check=HAS),
        "trust": signing.trust(),
    }
    return OperationSpec.model_validate(fields | said)


def test_a_signed_migration_runs(runner: SignedRunner, signing: Signing) -> None:
    assert (runner.give(migration(signing)).outcome, runner.ran) == ("passed", [ADD])


@pytest.mark.parametrize(
    "said",
    [
        {"command": ["sh", "-c", "evil"]},
        {"migration": Migrating(phase="expand", check=["true"], lock="api")},
        {"migration": Migrating(phase="contract", check=HAS, lock="api")},
        {"migration": None},
        {"secrets": {"PASSWORD": "root-password"}},
        {"version": "2"},
    ],
    ids=["command", "check", "phase", "as a gate", "secrets", "version"],
)
def test_a_migration_that_was_not_signed_so(runner: SignedRunner, signing: Signing, said: dict[str, Any]) -> None:
    result = runner.give(migration(signing, **said))
    assert (result.outcome, runner.ran) == ("failed", [])
    assert "was " in result.message


@pytest.mark.parametrize("kind", ["gate", "contract", "probe"])
def test_what_was_signed_for_something_else_is_no_migration(
    runner: SignedRunner, signing: Signing, kind: CommandKind
) -> None:
    assert (runner.give(migration(signing, kind)).outcome, runner.ran) == ("failed", [])


def asked(signing: Signing, query: PrometheusQuery, secrets: dict[str, str]) -> OperationSpec:
    signed = prometheus_command(QUERY, TOKEN)
    statement = signing.statement(ONE, commands={"prometheus": signed.words}, secrets=TOKEN)
    return OperationSpec(
        name="errors",
        target=TARGET,
        version="1",
        prometheus=query,
        secrets=secrets,
        statement=statement,
        trust=signing.trust(),
    )


def test_a_signed_question_is_asked(runner: SignedRunner, signing: Signing) -> None:
    assert runner.give(asked(signing, QUERY, TOKEN)).outcome == "passed"


@pytest.mark.parametrize(
    ("change", "secrets"),
    [
        ({"url": "http://evil:9090"}, TOKEN),
        ({"query": "other"}, TOKEN),
        ({"max": 1.0}, TOKEN),
        ({"samples": "requests", "fewest": 1.0}, TOKEN),
        ({}, {"token": "root-password"}),
    ],
)
def test_a_question_that_was_not_signed_so_gets_no_secret(
    runner: SignedRunner, signing: Signing, change: dict[str, Any], secrets: dict[str, str]
) -> None:
    result = runner.give(asked(signing, QUERY.model_copy(update=change), secrets))
    assert (result.outcome, runner.ran) == ("failed", [])
    assert "was not signed" in result.message

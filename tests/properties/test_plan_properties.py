"""Whatever is observed, possible or not, no plan breaks a promise, and planning comes to rest."""

from dataclasses import replace
from datetime import datetime
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from crds.messages import OperationReport, Stamp
from crds.status import Hold, Operation, RolloutStatus, Step
from reconcilers.classify import Standing, classify
from reconcilers.draft import Observed
from reconcilers.facts import HostFacts
from reconcilers.fragments import Entry
from reconcilers.gates import operation_id
from reconcilers.index import rebuilt
from reconcilers.plan import plan
from reconcilers.target import TargetSpec
from reconcilers.writes import (
    DropEntry,
    DropJourney,
    DropOperation,
    Plan,
    PutEntry,
    PutJourney,
    PutOperation,
    PutStatus,
)
from tests.support.promises import PROMISES
from tests.support.worlds import (
    ASKED,
    BEFORE,
    NOW,
    RUNNER,
    entries,
    gate,
    journey,
    pool,
    process,
    release,
    seconds,
    server,
    service,
    target,
)
from tests.support.worlds import address as address_of
from tests.support.worlds import hosts as hosts_in

often = st.sampled_from([True, True, True, True, False])
seldom = often.map(lambda value: not value)
versions = st.sampled_from(["1", "2", "2", "3"])
reads = st.sampled_from([BEFORE, ASKED, ASKED, ASKED])
PASSES = 12
LATER = Stamp(1, 100)


@st.composite
def specs(draw: st.DrawFn) -> TargetSpec:
    """A target of few hosts, with none to three pools."""
    count = draw(st.integers(0, 6))
    pools = [
        (),
        (pool(),),
        (pool(maintenance=None),),
        (replace(pool(), max_unavailable=draw(st.sampled_from([1, "25%", "50%"]))),),
        (pool(), pool("admin", ("lb3",), "admin-tests", 9090)),
    ]
    return target(
        draw(st.sampled_from(["2", "2", "2", None])),
        count,
        hosts=hosts_in(count, draw(st.sampled_from(["ab", "aaab", "a", "abc"]))),
        min_available=draw(st.sampled_from([None, None, 1, 3, "50%", "90%"])),
        pools=draw(st.sampled_from([pools[1], *pools])),
        gates=draw(st.sampled_from([(gate(),), (), (gate(), gate("contract"))])),
        batches=[draw(st.sampled_from([1, 2, "25%", "50%", "100%"]))],
        max_unavailable=draw(st.sampled_from([1, 2, "25%", "50%", "100%"])),
        downtime=draw(st.sampled_from(["refused", "allowed"])),
        soak=draw(st.sampled_from(["0s", "30s"])),
        drain={"on_timeout": draw(st.sampled_from(["hold", "close"]))},
    )


@st.composite
def hosts(draw: st.DrawFn, spec: TargetSpec, name: str) -> HostFacts:
    """What might be known of a host: not all of it makes sense together."""
    step = draw(st.sampled_from([None, None, None, *Step]))
    fitting = "drain" if step is Step.DRAINING else "ready" if step in (Step.ENABLING, Step.SOAKING, None) else "maint"
    seen = {}
    for each in spec.pools:
        for node in each.nodes:
            for pool_name in each.names if draw(often) else ():
                usual = fitting if pool_name == each.online else "ready" if step is Step.TESTING else "maint"
                seen[node.name, pool_name] = draw(servers(name, each.port, usual))
    running = draw(services(step in (Step.TESTING, Step.ENABLING, Step.SOAKING)))
    facts = HostFacts(
        host=spec.hosts[name],
        silent=draw(seldom),
        service=running,
        servers=seen,
        unclear=frozenset(place for place in draw(st.sets(st.sampled_from(sorted(seen)))) if draw(seldom))
        if seen
        else frozenset(),
        claimed_by="web@prod" if draw(seldom) and draw(seldom) else None,
    )
    return draw(asked(spec, facts, step))


@st.composite
def servers(draw: st.DrawFn, name: str, port: int, usual: str) -> Any:
    """One server line, mostly as it should be."""
    admin = usual if draw(often) else draw(st.sampled_from(["ready", "drain", "maint"]))
    said: dict[str, Any] = {"address": address_of(name, port) if draw(often) or draw(often) else "10.9.9.9:1"}
    if draw(seldom):
        said["up"] = draw(st.booleans())
    if draw(seldom):
        said |= {"idle": draw(st.booleans()), "old_workers": draw(st.integers(0, 1))}
    return server(admin, name, draw(reads), by=draw(st.sampled_from(["us", "us", "config", "person"])), **said)


@st.composite
def services(draw: st.DrawFn, on_the_new: bool) -> Any:
    """What the agent says, mostly that all is well."""
    if draw(seldom):
        return None
    version = "2" if on_the_new and draw(often) else draw(versions)
    state = "running" if draw(often) else draw(st.sampled_from(["absent", "installing", "crashing", "failed"]))
    healthy = True if draw(often) else draw(st.sampled_from([False, None]))
    return service(version, draw(reads), draw(st.integers(1, 2)), healthy=healthy, state=state)


@st.composite
def asked(draw: st.DrawFn, spec: TargetSpec, facts: HostFacts, step: Step | None) -> HostFacts:
    """A host at a step, with what was asked of it when it came there; or on none, with what its last one left."""
    before = replace(spec, release=release("1"), version="1")
    adopted = entries(before, replace(facts, service=service("1"), silent=False))
    adopted = {key: entry for key, entry in adopted.items() if key[0] == facts.host.name and draw(often)}
    wanted = spec if draw(often) else replace(spec, release=release("9"), version="9")
    then = draw(st.sampled_from([step, step, Step.FAILED, Step.SOAKING])) if step in (None, Step.WAITING) else step
    way = None
    if then is not None:
        ages = {"elapsed": draw(st.sampled_from([0.0, 10.0, 700.0])), "before": process(draw(st.integers(1, 2)))}
        either = then in (Step.FAILED, Step.LEAVING)
        out = draw(st.booleans()) if either else then in (Step.DEPLOYING, Step.TESTING)
        way = journey(wanted, then, facts.host.name, out=out, **ages)
    said = entries(wanted, replace(facts, entries=adopted, journey=way), draw(reads))
    now = way if then is step else journey(wanted, step, facts.host.name) if step is not None else None
    return replace(facts, entries=said, journey=now)


@st.composite
def situations(draw: st.DrawFn) -> tuple[TargetSpec, Observed]:
    """A target and what is observed of it."""
    spec = draw(specs())
    known = {name: draw(hosts(spec, name)) for name in spec.hosts}
    journeys = {name: facts.journey for name, facts in known.items() if facts.journey}
    operations = {}
    for name, underway in journeys.items():
        for each in spec.gates if underway.step is Step.TESTING else ():
            outcome = draw(st.sampled_from([None, "passed", "passed", "failed", "inconclusive", "none"]))
            if outcome != "none":
                operation = _operation(spec, name, operation_id(spec, underway, each), each.name, outcome)
                operations[operation.id] = operation
    digest = spec.digest if draw(often) else "older"
    hold = Hold(digest=digest, reason="HostFailed", message="x", since=NOW) if draw(seldom) else None
    status = RolloutStatus(target=spec.name, digest=digest, batch=draw(st.integers(0, 3)), hold=hold)
    index = rebuilt(spec.hosts, {name: classify(spec, facts) for name, facts in known.items()})
    obstacles = ["balancer node lb1 has not reported yet"] if draw(seldom) else []
    runners = (RUNNER,) if draw(often) else ()
    return spec, Observed(
        status=status,
        index=index,
        facts=known.__getitem__,
        journeys=journeys,
        operations=operations,
        silent_balancers=obstacles,
        runners=runners,
        watching_since=NOW - seconds(1000),
    )


def _operation(spec: TargetSpec, host: str, identity: str, name: str, outcome: str | None) -> Operation:
    state = "finished" if outcome else "running"
    result = OperationReport.model_validate({"read": ASKED, "state": state, "outcome": outcome})
    said = {"name": name, "target": spec.name}
    return Operation.model_validate(
        {"id": identity, "target": spec.name, "host": host, "node": RUNNER, "spec": said, "result": result}
    )


def carried_out(spec: TargetSpec, observed: Observed, decided: Plan) -> Observed:
    """What is observed once the plan was saved, before any node has answered."""
    known = {name: observed.facts(name) for name in spec.hosts}
    asked_now = {name: dict(facts.entries) for name, facts in known.items()}
    journeys, operations, status = dict(observed.journeys), dict(observed.operations), observed.status
    pools = dict(observed.pool_entries)
    for write in decided.writes:
        match write:
            case PutStatus(now):
                status = now
            case PutJourney(now):
                journeys[now.host] = now
            case DropJourney(host):
                del journeys[host]
            case PutOperation(operation):
                operations[operation.id] = operation
            case DropOperation(identity):
                del operations[identity]
            case PutEntry(node, key, value) if key.startswith("pool/"):
                pools[node, key] = value
            case PutEntry(node, key, value) if not key.startswith("operation/"):
                host = node if key == "service" else key.rsplit("/", 1)[1]
                asked_now[host][node, key] = Entry(value, LATER)
            case DropEntry(node, key) if not key.startswith("operation/"):
                host = node if key == "service" else key.rsplit("/", 1)[1]
                del asked_now[host][node, key]
    after = {name: replace(facts, entries=asked_now[name], journey=journeys.get(name)) for name, facts in known.items()}
    index = rebuilt(spec.hosts, {name: classify(spec, facts) for name, facts in after.items()})
    return replace(
        observed,
        status=status,
        index=index,
        facts=after.__getitem__,
        journeys=journeys,
        operations=operations,
        pool_entries=pools,
    )


@given(situations())
@settings(max_examples=100, deadline=None)
def test_no_plan_breaks_a_promise_and_planning_comes_to_rest(situation: tuple[TargetSpec, Observed]) -> None:
    spec, observed = situation
    for _ in range(PASSES):
        decided = plan(spec, observed, NOW)
        for promise in PROMISES:
            promise(spec, observed, decided)
        if not decided.writes:
            return
        observed = carried_out(spec, observed, decided)
    raise AssertionError(f"it still writes {decided.writes}")


@given(situations(), st.sampled_from([NOW, NOW + seconds(31), NOW + seconds(4000)]))
@settings(max_examples=40, deadline=None)
def test_the_same_is_decided_again_and_nothing_observed_is_changed(
    situation: tuple[TargetSpec, Observed], now: datetime
) -> None:
    spec, observed = situation
    before = (observed.status, dict(observed.journeys), dict(observed.operations), replace(observed.index))
    assert plan(spec, observed, now) == plan(spec, observed, now)
    assert before == (observed.status, observed.journeys, observed.operations, observed.index)


@given(situations())
@settings(max_examples=40, deadline=None)
def test_a_plan_that_waits_for_time_waits_for_a_time_to_come(situation: tuple[TargetSpec, Observed]) -> None:
    spec, observed = situation
    wake = plan(spec, observed, NOW).wake_at
    assert wake is None or wake > NOW


@given(situations())
@settings(max_examples=100, deadline=None)
def test_every_host_stands_somewhere_and_always_at_the_same_place(situation: tuple[TargetSpec, Observed]) -> None:
    spec, observed = situation
    for name in spec.hosts:
        found = classify(spec, observed.facts(name))
        assert found == classify(spec, observed.facts(name))
        assert found.why or found.standing not in (Standing.UNKNOWN, Standing.EXCLUDED, Standing.UNHEALTHY)
    counts = observed.index.counts()
    parts = (counts.current, counts.outdated, counts.in_flight, counts.failed, counts.unknown, counts.excluded)
    assert sum(parts) == counts.total == len(spec.hosts)

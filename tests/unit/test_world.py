"""World: what a change marks, what a claim keeps away, and what is taken for granted from a digest."""

from dataclasses import replace
from datetime import timedelta

from controller.store import Loaded
from controller.world import World
from crds.messages import BalancerReport, OperationReport, PoolReport, Stamp, plain_digest
from crds.status import Step
from reconcilers.classify import Standing
from reconcilers.fragments import SERVICE, Entry, server_key
from reconcilers.values import server_value
from reconcilers.writes import DropEntry, DropJourney, PutEntry, PutJourney, PutOperation
from tests.support.site import Site, converged
from tests.support.worlds import (
    ASKED,
    NODES,
    NOW,
    ONLINE,
    address,
    journey,
    pool,
    report,
    scene,
    seconds,
    server,
    service,
    target,
)

API = target("2")
WEB = target("2", name="web@prod", pools=(pool("web", NODES, "web-tests", 9090),))


def online(seq: int, **servers: object) -> dict:
    """A balancer node's report in which the servers that are not given are plainly online."""
    plain = {name: address(name) for name in API.hosts if name not in servers}
    said = PoolReport(read=ASKED, servers=servers, plain_count=len(plain), plain_digest=plain_digest(plain))
    return {"seq": seq, "full_seq": seq, "pools": {ONLINE: said}}


def world(*specs: object) -> World:
    """Every node has reported; everything is as it should be."""
    made = World(Loaded(), 90, NOW)
    made.set_specs({spec.name: spec for spec in specs or (API,)}, NOW)  # type: ignore[attr-defined]
    for name in API.hosts:
        made.fold(report(name, services={"api@prod": service("2"), "web@prod": service("2")}), NOW)
    for node in NODES:
        made.fold(report(node, **online(1)), NOW)
    made.dirty.clear()
    return made


def standings(made: World, name: str = "api@prod") -> dict[str, Standing]:
    return {host: found.standing for host, found in made.observed(name).index.hosts.items()}


def test_servers_that_are_not_named_are_believed_when_the_rest_adds_up() -> None:
    assert set(standings(world()).values()) == {Standing.CURRENT}


def test_servers_that_are_not_named_are_unknown_when_the_rest_does_not_add_up() -> None:
    made = world()
    for plain in ({"vm1": address("vm1")}, dict.fromkeys(API.hosts, "10.9.9.9:8080")):
        said = PoolReport(read=ASKED, plain_count=len(plain), plain_digest=plain_digest(plain))
        seq = made.nodes.get("lb2").seq + 1
        made.fold(report("lb2", seq, full_seq=seq, pools={ONLINE: said}), NOW)
        assert set(standings(made).values()) == {Standing.UNKNOWN}
        assert made.facts("api@prod", "vm1").unclear == {("lb2", ONLINE)}
    made.fold(report("lb2", **online(9)), NOW)
    assert set(standings(made).values()) == {Standing.CURRENT}


def test_a_pool_that_the_balancer_does_not_have_makes_hosts_unknown() -> None:
    made = world()
    made.fold(report("lb1", 2, pools={ONLINE: PoolReport(read=ASKED, known=False)}), NOW)
    assert set(standings(made).values()) == {Standing.UNKNOWN}


def test_a_report_marks_only_what_changed() -> None:
    made = world()
    made.observed("api@prod")
    made.fold(report("vm1", 2, services={"api@prod": service("2"), "web@prod": service("2")}), NOW)
    made.fold(report("lb1", **online(2)), NOW)
    assert made.dirty == set()
    made.fold(report("lb1", **online(3, vm3=server("maint", "vm3", by="person"))), NOW)
    assert made.dirty == {"api@prod"}
    assert standings(made)["vm3"] is Standing.EXCLUDED


def test_a_silent_node_takes_its_word_with_it() -> None:
    made = world()
    for name in ("vm2", "vm3", "vm4", "lb1", "lb2"):
        made.fold(report(name, 2, full=False, full_seq=1), NOW + seconds(60))
    silent = made.expire(NOW + seconds(90))
    assert [node.name for node in silent] == ["vm1"]
    assert standings(made)["vm1"] is Standing.UNKNOWN
    assert standings(made)["vm2"] is Standing.CURRENT


def test_a_silent_balancer_node_makes_every_host_behind_it_unknown() -> None:
    made = world()
    for name in (*API.hosts, "lb1"):
        made.fold(report(name, 2, full=False, full_seq=1), NOW + seconds(60))
    silent = made.expire(NOW + seconds(90))
    assert [node.name for node in silent] == ["lb2"]
    observed = made.observed("api@prod")
    assert set(observed.index.standings) == {Standing.UNKNOWN}
    assert observed.index.unavailable == len(API.hosts)
    assert len(observed.silent_balancers) == 1
    made.fold(report("lb2", 2, full=False, full_seq=1), NOW + seconds(91))
    assert set(standings(made).values()) == {Standing.CURRENT}


def test_a_host_whose_agent_cannot_work_is_unknown_until_it_can() -> None:
    """Its journal cannot be read: it says that it lives and nothing of its services, which run as before."""
    made = world()
    made.fold(report("vm2", 2, problem="the journal is damaged"), NOW)
    index = made.observed("api@prod").index
    assert (index.hosts["vm2"].standing, index.unavailable, index.candidates) == (Standing.UNKNOWN, 1, [])
    assert index.hosts["vm2"].why == "its agent cannot work: the journal is damaged"
    made.fold(report("vm2", 3, services={"api@prod": service("2")}), NOW)
    assert standings(made)["vm2"] is Standing.CURRENT


def test_a_balancer_node_whose_agent_cannot_work_is_an_obstacle_and_what_it_said_is_history() -> None:
    made = world()
    made.fold(report("lb2", **online(2), problem="cannot write the journal"), NOW)
    assert made.observed("api@prod").silent_balancers == [
        "the agent of balancer node lb2 cannot work: cannot write the journal"
    ]
    assert set(standings(made).values()) == {Standing.UNKNOWN}


def test_a_balancer_that_does_not_answer_or_would_forget_is_an_obstacle() -> None:
    made = world()
    for seq, balancer, words in (
        (2, BalancerReport(reachable=False, reload_safe=True, message="no socket"), "no socket"),
        (3, BalancerReport(reachable=True, reload_safe=False, message="no state file"), "ReloadUnsafe"),
    ):
        made.fold(report("lb1", **{**online(seq), "balancer": balancer}), NOW)
        assert made.dirty == {"api@prod"}
        (obstacle,) = made.observed("api@prod").silent_balancers
        assert "lb1" in obstacle
        assert words in obstacle


def test_a_claim_keeps_the_host_from_other_targets_until_it_ends() -> None:
    made = world(API, WEB)
    underway = journey(API, Step.DRAINING)
    made.apply("api@prod", PutJourney(underway), ASKED)
    assert made.facts("web@prod", "vm1").claimed_by == "api@prod"
    assert made.facts("api@prod", "vm1").claimed_by is None
    made.dirty.clear()
    made.apply("api@prod", PutJourney(underway.model_copy(update={"step": Step.FAILED})), ASKED)
    assert made.facts("web@prod", "vm1").claimed_by is None
    assert made.dirty == {"api@prod", "web@prod"}
    made.apply("api@prod", PutJourney(underway), ASKED)
    made.apply("api@prod", DropJourney("vm1"), ASKED)
    assert made.facts("web@prod", "vm1").claimed_by is None


def test_a_host_that_only_waits_is_not_claimed() -> None:
    made = world(API, WEB)
    made.apply("api@prod", PutJourney(journey(API, Step.WAITING)), ASKED)
    assert made.facts("web@prod", "vm1").claimed_by is None


def test_another_targets_claim_is_not_ended_by_ours() -> None:
    made = world(API, WEB)
    made.apply("web@prod", PutJourney(journey(WEB, Step.DRAINING)), ASKED)
    made.apply("api@prod", PutJourney(journey(API, Step.WAITING)), ASKED)
    made.apply("api@prod", DropJourney("vm1"), ASKED)
    assert made.facts("api@prod", "vm1").claimed_by == "web@prod"


def test_a_restart_remembers_claims_entries_and_operations_and_trusts_nobody() -> None:
    at = scene(Step.TESTING, API).gated(None)
    said = {"api@prod": {key: entry for (node, key), entry in at.facts.entries.items() if node == "lb1"}}
    made = World(
        Loaded(
            journeys={"api@prod": {"vm1": at.journey}},
            entries={"lb1": said},
            operations=at.operations,
            reports={"vm1": report("vm1", services={"api@prod": service("2")})},
        ),
        90,
        NOW,
    )
    made.set_specs({"api@prod": API, "web@prod": WEB}, NOW)
    assert made.facts("web@prod", "vm1").claimed_by == "api@prod"
    assert made.facts("api@prod", "vm1").silent
    assert len(made.facts("api@prod", "vm1").entries) == 2
    assert made.operations.of("api@prod") == at.operations


def test_a_result_counts_once_and_only_from_the_runner_that_was_asked() -> None:
    at = scene(Step.TESTING, API).gated(None)
    (identity,) = at.operations
    made = world()
    made.operations.put(at.operations[identity])
    passed = {identity: OperationReport(read=ASKED, state="finished", outcome="passed")}
    failed = {identity: OperationReport(read=ASKED, state="finished", outcome="failed")}
    assert made.fold(report("lb1", **{**online(2), "operations": passed}), NOW)[1] == []
    (found,) = made.fold(report("run1", 1, operations=passed), NOW)[1]
    assert found.result == passed[identity]
    assert made.dirty == {"api@prod"}
    assert made.fold(report("run1", 2, full_seq=2, operations=failed), NOW)[1] == []
    assert made.operations.of("api@prod")[identity].result == passed[identity]


def test_entries_of_hosts_and_pools_that_are_gone_are_strays() -> None:
    made = world()
    kept, gone = server_key(ONLINE, "vm1"), server_key(ONLINE, "vm4")
    for key in (kept, gone, f"pool/{ONLINE}", "pool/old"):
        made.apply("api@prod", PutEntry("lb1", key, server_value("watch", "10.0.0.1:8080", False)), ASKED)
    made.set_specs({"api@prod": target("2", count=3)}, NOW)
    assert made.observed("api@prod").stray == [("lb1", "pool/old"), ("lb1", gone)]


def test_operations_that_are_asked_and_not_known_are_strays() -> None:
    made, at = world(), scene(Step.TESTING, API).gated(None)
    (known,) = at.operations.values()
    made.apply("api@prod", PutOperation(known), ASKED)
    for identity in (known.id, "lost"):
        made.apply("api@prod", PutEntry(known.node, f"operation/{identity}", "{}"), ASKED)
    assert made.observed("api@prod").stray == [(known.node, "operation/lost")]


def test_a_host_that_was_given_the_service_leaves_and_is_no_stray_before() -> None:
    made = world()
    watched = server_value("watch", "10.0.0.4:8080", False)
    made.apply("api@prod", PutEntry("lb1", server_key(ONLINE, "vm4"), watched), ASKED)
    made.apply("api@prod", PutEntry("vm4", SERVICE, '{"release":null}'), ASKED)
    made.set_specs({"api@prod": target("2", count=3)}, NOW)
    observed = made.observed("api@prod")
    assert (observed.stray, observed.leavers) == ([], {"vm4"})
    made.look_at_all("api@prod")
    made.apply("api@prod", DropEntry("vm4", SERVICE), ASKED)
    observed = made.observed("api@prod")
    assert (observed.stray, observed.leavers) == ([("lb1", server_key(ONLINE, "vm4"))], set())


def test_a_new_value_gets_the_stamp_of_the_assignment_that_carries_it() -> None:
    made = world()
    made.apply("api@prod", PutEntry("lb1", server_key(ONLINE, "vm1"), '{"state":"drain"}'), Stamp(2, 7))
    found = made.facts("api@prod", "vm1").entries["lb1", server_key(ONLINE, "vm1")]
    assert found == Entry('{"state":"drain"}', Stamp(2, 7))


def test_an_unchanged_spec_keeps_the_index_and_a_changed_one_does_not() -> None:
    made = world()
    index = made.observed("api@prod").index
    made.set_specs({"api@prod": replace(API, revision="another")}, NOW)
    assert made.observed("api@prod").index is index
    made.set_specs({"api@prod": replace(API, probes=())}, NOW)
    assert made.observed("api@prod").index is not index


def test_a_target_that_nothing_declares_is_left_alone() -> None:
    site: Site = converged(target("1"))
    entries = {node: dict(fragments) for node, fragments in site.world.entries.items()}
    site.world.set_specs({}, site.now)
    site.run(100)
    assert {node: dict(fragments) for node, fragments in site.world.entries.items()} == entries
    assert site.now - NOW > timedelta(seconds=90)


def test_time_that_is_counted_for_a_host_is_no_reason_to_plan_again() -> None:
    """Else a target that waits, and keeps its hosts' time standing meanwhile, would be planned for ever."""
    made, waits = world(), journey(API, Step.LEAVING)
    made.apply("api@prod", PutJourney(waits), Stamp(0, 0))
    made.dirty.clear()
    made.apply("api@prod", PutJourney(waits.model_copy(update={"accounted": NOW + seconds(9)})), Stamp(0, 0))
    assert not made.dirty
    made.apply("api@prod", PutJourney(waits.model_copy(update={"reason": "other words"})), Stamp(0, 0))
    assert made.dirty == {"api@prod"}

"""Fragments of several targets become one assignment."""

from crds.messages import (
    OperationSpec,
    PoolAssignment,
    ServerAssignment,
    ServiceAssignment,
    Stamp,
)
from crds.release import canonical_json
from reconcilers.fragments import SERVICE, Entry, merge, operation_key, pool_key, server_key
from tests.support.worlds import ASKED, NOW, release


def entry(said: object) -> Entry:
    return Entry(canonical_json(said.model_dump(mode="json", by_alias=True)).decode(), ASKED)  # type: ignore[attr-defined]


SERVER = ServerAssignment(state="drain", address="10.0.0.1:8080")
GATE = OperationSpec(name="smoke", target="api@prod", host="vm1", command=["./smoke.sh"])


def test_what_every_target_asks_is_in_the_assignment() -> None:
    api = {
        SERVICE: entry(ServiceAssignment(release=release("2"))),
        pool_key("online"): entry(PoolAssignment()),
        server_key("online", "vm1.example.com"): entry(SERVER),
        operation_key("0123"): entry(GATE),
    }
    web = {SERVICE: entry(ServiceAssignment(release=None)), pool_key("web:8080"): entry(PoolAssignment(plain="maint"))}
    merged = merge("n1", Stamp(3, 9), NOW, {"web@prod": web, "api@prod": api})
    assert (merged.node, merged.stamp, merged.expires) == ("n1", Stamp(3, 9), NOW)
    assert merged.services == {
        "api@prod": ServiceAssignment(release=release("2")),
        "web@prod": ServiceAssignment(release=None),
    }
    assert merged.pools["online"].servers == {"vm1.example.com": SERVER}
    assert merged.pools["web:8080"] == PoolAssignment(plain="maint")
    assert merged.operations == {"0123": GATE}


def test_a_server_of_a_pool_that_is_not_asked_about_is_left_out() -> None:
    merged = merge("lb1", ASKED, NOW, {"api@prod": {server_key("gone", "vm1"): entry(SERVER)}})
    assert merged.pools == {}


def test_nothing_asked_is_an_empty_assignment() -> None:
    merged = merge("n1", ASKED, NOW, {"api@prod": {}})
    assert (merged.services, merged.pools, merged.operations) == ({}, {}, {})

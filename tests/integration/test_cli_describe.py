""" "Why is it not moving?" has one answer in one place: what describe says in each situation."""

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from controller.cli.main import app
from crds.versionfile import BreakGlass
from tests.support.controller import Served, controller
from tests.support.pretend import Pretence
from tests.support.states import state
from tests.support.waiting import eventually


def describe(served: Served, kind: str, name: str) -> dict[str, list[str]]:
    """The sections of what describe says, by title; what comes before the first one under an empty title."""
    result = CliRunner().invoke(app, ["describe", kind, name, "--server", served.url])
    assert result.exit_code == 0, result.output
    sections: dict[str, list[str]] = {"": []}
    title = ""
    for line in filter(None, result.stdout.splitlines()):
        if not line.startswith(" ") and line.endswith(":"):
            title = line.rstrip(":")
            sections[title] = []
        else:
            sections[title].append(line.strip())
    return sections


def rows(section: list[str]) -> dict[str, list[str]]:
    """A table's rows by their first word."""
    return {line.split()[0]: line.split() for line in section[1:]}


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    with controller(tmp_path, pretence=Pretence()) as running:
        yield running


def test_converged(served: Served) -> None:
    served.controller.commit(state("1"))
    served.reaches("Converged")
    said = describe(served, "target", "api@prod")
    assert said[""][0] == "api@prod: Ready, 4 of 4 hosts run 1, healthy and online"
    assert said["Why"][0].endswith("4 of 4 hosts run 1, healthy and online")
    assert said["Why"][1:] == ["Next: looks again when a report or a commit arrives"]
    assert rows(said["Hosts"])["vm2"][:4] == ["vm2", "b", "current", "1"]
    assert "lb1/on ready, lb2/on ready" in said["Hosts"][2]
    assert said["Runs"][0].startswith("4 hosts: 1 (digest ")
    assert said["Recent events"][-1].split()[2:5] == ["drumbeat", "RolloutSucceeded", "api@prod"]


def test_hosts_that_leave_are_followed_to_their_end(tmp_path: Path) -> None:
    pretence = Pretence()
    with controller(tmp_path, pretence=pretence) as served:
        served.controller.commit(state("1"))
        served.reaches("Converged")
        pause = CliRunner().invoke(
            app, ["rollout", "pause", "api@prod", "--reason", "a look", "--as", "ann", "--server", served.url]
        )
        assert pause.exit_code == 0, pause.output
        pretence.silent.add("vm4")
        fewer = state("1")
        fewer.fleets["prod"].spec.hosts.pop()
        served.controller.commit(fewer)
        served.reaches("HostsLeaving")
        waits = describe(served, "target", "api@prod")
        assert rows(waits["Leaving"])["vm4"][1:6] == ["waiting", "-", "paused", "by", "ann"]
        assert any(line.startswith("vm4 leaves: waiting: paused by ann") for line in waits["Why"])
        CliRunner().invoke(app, ["rollout", "resume", "api@prod", "--server", served.url])
        awaited = "waits for its agent to take the assignment"
        eventually(lambda: awaited in describe(served, "target", "api@prod")["Leaving"][1])
        said = describe(served, "target", "api@prod")
        assert rows(said["Leaving"])["vm4"][1] == "removing"
        assert re.match(rf"vm4 leaves: removing, for \d+s: {awaited}", said["Why"][1])
        pretence.silent.clear()


def test_how_people_chose_that_it_is_rolled_out(served: Served) -> None:
    profiles = {"fast": {"batches": ["100%"]}}
    found = state("1", profiles=profiles)
    said = {"profile": "fast", "break_glass": BreakGlass(reason="INC-4711")}
    versions = {key: version.model_copy(update=said) for key, version in found.versions.items()}
    served.controller.commit(replace(found, versions=versions))
    served.reaches("Converged")
    head = describe(served, "target", "api@prod")[""]
    assert "Profile:      fast" in head
    assert "Break glass:  INC-4711" in head


def test_a_batch_under_way(served: Served) -> None:
    served.controller.pretence.installing.add("vm1")
    served.controller.commit(state("1"))
    served.reaches("BatchUnderWay")
    served.waits_for("unpacks the archive")
    said = describe(served, "target", "api@prod")
    assert said[""][0] == "api@prod: Reconciling, 0 of 4 hosts run 1, healthy and online"
    assert said["Why"][0].startswith("Reconciling (BatchUnderWay, for ")
    assert said["Why"][0].endswith("batch 1: vm1 deploying")
    assert said["Why"][1].startswith("vm1 is deploying, for ")
    assert said["Why"][1].endswith(": unpacks the archive")
    assert re.match(r"Next: looks again in \d+s, or when a report", said["Why"][-1])
    assert "lb1/on maint, lb2/on maint" in said["Hosts"][1]
    assert rows(describe(served, "ro", "api@prod")["Journeys"])["vm1"][:3] == ["vm1", "1", "deploying"]


def test_held_by_a_gate(served: Served) -> None:
    served.controller.commit(state("1"))
    served.reaches("Converged")
    served.controller.pretence.gate = lambda spec: "failed"
    served.controller.commit(state("2"))
    served.reaches("GateFailed")
    said = describe(served, "target", "api@prod")
    assert said[""][0] == "api@prod: Stalled(GateFailed), 0 of 4 hosts run 2, healthy and online"
    assert said["Why"][0].startswith("Stalled (GateFailed, for ")
    assert "vm1: gate smoke failed: smoke said failed. It goes on with the next release" in said["Why"][0]
    assert said["Why"][1].startswith("vm1 has failed, for ")
    assert sorted(line.split(" (")[0] for line in said["Runs"]) == ["1 host: 2", "3 hosts: 1"]
    gates = describe(served, "rollout", "api@prod")["Operations"]
    assert gates[1].split()[:5] == ["smoke", "vm1", "runner1", "finished", "failed"]


def test_needs_downtime(tmp_path: Path) -> None:
    with controller(tmp_path, hosts=1) as served:
        served.controller.commit(state("1", hosts=1))
        served.reaches("Converged")
        served.controller.commit(state("2", hosts=1))
        served.reaches("NeedsDowntime")
        said = describe(served, "target", "api@prod")
        assert said[""][0].startswith("api@prod: Stalled(NeedsDowntime)")
        assert "write rollout.downtime: allowed, or add a host" in said["Why"][0]


def test_no_hosts(served: Served) -> None:
    served.controller.commit(state("1", role="nobody"))
    served.reaches("NoHosts")
    said = describe(served, "target", "api@prod")
    assert said[""][0] == "api@prod: Stalled(NoHosts), 0 of 0 hosts run 1, healthy and online"
    assert "the service's selector matches no host" in said["Why"][0]
    assert "Hosts" not in said


def test_a_silent_balancer_node(tmp_path: Path) -> None:
    with controller(tmp_path, pretence=Pretence(silent={"lb2"})) as served:
        served.controller.commit(state("1"))
        served.reaches("BalancerSilent")
        said = describe(served, "target", "api@prod")
        assert said[""][0].startswith("api@prod: Reconciling")
        assert said["Why"][0].endswith("balancer node lb2 has not reported yet")
        assert "vm1 is unknown: lb2 does not tell its state in pool on" in said["Why"]
        node = describe(served, "node", "lb2")
        assert node[""][0] == "lb2: Silent, has not reported since the controller started"
        assert describe(served, "pool", "lb2/on")[""][0].startswith("lb2/on: Silent, lb2: has not reported")


def test_a_silent_host_is_said_to_be_not_acted_on(tmp_path: Path) -> None:
    with controller(tmp_path, pretence=Pretence(silent={"vm3"})) as served:
        served.controller.commit(state("1"))
        served.reaches("HostsUnknown", current=3)
        said = describe(served, "target", "api@prod")
        assert (
            "vm3 is silent since the controller started: it counts as unavailable, and is not acted on" in said["Why"]
        )
        assert "1 host: unknown, because silent" in said["Runs"]


def test_a_refused_revision_and_a_lost_repository(served: Served) -> None:
    served.controller.commit(state("1"))
    served.reaches("Converged")
    served.controller.refuse("bad1", "services/api.yaml:3: spec.hots: no such field")
    served.controller.lose_source("cannot be fetched: no route to host")
    eventually(lambda: served.get("/api/v1/state")["sourceError"])
    why = describe(served, "target", "api@prod")["Why"]
    assert "revision bad1 was refused, rev1 stays in force:" in why
    assert "services/api.yaml:3: spec.hots: no such field" in why
    assert "the repository cannot be read, what is in force stays so: cannot be fetched: no route to host" in why


def test_an_orphaned_target(served: Served) -> None:
    served.controller.commit(state("1"))
    served.reaches("Converged")
    empty = state("1", revision="rev0")
    empty.versions.clear()
    served.controller.commit(empty)
    served.reaches("Orphaned")
    why = describe(served, "target", "api@prod")["Why"]
    assert "its version file is gone; bring it back, or write state: absent to remove the service" in why[0]


def test_a_node_and_a_pool(served: Served) -> None:
    served.controller.commit(state("1"))
    served.reaches("Converged")
    node = describe(served, "node", "vm1")
    assert node[""][0] == "vm1: Ready"
    assert rows(node["Services"])["api@prod"][:3] == ["api@prod", "running", "1"]
    pool = describe(served, "pool", "lb1/on")
    assert "Servers:   4 ready, 0 in DRAIN, 0 in MAINT; 4 up" in pool[""]
    assert rows(pool["Servers"])["vm1"][:5] == ["vm1", "ready", "yes", "0", "127.0.0.11:80"]

"""Whatever git, silence and new controllers do, a singleton never runs twice, and it ends up where it should."""

from dataclasses import replace

from hypothesis import example, given, settings
from hypothesis import strategies as st

from reconcilers.target import TargetSpec
from tests.support.promises import PROMISES
from tests.support.site import Site, converged
from tests.support.worlds import target

HOSTS = ["vm1", "vm2", "vm3"]
Act = tuple[str, str]
ACTS = st.one_of(
    st.tuples(st.just("move"), st.sampled_from(HOSTS)),
    st.tuples(st.just("release"), st.sampled_from(["1", "2", "3"])),
    st.tuples(st.just("silence"), st.sampled_from([*HOSTS, "lb1"])),
    st.tuples(st.just("speak"), st.sampled_from([*HOSTS, "lb1"])),
    st.tuples(st.just("controller"), st.just("")),
)


def on(host: str, version: str) -> TargetSpec:
    spec = target(version, count=len(HOSTS), singleton=True, downtime="allowed", deadline="3m")
    return replace(spec, hosts={host: spec.hosts[host]})


def running(site: Site) -> set[str]:
    return {name for name, agent in site.agents.items() if agent.runs}


def go_on(site: Site, rounds: int) -> None:
    for _ in range(rounds):
        site.run(1)
        assert len(running(site)) <= 1


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(ACTS, st.sampled_from([0, 1, 3, 10, 100])), max_size=12))
@example(
    [
        (("move", "vm3"), 10),
        (("move", "vm1"), 0),
        (("silence", "lb1"), 1),
        (("controller", ""), 0),
        (("move", "vm3"), 1),
    ]
)
def test_it_never_runs_twice(history: list[tuple[Act, int]]) -> None:
    host, version = "vm1", "1"
    site = converged(on(host, version), checks=PROMISES)
    site.install(target("1", count=len(HOSTS)))
    for (act, what), rounds in history:
        match act:
            case "move":
                host = what
                site.declare(on(host, version))
            case "release":
                version = what
                site.declare(on(host, version))
            case "silence":
                site.behaviour.silent.add(what)
            case "speak":
                site.behaviour.silent.discard(what)
            case "controller":
                site.restart()
        go_on(site, rounds)
    site.behaviour.silent.clear()
    for _ in range(400):
        if site.versions() == {host: version} and site.is_settled() and running(site) == {host}:
            return
        go_on(site, 1)
    failed = [journey for journey in site.journeys().values() if journey.step == "failed"]
    assert failed or site.status().hold, site.status().conditions

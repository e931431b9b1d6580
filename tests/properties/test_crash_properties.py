"""Whatever prefix of a plan is carried out before a crash: no promise breaks, and the end is the same."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, precondition, rule

from crds.messages import Report
from reconcilers.target import TargetSpec
from tests.support.crashes import CrashingSite, Cut
from tests.support.promises import PROMISES
from tests.support.worlds import NODES, ONLINE, RUNNER, pool, target

NAMES = ("api@prod", "web@prod")
HOSTS = ("vm1", "vm2", "vm3", "vm4")
POOLS = {"api@prod": ONLINE, "web@prod": "web"}
LAST, FAILING = "9", "8"
names, hosts, balancers = st.sampled_from(NAMES), st.sampled_from(HOSTS), st.sampled_from(NODES)
nodes = st.sampled_from([*HOSTS, *NODES, RUNNER])
cuts = st.builds(Cut, plans=st.integers(0, 6), writes=st.integers(0, 30), published=st.integers(0, 7))


def spec_of(name: str, version: str, **changes: Any) -> TargetSpec:
    """Two targets on the same four hosts, with pools of their own."""
    pools = (pool(),) if name == "api@prod" else (pool("web", NODES, "web-tests", 9090),)
    rollout = {"drain": {"timeout": "5s"}, "deadline": "1m", "max_unavailable": "50%", "batches": [1, "50%"]}
    return target(version, len(HOSTS), name=name, pools=pools, **(rollout | changes))


def rolled_out(version: str) -> CrashingSite:
    """A site that runs the version everywhere."""
    return CrashingSite(*(spec_of(name, version) for name in NAMES), checks=PROMISES).run(25)


def undisturbed(version: str) -> dict[str, Any]:
    """How a rollout of the version ends when nothing happens meanwhile."""
    site = rolled_out("1")
    site.behaviour.failing = {FAILING}
    site.declare(*(spec_of(name, version) for name in NAMES))
    return site.run(40).end()


ENDS = {version: undisturbed(version) for version in (LAST, FAILING)}


@given(st.sampled_from([LAST, LAST, FAILING]), st.lists(st.tuples(st.integers(0, 12), cuts), min_size=1, max_size=3))
@settings(max_examples=25, deadline=None)
def test_a_rollout_that_is_cut_anywhere_ends_as_one_that_was_not(version: str, cut: list[tuple[int, Cut]]) -> None:
    site = rolled_out("1")
    site.behaviour.failing = {FAILING}
    site.declare(*(spec_of(name, version) for name in NAMES))
    for rounds, where in cut:
        site.run(rounds)
        site.cut = where
        site.run(5)
        site.cut = None
    assert site.run(50).end() == ENDS[version]


def test_an_operation_of_which_only_the_entry_was_saved_is_asked_no_more() -> None:
    site = rolled_out("1")
    site.declare(*(spec_of(name, "2") for name in NAMES))
    site.run(3)
    site.cut = Cut(plans=2, writes=1, published=0)
    site.run(2)
    assert [key for key in site.world.entries[RUNNER]["api@prod"] if key.startswith("operation/")]
    assert not site.world.operations.of("api@prod")
    site.declare(*(spec_of(name, LAST) for name in NAMES))
    assert site.run(60).end() == ENDS[LAST]


class Crashes(RuleBasedStateMachine):
    """Reports come, nodes fall silent, gates pass and fail, people set marks, commits come, time passes.

    In the midst of all that the controller dies, with a part of its plan carried out.
    """

    late = Bundle("late")
    """Reports that were made and may arrive at any time, or twice, or never."""

    @initialize(version=st.sampled_from(["1", "2"]))
    def begin(self, version: str) -> None:
        self.site = rolled_out("1")
        self.site.behaviour.failing = {FAILING}
        for name in NAMES:
            self.site.declare(spec_of(name, version))

    @rule(count=st.integers(1, 8), span=st.sampled_from([0.5, 1.0, 7.0, 40.0]))
    def time_passes(self, count: int, span: float) -> None:
        self.site.run(count, span)

    @rule(name=names, version=st.sampled_from(["2", "3", FAILING]), soak=st.sampled_from(["0s", "10s"]))
    def commit(self, name: str, version: str, soak: str) -> None:
        self.site.declare(spec_of(name, version, soak=soak))
        self.site.decide()

    @rule(cut=cuts, rounds=st.integers(1, 5))
    def the_controller_dies(self, cut: Cut, rounds: int) -> None:
        self.site.cut = cut
        self.site.run(rounds)
        self.site.cut = None

    @rule(node=nodes)
    def falls_silent(self, node: str) -> None:
        self.site.behaviour.silent.add(node)

    @precondition(lambda self: self.site.behaviour.silent)
    @rule()
    def all_speak_again(self) -> None:
        self.site.behaviour.silent.clear()
        self.site.deliver()

    @rule(node=balancers, name=names, host=hosts, state=st.sampled_from(["maint", "drain"]))
    def somebody_takes_out(self, node: str, name: str, host: str, state: Any) -> None:
        self.site.agents[node].marked[POOLS[name], host] = state

    @rule()
    def somebody_puts_back(self) -> None:
        for node in NODES:
            self.site.agents[node].marked.clear()

    @rule(busy=st.sets(hosts, max_size=1), stuck=st.sets(hosts, max_size=1))
    def trouble(self, busy: set[str], stuck: set[str]) -> None:
        self.site.behaviour.busy, self.site.behaviour.stuck = busy, stuck

    @rule(target=late, name=nodes)
    def a_report_is_delayed(self, name: str) -> Report:
        return self.site.agents[name].report()

    @rule(report=late)
    def a_late_report_arrives(self, report: Report) -> None:
        self.site.world.fold(report, self.site.now)
        self.site.decide()

    def teardown(self) -> None:
        """Promises 7 and 17: once faults stop, all ends as if nothing had been."""
        if not hasattr(self, "site"):
            return
        behaviour = self.site.behaviour
        for what in (behaviour.silent, behaviour.busy, behaviour.stuck):
            what.clear()
        self.somebody_puts_back()
        self.site.deliver()
        for name in NAMES:
            self.site.declare(spec_of(name, LAST))
        assert self.site.run(60, 3.0).end() == ENDS[LAST]


Crashes.TestCase.settings = settings(max_examples=20, stateful_step_count=12, deadline=None)
TestCrashes = Crashes.TestCase

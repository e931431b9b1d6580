"""A release that its fleet's policy does not let through touches nobody; what nodes are told stays as it was."""

from crds.status import Step
from reconcilers.fragments import SERVICE
from reconcilers.target import TargetSpec
from reconcilers.values import service_of
from tests.support.site import Site, converged
from tests.support.worlds import gate, probe, target

WHY = "api@prod is not signed; run: drumbeat release sign api@prod --key FILE"


def unsigned(version: str, **said: object) -> TargetSpec:
    return target(version, unsigned=WHY, statement="bad", **said)


def asked(site: Site) -> dict[str, tuple[str | None, str | None, str | None]]:
    """Statement, the next one's, and trust, by host."""
    said = {host: service_of(site.world.entries[host]["api@prod"][SERVICE].value) for host in site.versions()}
    return {host: (one.statement, one.next_statement, one.trust) for host, one in said.items()}


def nexts(site: Site) -> set[str | None]:
    """Versions that hosts are asked to fetch ahead."""
    said = [service_of(site.world.entries[host]["api@prod"][SERVICE].value).next for host in site.versions()]
    return {one.version if one else None for one in said}


def test_an_unsigned_release_touches_nobody() -> None:
    site = converged(target("1", statement="one"))
    serials = dict(site.world.serials)
    site.declare(unsigned("2"))
    site.run(20)
    assert site.condition("Stalled") == ("True", "Unsigned", WHY)
    assert set(site.versions().values()) == {"1"}
    assert site.journeys() == {}
    assert site.world.serials == serials


def test_it_goes_on_once_it_is_signed() -> None:
    site = converged(target("1", statement="one"))
    site.declare(unsigned("2"))
    site.run(5)
    site.declare(target("2", statement="two"))
    site.run(40)
    assert set(site.versions().values()) == {"2"}
    assert site.condition("Stalled")[0] == "False"
    assert set(asked(site).values()) == {("two", None, None)}


def test_what_runs_already_is_not_stalled_for_lack_of_signatures() -> None:
    """A policy that is new, or a gate that is: nothing needs to move."""
    site = converged(target("1"))
    site.declare(unsigned("1", gates=(gate("other"),)))
    site.run(5)
    assert site.condition("Ready")[0] == "True"
    assert site.condition("Stalled")[0] == "False"


def test_probes_that_were_not_signed_are_not_asked() -> None:
    """All hosts would be unhealthy at once, since none of them would run the probe."""
    site = converged(target("1", statement="one"))
    serials = dict(site.world.serials)
    site.declare(unsigned("1", probes=(probe("/other"),)))
    site.run(5)
    assert site.world.serials == serials


def test_a_release_that_replaces_one_under_way_and_is_not_signed_reaches_nobody() -> None:
    site = converged(target("1", statement="one"))
    site.declare(target("2", statement="two"))
    site.until(lambda at: Step.DEPLOYING in at.steps().values())
    site.declare(unsigned("3"))
    for _ in range(20):
        site.run(1)
        assert nexts(site) <= {"2", None}
    assert "3" not in site.versions().values()
    site.declare(target("4", statement="four"))
    site.run(60)
    assert set(site.versions().values()) == {"4"}


def test_hosts_that_wait_for_their_turn_are_not_taken_out_for_it() -> None:
    """The policy was tightened in the midst of a rollout."""
    site = converged(target("1", statement="one", batches=["100%"], max_unavailable=1))
    site.declare(target("2", statement="two", batches=["100%"], max_unavailable=1))
    site.until(lambda at: Step.DEPLOYING in at.steps().values())
    waiting = {host for host, step in site.steps().items() if step is Step.WAITING}
    assert len(waiting) == 3
    site.declare(unsigned("2", batches=["100%"], max_unavailable=4))
    site.run(20)
    assert {site.steps()[host] for host in waiting} == {Step.WAITING}


def test_a_gate_that_was_not_signed_is_not_requested() -> None:
    """The release is under test already when its gate is changed."""
    site = converged(target("1", statement="one"))
    site.behaviour.silent.add("run1")
    site.run(100)
    site.declare(target("2", statement="two"))
    site.until(lambda at: Step.TESTING in at.steps().values())
    site.declare(unsigned("2", gates=(gate("other"),)))
    site.behaviour.silent.clear()
    site.run(5)
    assert Step.TESTING in site.steps().values()
    assert not site.world.operations.of("api@prod")


def test_a_statement_travels_with_its_release() -> None:
    """A host that still runs the older release keeps what was signed about that one; trust is the newest for all."""
    site = converged(target("1", statement="one", trust="t1"))
    site.declare(target("2", statement="two", trust="t2", batches=[1]))
    site.until(lambda at: Step.TESTING in at.steps().values())
    moving = {host for host, step in site.steps().items() if step is Step.TESTING}
    for host, (statement, following, trust) in asked(site).items():
        assert statement == ("two" if host in moving else "one")
        assert following in (None, "two")
        assert trust == "t2"
    assert any(following == "two" for _, following, _ in asked(site).values())


def test_gates_are_given_the_statement() -> None:
    site = converged(target("1"))
    site.declare(target("2", statement="two", trust="t"))
    site.until(lambda at: bool(at.world.operations.of("api@prod")))
    specs = [operation.spec for operation in site.world.operations.of("api@prod").values()]
    assert {(spec.statement, spec.trust) for spec in specs} == {("two", "t")}


def test_a_removal_carries_no_statement() -> None:
    site = converged(target("1", statement="one"))
    site.declare(target(None))
    site.run(40)
    assert set(site.versions().values()) <= {""}

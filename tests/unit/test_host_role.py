"""The host role moves a service to what is assigned, and says truly what is."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from random import Random

import pytest

from agent.journal import Journal
from agent.probes import Asked
from agent.role import Observed
from agent.roles.host import HostPorts, HostRole
from agent.trust import NodeTrust
from crds.messages import Assignment, ServiceAssignment, ServiceReport, Stamp
from crds.probe import HttpCheck, Probe
from crds.release import Release
from tests.simulation.drivers import (
    ProcessFaults,
    ServiceFaults,
    SimClock,
    SimExecutor,
    SimServiceDriver,
    SimSupervisor,
)
from tests.support.roles import without_secrets

TARGET = "api@prod"
PROBE = Probe(http=HttpCheck(path="/health", port=80))  # each 10s, unhealthy after 3 failures


def release(version: str) -> Release:
    return Release(version=version, url="sim:", sha256="0" * 64, run=["run"])


class Host:
    """A host role with simulated drivers, driven by a clock."""

    def __init__(self, tmp_path: Path) -> None:
        self.path = tmp_path / "journal"
        self.clock = SimClock()
        self.faults, self.troubles = ProcessFaults(), ServiceFaults()
        self.services = SimServiceDriver(self.troubles)
        self.supervisor = SimSupervisor(self.clock, faults=self.faults)
        self.installing = SimExecutor(self.clock, lambda: 1.0)
        self.secrets = without_secrets()
        self.answer = ""
        self.asked: list[float] = []
        self.serial = 0
        self.assignment = self.assigned()
        self.restart()

    def restart(self) -> None:
        """A new agent on the same machine."""
        journal = Journal.open(self.path, self.clock, Random(1))
        self.probing = SimExecutor(self.clock)
        self.role = HostRole(
            HostPorts(
                node="h1",
                services={"archive": self.services},
                supervisors={"process": self.supervisor},
                ask=self.ask,
                environment={},
                secrets=self.secrets,
                clock=self.clock,
                random=Random(1),
                steps=journal.steps("host"),
                wake=lambda: None,
                installing=self.installing,
                probing=self.probing,
                trust=NodeTrust(None, journal.steps("trust"), self.clock),
            )
        )

    def ask(self, probe: Probe, asked: Asked) -> str:
        self.asked.append(self.clock.monotonic())
        return self.answer

    def assigned(self, lasts: float = 3600.0, **services: ServiceAssignment) -> Assignment:
        self.serial += 1
        expires = self.clock.now() + timedelta(seconds=lasts)
        named = {name.replace("_", "@"): said for name, said in services.items()}
        return Assignment(node="h1", term=1, serial=self.serial, expires=expires, services=named)

    def assign(
        self, version: str | None, lasts: float = 3600.0, next_version: str | None = None, restart: int = 0
    ) -> None:
        said = ServiceAssignment(
            release=release(version) if version else None,
            next=release(next_version) if next_version else None,
            probes=[PROBE],
            address="10.0.0.1",
            restart=restart,
        )
        self.assignment = self.assigned(lasts, api_prod=said)

    def see(self) -> Observed:
        return self.role.converge(self.assignment, self.clock.now())

    def report(self) -> ServiceReport:
        return self.see().services[TARGET]

    def until(self, condition: Callable[[ServiceReport], bool], patience: float = 120.0) -> ServiceReport:
        """Let time pass as the core would, until the report is so."""
        deadline = self.clock.monotonic() + patience
        for _ in range(2000):
            assert self.clock.monotonic() < deadline
            observed = self.see()
            if TARGET in observed.services and condition(observed.services[TARGET]):
                return observed.services[TARGET]
            dues = [due for due in (self.installing.next_due(), self.probing.next_due()) if due is not None]
            waits = [max(0.0, due - self.clock.monotonic()) for due in dues]
            wait = min([*waits, *([] if observed.again_in is None else [observed.again_in]), 5.0])
            self.clock.advance(wait)
            self.installing.run_due()
            self.probing.run_due()
        raise AssertionError(f"never came; now {self.see().services}")

    def healthy(self, version: str) -> ServiceReport:
        digest = release(version).digest
        return self.until(
            lambda said: said.digest == digest and said.healthy is True and said.read.serial == self.serial
        )


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def test_installs_starts_and_becomes_healthy(host: Host) -> None:
    host.assign("1")
    assert host.report().state == "installing"
    said = host.healthy("1")
    assert (said.state, said.version, said.read) == ("running", "1", Stamp(1, host.serial))
    assert host.until(lambda said: host.see().again_in not in (None, 0.0)).state == "running"


def test_what_becomes_due_during_a_pass_is_not_forgotten(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a busy machine a pass takes long, and a probe's time may come in the middle of it."""
    host.answer = "connection refused"
    host.assign("1")
    host.until(lambda said: bool(said.identity))
    still = host.clock.monotonic

    def slow() -> float:
        host.clock.advance(0.001)
        return still()

    for early in range(200):
        with monkeypatch.context() as patch:
            patch.setattr(host.clock, "monotonic", slow)
            observed = host.see()
        assert observed.again_in is not None or host.probing.next_due() is not None
        host.clock.advance(max(0.0, (observed.again_in or 0.0) - early % 10 * 0.001))
        host.probing.run_due()


def test_an_answer_that_comes_with_a_new_assignment_does_not_put_the_next_question_off(host: Host) -> None:
    host.assign("1")
    host.healthy("1")
    host.until(lambda said: host.probing.next_due() is not None)
    host.probing.run_due()  # the answer is there, and was asked for under the assignment before
    host.assign("1")
    began = host.clock.monotonic()
    host.healthy("1")
    assert host.clock.monotonic() - began < 1.0


def test_is_starting_until_its_probe_succeeds_and_asks_quickly_at_first(host: Host) -> None:
    host.answer = "connection refused"
    host.assign("1")
    said = host.until(lambda said: bool(said.identity))
    began = host.clock.monotonic()
    assert (said.state, said.healthy) == ("starting", None)
    host.until(lambda said: host.clock.monotonic() > began + 1.0)
    assert len([at for at in host.asked if at <= began + 1.0]) >= 5
    host.answer = ""
    assert host.healthy("1").state == "running"
    assert host.clock.monotonic() < began + 3.0


def test_a_service_that_never_answers_is_unhealthy_in_the_end(host: Host) -> None:
    host.answer = "HTTP 500"
    host.assign("1")
    said = host.until(lambda said: said.healthy is False)
    assert said.state == "starting"
    assert "HTTP 500" in said.message


def test_becomes_unhealthy_after_the_threshold_and_healthy_again(host: Host) -> None:
    host.assign("1")
    host.healthy("1")
    host.asked.clear()
    host.answer = "HTTP 503"
    said = host.until(lambda said: said.healthy is False)
    assert len(host.asked) == 3
    assert said.state == "running"
    host.answer = ""
    host.healthy("1")


def test_the_old_release_runs_until_the_new_one_is_installed(host: Host) -> None:
    host.assign("1")
    old = host.healthy("1").identity
    host.assign("2")
    during = host.report()
    assert (during.state, during.version, during.identity) == ("installing", "1", old)
    new = host.healthy("2")
    assert new.identity != old
    assert host.supervisor.starts == [(TARGET, release("1").digest), (TARGET, release("2").digest)]


def test_the_old_release_is_restarted_while_the_new_one_is_installed(host: Host) -> None:
    host.assign("1")
    host.healthy("1")
    host.troubles.retries = 1000
    host.assign("2")
    host.until(lambda said: "does not answer" in said.message)
    host.supervisor.kill(TARGET)
    said = host.until(lambda said: said.identity is not None and said.restarts == 1)
    assert (said.state, said.version) == ("installing", "1")


def test_health_is_read_again_under_a_new_assignment(host: Host) -> None:
    host.assign("1")
    before = host.healthy("1")
    host.answer = "HTTP 503"
    host.assign("1")
    assert host.report().read == before.read, "nobody asked since"
    host.asked.clear()
    host.clock.advance(0.001)
    host.probing.run_due()
    said = host.report()
    assert said.read == Stamp(1, host.serial)
    assert len(host.asked) == 1, "it is asked at once, not when the interval is over"


def test_passing_trouble_is_tried_again_with_growing_delays(host: Host) -> None:
    host.troubles.retries = 3
    host.assign("1")
    said = host.until(lambda said: bool(said.message))
    assert said.state == "installing"
    host.healthy("1")


def test_what_cannot_work_is_failed_until_something_is_assigned_anew(host: Host) -> None:
    host.troubles.terminal.add(release("1").digest)
    host.assign("1")
    said = host.until(lambda said: said.state == "failed")
    assert "cannot be fetched" in said.message
    assert host.see().again_in is None, "nothing is tried again by itself"
    host.troubles.terminal.clear()
    host.assign("1")
    host.healthy("1")


def test_a_failed_release_leaves_the_old_one_running(host: Host) -> None:
    host.assign("1")
    old = host.healthy("1").identity
    host.troubles.terminal.add(release("2").digest)
    host.assign("2")
    said = host.until(lambda said: said.state == "failed")
    assert (said.version, said.identity) == ("1", old)


def test_a_crash_loop_is_reported_with_the_last_lines(host: Host) -> None:
    host.faults.lasts[release("1").digest] = 0.2
    host.assign("1")
    said = host.until(lambda said: said.state == "crashing")
    assert said.log_tail == ["planted: panic"]
    assert said.restarts >= 2


def test_next_is_fetched_and_not_installed(host: Host) -> None:
    host.assign("1", next_version="2")
    digest = release("2").digest
    host.until(lambda said: said.fetched == digest)
    assert host.services.installed(TARGET, digest) is None
    host.healthy("1")


def test_absent_is_stopped_then_removed(host: Host) -> None:
    host.assign("1")
    host.healthy("1")
    host.faults.stop_seconds = 2.0
    host.assign(None)
    assert host.report().identity is not None, "it is asked to stop first"
    said = host.until(lambda said: said.state == "absent")
    assert said.identity is None
    assert host.services.installed(TARGET, release("1").digest) is None
    host.assign("1")
    host.healthy("1")
    host.assign(None)
    host.until(lambda said: said.state == "absent")
    assert host.services.installed(TARGET, release("1").digest) is None


def test_what_is_not_assigned_any_more_is_left_running_and_reported(host: Host) -> None:
    host.assign("1")
    identity = host.healthy("1").identity
    host.assignment = host.assigned()
    said = host.report()
    assert (said.identity, said.version) == (identity, "1")
    assert "not assigned" in said.message
    host.supervisor.kill(TARGET)
    host.until(lambda said: said.identity not in (None, identity))


def test_an_expired_assignment_starts_no_installation(host: Host) -> None:
    host.assign("1")
    identity = host.healthy("1").identity
    host.until(lambda said: host.installing.next_due() is None)
    host.assign("2", lasts=-600.0)
    said = host.report()
    assert (said.state, said.version, said.identity) == ("expired", "1", identity)
    assert host.services.installed(TARGET, release("2").digest) is None
    assert host.installing.next_due() is None


def test_an_expired_assignment_does_not_go_back_to_a_release_that_is_still_there(host: Host) -> None:
    host.assign("1")
    host.healthy("1")
    host.answer = "HTTP 500"
    host.assign("2")
    host.until(lambda said: said.version == "2" and said.identity is not None)
    assert host.services.installed(TARGET, release("1").digest)
    host.assign("1", lasts=-600.0)
    said = host.report()
    assert (said.state, said.version) == ("expired", "2")


def test_an_expired_assignment_keeps_running_what_it_installed(host: Host) -> None:
    host.assign("1", lasts=600.0)
    first = host.healthy("1").identity
    host.clock.advance(5000.0)
    host.supervisor.kill(TARGET)
    said = host.until(lambda said: said.identity not in (None, first))
    assert said.version == "1"
    host.restart()
    assert host.until(lambda said: said.state == "running").identity == said.identity


def test_an_expired_removal_removes_nothing(host: Host) -> None:
    host.assign("1")
    identity = host.healthy("1").identity
    host.assign(None, lasts=-600.0)
    said = host.report()
    assert (said.state, said.identity) == ("expired", identity)


def test_a_restarted_agent_finds_the_service_and_does_not_restart_it(host: Host) -> None:
    host.assign("1")
    before = host.healthy("1")
    host.restart()
    after = host.healthy("1")
    assert after.identity == before.identity
    assert len(host.supervisor.starts) == 1


def test_after_a_reboot_the_service_is_started_again(host: Host) -> None:
    host.assign("1")
    before = host.healthy("1")
    host.supervisor.reboot()
    host.restart()
    after = host.until(lambda said: said.state == "running")
    assert after.identity is not None
    assert before.identity is not None
    assert after.identity.boot != before.identity.boot


def test_never_asks_for_a_pass_at_once_without_getting_on(host: Host) -> None:
    """Else an agent would spin: while a try is under way, after a failure for good, after expiry."""
    host.troubles.retries = 2
    host.assign("1")
    host.until(lambda said: bool(said.message))
    host.clock.advance(1.0)
    host.see()
    assert host.installing.next_due() is not None
    assert host.see().again_in is None
    host.assign("1", lasts=-600.0)
    assert host.see().again_in is None


def test_an_unknown_driver_is_said_in_words(host: Host) -> None:
    strange = release("1").model_copy(update={"driver": "msi"})
    host.assignment = host.assigned(api_prod=ServiceAssignment(release=strange))
    said = host.until(lambda said: said.state == "failed")
    assert "'msi'" in said.message

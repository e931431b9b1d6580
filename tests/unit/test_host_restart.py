"""A restart that people asked for: one new process for each higher number, whatever becomes of the agent meanwhile."""

from pathlib import Path

import pytest

from tests.unit.test_host_role import Host


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def test_a_higher_number_has_the_process_replaced_and_is_said_of_the_new_one_alone(host: Host) -> None:
    host.assign("1")
    first = host.healthy("1")
    host.assign("1", restart=7)
    said = []
    second = host.until(lambda report: (said.append(report), report.restart == 7 and report.healthy is True)[1])
    assert second.identity != first.identity
    assert all(report.restart < 7 for report in said if report.identity == first.identity)
    host.assign("1", restart=7)
    assert host.healthy("1").identity == second.identity


def test_an_agent_that_dies_meanwhile_replaces_it_once(host: Host) -> None:
    host.assign("1")
    first = host.healthy("1")
    host.assign("1", restart=7)
    host.restart()
    second = host.until(lambda report: report.restart == 7 and report.healthy is True)
    assert second.identity != first.identity
    host.restart()
    assert host.until(lambda report: report.healthy is True).identity == second.identity


def test_nothing_is_restarted_once_the_assignment_has_expired(host: Host) -> None:
    host.assign("1")
    first = host.healthy("1")
    host.assign("1", lasts=-600.0, restart=7)
    late = host.until(lambda report: report.state == "expired")
    assert (late.identity, late.restart) == (first.identity, 0)
    host.assign("1", restart=7)
    assert host.until(lambda report: report.restart == 7).identity != first.identity


def test_a_lower_number_restarts_nothing(host: Host) -> None:
    host.assign("1", restart=7)
    first = host.healthy("1")
    host.assign("1", restart=3)
    assert host.healthy("1").identity == first.identity

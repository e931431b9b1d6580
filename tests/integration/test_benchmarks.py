"""The benchmarks run: with a handful of nodes, whatever the figures are."""

from cProfile import Profile
from pathlib import Path

import pytest
import structlog

from benchmarks import balancer_agent, verify_rate
from benchmarks.fleet_load.__main__ import as_json
from benchmarks.fleet_load.nodes import Journey
from benchmarks.fleet_load.phases import Extent, decisions, measure
from benchmarks.fleet_load.stage import Bus
from benchmarks.planning.drive import Drive
from benchmarks.planning.estate import EVERYWHERE, PART, Size
from controller.demo.rabbitmq import is_installed

HANDFUL = Extent(nodes=4, reports=40, idle=0.2, interval=1.0, settle=0.0)
BROKER = pytest.mark.skipif(not is_installed(), reason="rabbitmq-server is not installed")


def test_reports_are_verified_and_folded() -> None:
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory())
    rates = verify_rate.measure(nodes=3, rounds=2)
    assert all(rate > 0 for rate in rates.values()) and rates.keys() == {"short", "full"}


def test_a_balancer_s_agent_is_measured() -> None:
    found = balancer_agent.measure(count=8)
    assert found["steps"] >= 4 * len(balancer_agent.MOVES) and found["cpu_seconds"] > 0


@pytest.mark.timeout(240)
@pytest.mark.parametrize("bus", ["http", pytest.param("amqp", marks=BROKER)])
def test_a_fleet_s_load_is_measured(bus: Bus, tmp_path: Path) -> None:
    result = measure(tmp_path, bus, HANDFUL)
    assert len(result.decisions) == HANDFUL.nodes - 1, "each batch but the first follows from a report"
    assert all(0 < seconds < result.rollout_seconds for seconds in result.decisions), result
    assert {load.lost for load in result.loads.values()} == {0}
    # Those that had reports waiting may all be heard before the new controller first answers.
    assert result.controller_back[0] > 0 and result.controller_back[1] >= 0
    assert result.connect_seconds > 0 and (bus == "http" or (result.broker_back or 0) > 0)
    assert as_json(result)["nodes"] == HANDFUL.nodes


def test_what_caused_an_assignment_is_the_last_report_before_it() -> None:
    first = [Journey(assigned=1.0, answered=1.1), Journey(assigned=1.0, answered=1.3)]
    second = [Journey(fetched=1.2, assigned=1.35, answered=2.0), Journey(fetched=1.25, assigned=1.4, answered=2.1)]
    third = [Journey(fetched=2.5, assigned=2.75, answered=3.0)]
    found = decisions([*third, *second, *first], batch=2)
    assert found == pytest.approx([0.05, 0.1, 0.25])


def test_a_rollout_in_a_planned_fleet_finishes() -> None:
    drive = Drive(Size(hosts=60, part_step=3, batch=5, part_batch=4))
    assert drive.commit(PART) > 0
    while drive.step():
        pass
    assert drive.converged(PART) and drive.converged(EVERYWHERE)


def test_decisions_do_no_more_for_a_larger_fleet() -> None:
    """Counted in calls of functions, which no other load on the machine changes; the benchmark has the seconds."""
    calls = [_calls(Drive(Size(hosts, 10, batch=5, part_batch=1)), events=150) for hosts in (100, 1000)]
    assert calls[1] < 1.05 * calls[0]


def _calls(drive: Drive, events: int) -> int:
    drive.commit(EVERYWHERE)
    with Profile() as profile:
        for _ in range(events):
            drive.step()
    return sum(entry.callcount for entry in profile.getstats())

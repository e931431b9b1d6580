"""Tries on the host itself under faults: they keep every promise, and there are no more of them than granted."""

from collections import Counter
from dataclasses import replace
from datetime import datetime

import pytest

import reconcilers.journey
from crds.status import Journey, Step
from reconcilers.facts import HostFacts
from reconcilers.target import TargetSpec
from tests.simulation.checkers import PromiseBroken
from tests.simulation.faults import ALL
from tests.simulation.run import simulate

KINDS = {"wrong_artifact", "crash_loop", "lost", "late", "controller_crash", "agent_crash"}
FAILING = replace(ALL.only(KINDS), wrong_artifact=0.4, crash_loop=0.3, commit=60.0)
Try = tuple[str, str, str, datetime]


def test_what_fails_is_tried_again_as_often_as_granted(monkeypatch: pytest.MonkeyPatch) -> None:
    real, tries = reconcilers.journey.another_try, Counter[Try]()

    def counted(journey: Journey, target: TargetSpec, facts: HostFacts, why: str) -> Journey | None:
        again = real(journey, target, facts, why)
        if again is not None:
            assert journey.out
            key = (target.name, journey.host, journey.digest, journey.begun)
            tries[key] = max(tries[key], again.tries)
        return again

    monkeypatch.setattr(reconcilers.journey, "another_try", counted)
    simulate(5, hosts=6, faults=FAILING, faulty=400.0)
    assert set(tries.values()) <= {1, 2}
    assert 2 in tries.values(), "choose another seed"


def test_that_a_host_which_customers_reach_were_tried_again_would_be_found(monkeypatch: pytest.MonkeyPatch) -> None:
    real = reconcilers.journey._soaking

    def soaking(journey: Journey, at: reconcilers.journey.Situation, elapsed: float) -> Journey | None:
        service = at.facts.believed_service()
        dead = service is not None and service.identity is None and service.state != "stopped"
        again = reconcilers.journey.another_try(journey, at.target, at.facts, "it ended" if dead else "")
        return again or real(journey, at, elapsed)

    monkeypatch.setitem(reconcilers.journey._STEPS, Step.SOAKING, soaking)
    faults = replace(FAILING, process_ends=5.0)
    with pytest.raises(PromiseBroken) as broken:
        for seed in range(1, 7):
            simulate(seed, hosts=6, faults=faults, faulty=300.0)
    assert broken.value.promise == 3

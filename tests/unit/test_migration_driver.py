"""What a migration's driver makes of exit codes: the check has the first word, and the last where it counts."""

from collections.abc import Mapping, Sequence
from typing import cast

import pytest

from agent.drivers.contracts import Outcome
from agent.drivers.operations.exec import Commands, Ended
from agent.drivers.operations.migration import Driver
from crds.messages import Migrating, OperationSpec, ProcessIdentity

SPEC = OperationSpec(
    name="add-column",
    target="api@prod",
    command=["migrate"],
    timeout=3.0,
    migration=Migrating(phase="expand", check=["check"], lock="orders"),
)


class Scripted:
    """Commands that end as they are told to, one after another."""

    def __init__(self, *statuses: int | Outcome | None) -> None:
        self.statuses, self.ran = list(statuses), list[str]()
        self.orphans = 0
        self.ended = False

    def execute(
        self, spec: OperationSpec, command: Sequence[str], timeout: float, values: Mapping[str, str]
    ) -> Ended | Outcome:
        self.ran.append(command[0])
        status = self.statuses.pop(0)
        return status if isinstance(status, Outcome) else Ended(status, f"{command[0]}: {status}", [f"by {command[0]}"])

    def left_behind(self, lock: str, target: str) -> list[ProcessIdentity]:
        self.orphans -= 1
        return [ProcessIdentity(boot="b", pid=1, started="1", executable="")] if self.orphans >= 0 else []

    def end(self, lock: str, target: str) -> None:
        self.ended = True


def ran(*statuses: int | Outcome | None) -> tuple[str, list[str]]:
    commands = Scripted(*statuses)
    outcome = Driver(cast(Commands, commands), lambda _: None).run(SPEC, {})
    return outcome.outcome, commands.ran


NO_SECRET = Outcome("inconclusive", "the runner knows no such secret")


@pytest.mark.parametrize(
    ("statuses", "outcome", "commands"),
    [
        ([0], "passed", ["check"]),
        ([7], "inconclusive", ["check"]),
        ([None], "inconclusive", ["check"]),
        ([NO_SECRET], "inconclusive", ["check"]),
        ([1, 0, 0], "passed", ["check", "migrate", "check"]),
        ([1, 0, 1], "failed", ["check", "migrate", "check"]),
        ([1, 0, 9], "inconclusive", ["check", "migrate", "check"]),
        ([1, 3], "failed", ["check", "migrate"]),
        ([1, None, 0], "passed", ["check", "migrate", "check"]),
        ([1, None, 1], "failed", ["check", "migrate", "check"]),
        ([1, -9, 0], "passed", ["check", "migrate", "check"]),
        ([1, -9, 2], "inconclusive", ["check", "migrate", "check"]),
        ([1, NO_SECRET], "inconclusive", ["check", "migrate"]),
    ],
)
def test_exit_codes(statuses: list[int | Outcome | None], outcome: str, commands: list[str]) -> None:
    assert ran(*statuses) == (outcome, commands)


def test_what_was_left_behind_is_waited_for_as_long_as_it_would_have_had() -> None:
    for orphans, most in ((4, 5), (1000, 16)):
        commands, slept = Scripted(0), list[float]()
        commands.orphans = orphans
        Driver(cast(Commands, commands), slept.append).run(SPEC, {})
        assert len(slept) <= most
        assert commands.ended, "whoever has had its time is ended"
        assert commands.ran == ["check"]

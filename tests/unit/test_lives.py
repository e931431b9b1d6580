"""When two machines seem to speak as one node."""

import pytest

from controller.lives import LATEST, Lives
from controller.nodes import Nodes
from crds.messages import Report
from tests.support.worlds import NOW, report, seconds

SPAN = LATEST.total_seconds()
MILLION = 1_000_000


def said(life: str, seq: int, incarnation: str = "journal") -> Report:
    return report("vm1", seq, life=life, incarnation=incarnation)


class Ear:
    """One node's lives, and when somebody speaks."""

    def __init__(self) -> None:
        self.lives = Lives()
        self.why = ""

    def hear(self, life: str, at: float, seq: int, incarnation: str = "journal") -> str:
        self.why = self.why or self.lives.hear(said(life, seq, incarnation), NOW + seconds(at))
        return self.why

    def runs(self, life: str, begin: float, end: float, first: int, incarnation: str = "journal") -> None:
        """It reports each 30 s."""
        for number in range(int((end - begin) // 30) + 1):
            self.hear(life, begin + 30 * number, first + number, incarnation)


@pytest.fixture
def ear() -> Ear:
    return Ear()


def test_a_restart_is_none(ear: Ear) -> None:
    ear.runs("a", 0, 3600, first=1)
    ear.runs("b", 3605, 7200, first=MILLION)
    assert not ear.why


def test_what_a_former_life_said_last_may_be_late(ear: Ear) -> None:
    ear.runs("a", 0, 3600, first=1)
    ear.hear("b", 3610, MILLION)
    ear.hear("a", 3669, 200)
    ear.runs("b", 3670, 7200, first=MILLION + 1)
    assert not ear.why


def test_an_agent_that_is_killed_again_and_again_is_none(ear: Ear) -> None:
    for number in range(40):
        ear.hear(f"life-{number}", 5.0 * number, number * MILLION + 1)
        if number >= 10:
            ear.hear(f"life-{number - 10}", 5.0 * number + 1, (number - 10) * MILLION + 2)  # nearly a minute late
    assert not ear.why


def test_a_clone_of_a_running_machine(ear: Ear) -> None:
    """Both go on from one journal: the clone took the next block of numbers."""
    ear.runs("a", 0, 3600, first=1)
    for number in range(6):
        ear.hear("b", 3600 + 30 * number, MILLION + number)
        ear.hear("a", 3610 + 30 * number, 200 + number)
    assert "two agents have spoken as this node since 2026-03-04 06:06:07" in ear.why


def test_a_clone_is_noticed_once_it_is_sure(ear: Ear) -> None:
    ear.runs("a", 0, 3600, first=1)
    ear.hear("b", 3600, MILLION)
    assert not ear.hear("a", 3600 + SPAN, 200)
    assert ear.hear("a", 3601 + SPAN, 201)


def test_a_clone_with_a_journal_of_its_own(ear: Ear) -> None:
    ear.runs("a", 0, 3600, first=1)
    for number in range(6):
        ear.hear("b", 3600 + 30 * number, number + 1, "another")
        ear.hear("a", 3610 + 30 * number, 200 + number)
    assert "two agents" in ear.why


def test_a_journal_that_was_lost_is_none_however_late_the_last_report_is(ear: Ear) -> None:
    ear.hear("b", 0, 1, "new journal")
    ear.hear("a", 50, 900, "old journal")
    ear.runs("b", 60, 7200, 2, "new journal")
    assert not ear.why


def test_a_machine_that_was_restored_from_an_older_copy(ear: Ear) -> None:
    ear.runs("a", 0, 3600, first=5 * MILLION)
    ear.runs("b", 4000, 4000 + SPAN, first=3 * MILLION)
    assert not ear.why
    assert "older copy" in ear.hear("b", 4031 + SPAN, 3 * MILLION + 50)


def test_a_clone_of_an_old_image(ear: Ear) -> None:
    ear.runs("a", 0, 3600, first=5 * MILLION)
    for number in range(6):
        ear.hear("b", 3610 + 30 * number, 3 * MILLION + number)
        ear.hear("a", 3620 + 30 * number, 5 * MILLION + 200 + number)
    assert "two agents" in ear.why


def test_what_is_sent_again_is_nothing_new(ear: Ear) -> None:
    """Whoever recorded reports of a former life cannot make the node look like a clone by sending them again."""
    ear.runs("a", 0, 3600, first=1)
    ear.runs("b", 3605, 7200, first=MILLION)
    ear.runs("a", 7201, 9000, first=1)
    assert not ear.why


def test_a_controller_that_starts_between_two_lives(ear: Ear) -> None:
    ear.lives.load(said("a", 100))
    ear.hear("b", 0, MILLION)
    ear.hear("a", 59, 120)
    ear.runs("b", 60, 7200, first=MILLION + 1)
    assert not ear.why


def test_a_clone_is_noticed_by_a_controller_that_has_just_started(ear: Ear) -> None:
    ear.lives.load(said("b", MILLION))
    for number in range(6):
        ear.hear("b", 30 * number, MILLION + 1 + number)
        ear.hear("a", 10 + 30 * number, 200 + number)
    assert "two agents" in ear.why


def test_few_lives_are_kept(ear: Ear) -> None:
    for number in range(100):
        ear.hear(f"life-{number}", 400.0 * number, number * MILLION + 1)
    assert len(ear.lives.lives) <= 16


def disputed() -> Nodes:
    nodes = Nodes(90)
    for number in range(6):
        nodes.hear(said("b", MILLION + number), NOW + seconds(30 * number))
        nodes.hear(said("a", 200 + number), NOW + seconds(30 * number + 10))
    return nodes


def test_a_disputed_node_is_silent_whoever_speaks() -> None:
    nodes = disputed()
    node = nodes.get("vm1")
    assert node.silent
    assert node.mute
    assert "drumbeat nodes trust vm1" in node.distrust
    for life, seq in (("a", 500), ("b", 2 * MILLION), ("c", 3 * MILLION)):
        assert not nodes.hear(said(life, seq), NOW + seconds(400)).news
    assert list(nodes.expire(NOW + seconds(5000))) == [], "it was said already, and with a better reason"
    assert nodes.next_expiry() is None


def test_once_a_person_has_decided_it_counts_whatever_its_numbers_are() -> None:
    nodes = disputed()
    nodes.settle("vm1")
    assert nodes.get("vm1").silent
    assert nodes.hear(said("a", 5), NOW + seconds(1000)).woke
    assert not nodes.get("vm1").silent
    nodes.hear(said("a", 6), NOW + seconds(1030))
    assert [node.name for node in nodes.expire(NOW + seconds(1120))] == ["vm1"]


def test_if_both_go_on_it_is_disputed_again() -> None:
    nodes = disputed()
    nodes.settle("vm1")
    for number in range(6):
        nodes.hear(said("b", 2 * MILLION + number), NOW + seconds(1000 + 30 * number))
        nodes.hear(said("a", 400 + number), NOW + seconds(1010 + 30 * number))
    assert nodes.get("vm1").disputed


def test_a_controllers_clock_that_is_set_makes_no_clone(ear: Ear) -> None:
    """Found by the simulator: a restart, after which the controller's clock went back by an hour."""
    ear.runs("a", 0, 3600, first=1)
    ear.lives.jumped(-seconds(3600))
    ear.runs("b", 5, 35, first=MILLION)
    ear.hear("a", 36, 200)
    ear.lives.jumped(seconds(7200))
    ear.hear("a", 7240, 201)
    assert not ear.why


def test_a_clone_is_noticed_across_a_change_of_the_clock(ear: Ear) -> None:
    ear.runs("a", 0, 60, first=1)
    ear.hear("b", 61, MILLION)
    ear.lives.jumped(seconds(86_400))
    ear.runs("a", 86_465, 86_465 + SPAN + 60, first=10)
    ear.hear("b", 86_465 + SPAN + 61, MILLION + 1)
    assert ear.why

"""What silence, repetition and short reports mean."""

from controller.nodes import Nodes
from tests.support.worlds import NOW, report, seconds


def silent_at(nodes: Nodes, span: float) -> list[str]:
    return [node.name for node in nodes.expire(NOW + seconds(span))]


def test_a_node_that_never_reported_is_silent() -> None:
    assert Nodes(90).get("vm1").silent


def test_a_node_falls_silent_after_the_timeout_and_wakes_with_a_report() -> None:
    nodes = Nodes(90)
    assert nodes.hear(report("vm1", 1), NOW).woke
    assert silent_at(nodes, 89.9) == []
    assert not nodes.hear(report("vm1", 2), NOW + seconds(60)).woke
    assert silent_at(nodes, 100) == []
    assert nodes.next_expiry() == NOW + seconds(150)
    assert silent_at(nodes, 150) == ["vm1"]
    assert nodes.get("vm1").silent
    assert silent_at(nodes, 500) == []
    assert nodes.hear(report("vm1", 3), NOW + seconds(600)).woke
    assert silent_at(nodes, 690) == ["vm1"]


def test_a_report_is_overdue_once_half_of_the_time_is_over_and_no_more_once_the_node_is_silent() -> None:
    nodes = Nodes(90)
    assert not nodes.is_overdue(nodes.get("vm1"), NOW)
    nodes.hear(report("vm1", 1), NOW)
    node = nodes.get("vm1")
    assert [nodes.is_overdue(node, NOW + seconds(span)) for span in (45, 46, 89)] == [False, True, True]
    assert silent_at(nodes, 91) == ["vm1"]
    assert not nodes.is_overdue(node, NOW + seconds(91))


def test_a_stored_report_is_history_until_the_node_speaks() -> None:
    nodes = Nodes(90)
    nodes.load(report("vm1", 5))
    assert nodes.get("vm1").silent
    heard = nodes.hear(report("vm1", 6, full=False, full_seq=5), NOW)
    assert (heard.news, heard.woke, heard.incomplete) == (True, True, False)
    assert not nodes.get("vm1").silent


def test_what_is_not_newer_is_dropped() -> None:
    nodes = Nodes(90)
    newest = report("vm1", 5, agent_version="new")
    nodes.hear(newest, NOW)
    for seq in (5, 4):
        assert not nodes.hear(report("vm1", seq, agent_version="old"), NOW + seconds(60)).news
    assert nodes.get("vm1").report == newest
    assert nodes.get("vm1").seen == NOW
    assert nodes.hear(report("vm1", 1, incarnation="second life"), NOW).news


def test_a_short_report_whose_full_one_never_arrived_proves_nothing_but_life() -> None:
    """What is stored of the node may be days old: it must not count as fresh."""
    nodes = Nodes(90)
    nodes.load(report("vm1", 5))
    heard = nodes.hear(report("vm1", 9, full=False, full_seq=8), NOW)
    assert (heard.news, heard.woke, heard.incomplete) == (True, False, True)
    assert nodes.get("vm1").silent
    assert nodes.hear(report("vm1", 10), NOW + seconds(1)).woke
    assert not nodes.get("vm1").silent


def test_a_node_whose_full_report_stays_away_falls_silent() -> None:
    nodes = Nodes(90)
    nodes.hear(report("vm1", 1), NOW)
    for span in (30, 60, 89):
        assert nodes.hear(report("vm1", span, full=False, full_seq=20), NOW + seconds(span)).incomplete
    assert silent_at(nodes, 90) == ["vm1"]


def test_a_short_report_of_another_life_is_incomplete() -> None:
    nodes = Nodes(90)
    nodes.hear(report("vm1", 5), NOW)
    assert nodes.hear(report("vm1", 6, incarnation="second life", full=False, full_seq=5), NOW).incomplete


def test_what_a_former_incarnation_said_is_not_heard_again() -> None:
    """Its journal was replaced; a report from before comes late, or is sent again by somebody."""
    nodes = Nodes(90)
    old = report("vm1", 7, incarnation="first", agent_version="old")
    new = report("vm1", 1, incarnation="second", agent_version="new")
    assert nodes.hear(old, NOW).news
    assert nodes.hear(new, NOW).news
    assert not nodes.hear(old, NOW).news
    assert nodes.get("vm1").report == new
    assert nodes.hear(report("vm1", 2, incarnation="second"), NOW).news


def test_an_incarnation_that_returns_goes_on_where_it_was() -> None:
    """A journal that could not be read was restored; meanwhile the agent spoke under other names."""
    nodes = Nodes(90)
    nodes.hear(report("vm1", 7, incarnation="first"), NOW)
    for number in range(40):
        nodes.hear(report("vm1", 1, incarnation=f"halted-{number}"), NOW)
    assert nodes.hear(report("vm1", 8, incarnation="first"), NOW).news
    assert len(nodes.get("vm1").former) <= 16

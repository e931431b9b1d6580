"""Amounts for any number of hosts."""

from hypothesis import given
from hypothesis import strategies as st

from reconcilers.sizes import at_least, batch_size, budget, hosts_of, zone_share

totals = st.integers(0, 5000)
percents = st.integers(1, 100)
amounts = st.one_of(st.integers(1, 6000), percents.map(lambda number: f"{number}%"))


@given(amounts, totals)
def test_never_more_than_there_are_and_never_none_of_two_or_more(amount: int | str, total: int) -> None:
    assert 0 <= hosts_of(amount, total) <= total
    if total >= 2:
        assert hosts_of(amount, total) >= 1


@given(amounts, totals, totals)
def test_more_hosts_never_mean_fewer(amount: int | str, one: int, other: int) -> None:
    assert hosts_of(amount, min(one, other)) <= hosts_of(amount, max(one, other))


@given(percents, percents, totals)
def test_a_larger_percentage_never_means_fewer(one: int, other: int, total: int) -> None:
    assert hosts_of(f"{min(one, other)}%", total) <= hosts_of(f"{max(one, other)}%", total)


@given(percents, st.integers(2, 5000))
def test_a_percentage_never_means_more_than_its_share_but_for_the_one(percent: int, total: int) -> None:
    assert hosts_of(f"{percent}%", total) == 1 or hosts_of(f"{percent}%", total) * 100 <= percent * total


@given(st.lists(amounts, min_size=1, max_size=4), st.integers(1, 20), st.integers(1, 5000))
def test_every_batch_moves_somebody(batches: list[int | str], number: int, total: int) -> None:
    assert 1 <= batch_size(batches, number, total) <= total


@given(amounts, totals, st.booleans())
def test_the_budget_leaves_a_single_host_alone_unless_told(amount: int | str, total: int, downtime: bool) -> None:
    found = budget(amount, total, downtime)
    assert 0 <= found <= total
    if total == 1:
        assert found == int(downtime)
    if total >= 2:
        assert found >= 1


@given(amounts, amounts, totals, st.booleans())
def test_what_must_stay_is_never_touched(most: int | str, least: int | str, total: int, downtime: bool) -> None:
    found = budget(most, total, downtime, least)
    assert 0 <= found <= budget(most, total, downtime)
    assert total - found >= at_least(least, total)


@given(percents, st.integers(2, 5000))
def test_what_may_go_of_a_percentage_and_what_must_stay_of_the_rest_are_the_same(percent: int, total: int) -> None:
    """Both round to the cautious side; only the one host that may always go is more."""
    if percent < 100:
        assert total - at_least(f"{100 - percent}%", total) in (hosts_of(f"{percent}%", total), 0)


zones = st.lists(st.integers(1, 300), min_size=1, max_size=6)


@given(zones, st.integers(0, 2000))
def test_all_zones_together_give_what_is_asked_and_none_more_than_its_quota_rounded_up(
    sizes: list[int], places: int
) -> None:
    total = sum(sizes)
    places = min(places, total)
    shares = [zone_share(places, size, total) for size in sizes]
    assert places <= sum(shares) < places + len(sizes)
    for size, share in zip(sizes, shares, strict=True):
        assert share <= size
        assert (share - 1) * total < places * size or not places

"""Amounts for any number of hosts."""

from hypothesis import given
from hypothesis import strategies as st

from reconcilers.sizes import batch_size, budget, hosts_of

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

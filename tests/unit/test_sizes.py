"""How many hosts an amount means, as docs and plans say it."""

import pytest

from reconcilers.sizes import at_least, batch_size, budget, hosts_of, zone_share


@pytest.mark.parametrize(
    ("amount", "total", "expected"),
    [
        ("25%", 4, 1),
        ("25%", 7, 1),  # floor(1.75)
        ("25%", 8, 2),
        ("50%", 5, 2),  # floor(2.5)
        ("29%", 100, 29),  # 0.29 * 100 is 28.999999999999996 in binary floating point
        ("100%", 5, 5),
        ("10%", 3, 1),  # floor(0.3), raised to 1
        ("1%", 2, 1),
        ("99%", 1, 0),  # one host alone is not raised
        ("100%", 1, 1),
        ("50%", 0, 0),
        (3, 10, 3),
        (3, 2, 2),
        (1, 0, 0),
    ],
)
def test_a_percentage_is_rounded_down_and_raised_to_one_from_two_hosts(
    amount: int | str, total: int, expected: int
) -> None:
    assert hosts_of(amount, total) == expected


@pytest.mark.parametrize(("number", "expected"), [(1, 1), (2, 5), (3, 10), (4, 10), (99, 10)])
def test_the_last_batch_amount_repeats(number: int, expected: int) -> None:
    assert batch_size([1, "25%", "50%"], number, 20) == expected


@pytest.mark.parametrize(("total", "expected"), [(0, 0), (1, 1), (2, 1)])
def test_a_batch_has_a_host_wherever_there_is_one(total: int, expected: int) -> None:
    assert batch_size(["10%"], 1, total) == expected


@pytest.mark.parametrize(
    ("amount", "total", "downtime", "expected"),
    [
        ("25%", 8, False, 2),
        ("25%", 2, False, 1),
        (5, 3, False, 3),
        ("100%", 1, False, 0),  # nobody would replace the only host
        (1, 1, False, 0),
        ("25%", 1, True, 1),
        (2, 8, True, 2),  # downtime speaks only of a single host
    ],
)
def test_the_budget(amount: int | str, total: int, downtime: bool, expected: int) -> None:
    assert budget(amount, total, downtime) == expected


@pytest.mark.parametrize(
    ("amount", "total", "expected"),
    [("75%", 8, 6), ("75%", 7, 6), ("50%", 5, 3), ("1%", 100, 1), ("1%", 1, 1), ("100%", 3, 3), (3, 2, 2), (3, 8, 3)],
)
def test_what_must_stay_is_rounded_up(amount: int | str, total: int, expected: int) -> None:
    assert at_least(amount, total) == expected


@pytest.mark.parametrize(
    ("most", "least", "expected"),
    [("25%", "50%", 2), ("50%", "75%", 2), ("50%", 7, 1), (8, 8, 0), (3, 1, 3), ("100%", "51%", 3)],
)
def test_the_stricter_of_what_may_go_and_what_must_stay_counts(
    most: int | str, least: int | str, expected: int
) -> None:
    assert budget(most, 8, False, least) == expected


@pytest.mark.parametrize(
    ("places", "hosts", "total", "expected"),
    [
        (2, 3, 6, 1),
        (3, 3, 6, 2),
        (4, 2, 10, 1),
        (5, 2, 10, 1),
        (6, 2, 10, 2),
        (10, 2, 10, 2),
        (1, 1, 99, 1),
        (0, 1, 2, 0),
    ],
)
def test_a_zones_share_is_its_quota_rounded_up(places: int, hosts: int, total: int, expected: int) -> None:
    assert zone_share(places, hosts, total) == expected

"""Days of any year against Python's dates, and beyond them."""

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tidemark.base import gregorian

EPOCH = date(1970, 1, 1)


@given(st.dates())
def test_as_python_where_python_knows_the_year(day: date) -> None:
    assert gregorian.year_and_month((day - EPOCH).days) == (day.year, day.month)
    assert gregorian.first_day(day.year) == (date(day.year, 1, 1) - EPOCH).days


@given(st.integers(-6_000_000, 6_000_000))
def test_years_begin_where_they_begin(year: int) -> None:
    first = gregorian.first_day(year)
    assert gregorian.year_and_month(first) == (year, 1)
    assert gregorian.year_and_month(first - 1) == (year - 1, 12)


@pytest.mark.parametrize(
    ("day", "year_and_month"),
    # Julian day 0 is 24 November 4714 BC, and 1 January 1970 is 2440588; a timestamp ends on 10 January 294247.
    [(-2440588, (-4713, 11)), (-719_529, (-1, 12)), (-719_528, (0, 1)), ((2**63 - 1) // 86_400_000_000, (294247, 1))],
)
def test_known_days(day: int, year_and_month: tuple[int, int]) -> None:
    assert gregorian.year_and_month(day) == year_and_month

"""The calendar dimension against Python's own calendar."""

from __future__ import annotations

from calendar import isleap
from datetime import date, timedelta

import pyarrow as pa
import pytest
from tidemark.model.added_columns import DATE_COLUMNS
from tidemark.star.calendar import days_of


@pytest.mark.parametrize("year", [1600, 1900, 2024, 2026, 9999])
def test_every_day_of_a_year(year: int) -> None:
    found = days_of([year])
    assert found.column_names == [column.name for column in DATE_COLUMNS]
    first = date(year, 1, 1)
    expected = []
    day = first
    while day.year == year:
        expected.append(
            (
                *(day, day.year, day.month, day.day, day.isoweekday(), day.strftime("%A"), day.strftime("%B")),
                (day.month - 1) // 3 + 1,
            )
        )
        if day == date.max:
            break
        day += timedelta(days=1)
    assert [tuple(row.values()) for row in found.to_pylist()] == expected
    assert found.schema.field("day_of_week").type == pa.int32()


def test_years_that_have_no_four_digits() -> None:
    """The calendar is the same every 400 years, before year 1 (1 BC is 0) and beyond 9999 too."""
    years = [-4712, -400, -43, -4, 0, 44, 999, 10000, 20240, 294246]
    found: dict[int, list[tuple[object, ...]]] = {year: [] for year in years}
    rows = days_of(years)
    for year, *rest in zip(*(column.to_pylist() for column in rows.columns[1:]), strict=True):
        found[year].append(tuple(rest))
    days_since_1970 = rows.column("date_id").cast("int32").to_pylist()
    # Julian day 0 is 24 November 4714 BC, and 1 January 1970 is 2440588; a timestamp ends on 10 January 294247.
    assert days_since_1970[:366] == list(range(38 - 2440588, 38 - 2440588 + 366))
    assert days_since_1970[-1] == (2**63 - 1) // 86_400_000_000 - 10
    for year in years:
        like = date(2000 + year % 400, 1, 1)
        days = [like + timedelta(days=number) for number in range(365 + isleap(year))]
        assert days[-1].timetuple()[:3] == (like.year, 12, 31)
        assert found[year] == [
            (day.month, day.day, day.isoweekday(), day.strftime("%A"), day.strftime("%B"), (day.month - 1) // 3 + 1)
            for day in days
        ]

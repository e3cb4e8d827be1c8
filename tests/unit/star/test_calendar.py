"""The calendar dimension against Python's own calendar."""

from __future__ import annotations

from calendar import isleap
from datetime import date, timedelta
from typing import TYPE_CHECKING

import pytest
from tidemark.model.added_columns import DATE_COLUMNS
from tidemark.star.calendar import calendar_of, days_of

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


@pytest.mark.parametrize("year", [1600, 1900, 2024, 2026, 9999])
def test_every_day_of_a_year(spark: SparkSession, year: int) -> None:
    found = calendar_of(days_of(spark, [year])).orderBy("date_id")
    assert found.columns == [column.name for column in DATE_COLUMNS]
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
    assert [tuple(row) for row in found.collect()] == expected
    assert dict(found.dtypes)["day_of_week"] == "int"


def test_years_that_have_no_four_digits(spark: SparkSession) -> None:
    """The calendar is the same every 400 years, before year 1 (1 BC is 0) and beyond 9999 too."""
    years = [-4712, -400, -43, -4, 0, 44, 999, 10000, 20240, 294246]
    found: dict[int, list[tuple[object, ...]]] = {year: [] for year in years}
    columns = ["year", "month", "day", "day_of_week", "day_name", "month_name", "quarter"]
    rows = calendar_of(days_of(spark, years)).orderBy("date_id").select(*columns).collect()
    for year, *rest in map(tuple, rows):
        found[year].append(tuple(rest))
    for year in years:
        like = date(2000 + year % 400, 1, 1)
        days = [like + timedelta(days=number) for number in range(365 + isleap(year))]
        assert days[-1].timetuple()[:3] == (like.year, 12, 31)
        assert found[year] == [
            (day.month, day.day, day.isoweekday(), day.strftime("%A"), day.strftime("%B"), (day.month - 1) // 3 + 1)
            for day in days
        ]

"""The calendar dimension against Python's own calendar."""

from __future__ import annotations

from datetime import date, timedelta
from typing import TYPE_CHECKING

import pytest
from tidemark.members import calendar_of
from tidemark.model import DATE_COLUMNS

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


@pytest.mark.parametrize("year", [1600, 1900, 2024, 2026, 9999])
def test_every_day_of_a_year(spark: SparkSession, year: int) -> None:
    days = spark.sql(f"SELECT explode(sequence(DATE'{year:04d}-01-01', DATE'{year:04d}-12-31')) AS date_id")
    found = calendar_of(days).orderBy("date_id")
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

"""The date dimension: whole years, generated."""

from __future__ import annotations

from calendar import isleap
from typing import TYPE_CHECKING

from pyspark.sql import DataFrame
from pyspark.sql import functions as F  # noqa: N812

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from tidemark.lake.tables import Lake


def add_years(lake: Lake, name: str, years: list[int], batch: int) -> int:
    """Append every day of the given years to the calendar; return how many."""
    target = lake.ensure_dates(name)
    calendar = calendar_of(days_of(lake.spark, years)).withColumn("recorded_batch", F.lit(batch).cast("bigint"))
    lake.append(calendar.coalesce(1), target)
    return sum(365 + isleap(year) for year in years)


def days_of(spark: SparkSession, years: list[int]) -> DataFrame:
    """Every day (column ``date_id``) of some years of the proleptic Gregorian calendar; year 0 is 1 BC."""
    year = F.col("year")
    days = F.sequence(F.make_date(year, F.lit(1), F.lit(1)), F.make_date(year, F.lit(12), F.lit(31)))
    return spark.createDataFrame([(year,) for year in years], "year int").select(F.explode(days).alias("date_id"))


def calendar_of(days: DataFrame) -> DataFrame:
    """Describe days (column ``date_id``) as the calendar dimension does; weeks are ISO 8601's."""
    day = F.col("date_id")
    return days.select(
        day,
        F.year(day).alias("year"),
        F.month(day).alias("month"),
        F.dayofmonth(day).alias("day"),
        (F.weekday(day) + 1).alias("day_of_week"),
        F.date_format(day, "EEEE").alias("day_name"),
        F.date_format(day, "MMMM").alias("month_name"),
        F.quarter(day).alias("quarter"),
    )

"""What a mirror's change tells the star: the rows that were written, as they stand in the mirror."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from tidemark.lake import mirror

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession
    from tidemark.lake.tables import Lake


def test_written_rows_have_the_mirrors_columns_and_types(spark: SparkSession) -> None:
    changes = spark.createDataFrame(
        [(1, "a", "insert", 7), (2, "b", "update", 7), (3, None, "delete", 7)],
        "id int, name string, _op string, _batch bigint",
    )
    wider = spark.createDataFrame([], "name string, id bigint, _batch bigint")
    found = mirror._written_rows(changes, wider)
    assert found is not None
    assert found.schema == wider.schema
    assert [tuple(row) for row in found.collect()] == [("a", 1, 7), ("b", 2, 7)]


def test_of_columns_that_were_not_landed_the_mirror_is_asked(spark: SparkSession) -> None:
    """They keep the values that they have there."""
    changes = spark.createDataFrame([], "id int, _op string, _batch bigint")
    assert mirror._written_rows(changes, spark.createDataFrame([], "id int, old string, _batch bigint")) is None


class _Lake:
    def __init__(self, spark: SparkSession, there: DataFrame) -> None:
        self.spark = spark
        there.createOrReplaceTempView("a_mirror")

    def mirror(self, table: str) -> str:
        return f"a_{table}"


def test_an_attempt_that_wrote_nothing_finds_the_rows_of_the_one_that_died(spark: SparkSession) -> None:
    there = spark.createDataFrame([(1, 6), (2, 7)], "id int, _batch bigint")
    lake = cast("Lake", _Lake(spark, there))
    for change in (None, mirror.MirrorChange(0, 0)):
        assert [row.id for row in mirror.changed_rows(lake, "mirror", 7, change).collect()] == [2]
    rows = spark.createDataFrame([(9, 7)], "id int, _batch bigint")
    change = mirror.MirrorChange(1, 0, [9], rows)
    assert [row.id for row in mirror.changed_rows(lake, "mirror", 7, change).collect()] == [9]

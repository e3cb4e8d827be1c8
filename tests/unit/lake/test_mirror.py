"""Which columns a mirror gets; and what its change tells the star: the written rows, as they stand in the mirror."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import pytest
from tidemark.lake import mirror
from tidemark.landing.manifest import TableEntry
from tidemark.model.definition import Column, SourceTable
from tidemark.model.types import PgType

from tests.frames import frame_of

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession
    from tidemark.lake.tables import Lake

NAMES = ("id", "name")
MODELLED = SourceTable(
    name="t",
    schema="public",
    relation="t",
    description="",
    key=("id",),
    columns=tuple(Column(name=n, type=PgType.parse("integer"), nullable=True, description="") for n in NAMES),
)


def landed(**columns: str) -> TableEntry:
    return TableEntry(mode="delta", why="", rows=1, count=1, fingerprint="", columns=columns)


@pytest.mark.parametrize(
    ("declared", "entry", "of_this_model", "columns"),
    [
        # The manifest is the model's own: all of its columns, those that were landed as wide as there.
        (MODELLED, landed(id="bigint"), True, {"id": "bigint", "name": "int"}),
        (MODELLED, None, True, {"id": "int", "name": "int"}),
        # It is older: what it has landed, and nothing else is known.
        (MODELLED, landed(id="int"), False, {"id": "int"}),
        (MODELLED, None, False, {}),
        # The model has lost the table, or a column: what was landed is mirrored all the same.
        (None, landed(id="int", old="string"), True, {"id": "int", "old": "string"}),
        (MODELLED, landed(old="string"), True, {"id": "int", "name": "int", "old": "string"}),
        (None, None, False, {}),
    ],
)
def test_a_mirror_gets_what_was_landed_and_what_must_have_been(
    declared: SourceTable | None, entry: TableEntry | None, of_this_model: bool, columns: dict[str, str]
) -> None:
    assert mirror.columns_of(declared, entry, of_this_model=of_this_model) == columns


def test_written_rows_have_the_mirrors_columns_and_types(spark: SparkSession) -> None:
    changes = frame_of(
        spark,
        [(1, "a", "insert", 7), (2, "b", "update", 7), (3, None, "delete", 7)],
        "id int, name string, _op string, _batch bigint",
    )
    wider = frame_of(spark, [], "name string, id bigint, _batch bigint")
    found = mirror._written_rows(changes, wider)
    assert found is not None
    assert found.schema == wider.schema
    assert [tuple(row) for row in found.collect()] == [("a", 1, 7), ("b", 2, 7)]


def test_of_columns_that_were_not_landed_the_mirror_is_asked(spark: SparkSession) -> None:
    """They keep the values that they have there."""
    changes = frame_of(spark, [], "id int, _op string, _batch bigint")
    assert mirror._written_rows(changes, frame_of(spark, [], "id int, old string, _batch bigint")) is None


class _Lake:
    def __init__(self, spark: SparkSession, there: DataFrame) -> None:
        self.spark = spark
        there.createOrReplaceTempView("a_mirror")

    def mirror(self, table: str) -> str:
        return f"a_{table}"


def test_an_attempt_that_wrote_nothing_finds_the_rows_of_the_one_that_died(spark: SparkSession) -> None:
    there = frame_of(spark, [(1, 6), (2, 7)], "id int, _batch bigint")
    lake = cast("Lake", _Lake(spark, there))
    for change in (None, mirror.MirrorChange(0, 0)):
        assert [row.id for row in mirror.changed_rows(lake, "mirror", 7, change).collect()] == [2]
    rows = frame_of(spark, [(9, 7)], "id int, _batch bigint")
    change = mirror.MirrorChange(1, 0, [9], rows)
    assert [row.id for row in mirror.changed_rows(lake, "mirror", 7, change).collect()] == [9]

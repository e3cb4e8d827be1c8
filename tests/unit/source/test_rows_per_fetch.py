"""What a reader holds in memory is bounded in bytes."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from tidemark.base.spark import rows_at_a_time, spark_settings
from tidemark.model.loader import load_model
from tidemark.model.types import PgType
from tidemark.source.few_rows import is_of_few
from tidemark.source.queries import PlannedRead
from tidemark.source.reading import FETCH_BYTES, MOST_ROWS, rows_per_fetch

from tests.shop import SHOP_MODEL

MODEL = SHOP_MODEL


@pytest.mark.parametrize(
    ("kinds", "widest", "expected"),
    [
        (("integer", "bigint", "numeric(10,2)"), 0, MOST_ROWS),
        (("integer", "text"), 300, MOST_ROWS),
        (("integer", "text"), 700 * 1024, 23),
        (("integer", "text"), 10 * FETCH_BYTES, 1),
        (("integer", *["varchar(200)"] * 100), 0, 209),
    ],
)
def test_as_many_rows_as_surely_fit(kinds: tuple[str, ...], widest: int, expected: int) -> None:
    found = rows_per_fetch([PgType.parse(kind) for kind in kinds], widest)
    assert found == expected
    assert found == 1 or found * widest <= FETCH_BYTES


@pytest.mark.parametrize("kind", ["text", "varchar", "varchar(5000)", "jsonb", "numeric", "bytea", "text[]", "mood"])
def test_a_type_without_a_bound_is_measured(kind: str) -> None:
    assert PgType.parse(kind).bounded_width is None
    assert "octet_length" in PgType.parse(kind).measured_width("c")


@pytest.mark.parametrize(
    "kind", ["bigint", "timestamptz", "uuid", "varchar(200)", "char(3)", "numeric(38,10)", "boolean"]
)
def test_a_type_with_a_bound_costs_no_look(kind: str) -> None:
    assert PgType.parse(kind).bounded_width is not None
    assert PgType.parse(kind).measured_width("c") == ""


def test_files_are_read_a_few_rows_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of landing files and of the lake's: with Spark's 4,096 and Iceberg's 5,000, 1,500 rows of 700 kB fit no heap."""
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-2")
    settings = spark_settings("s3://lake/processed")
    assert int(settings["spark.sql.parquet.columnarReaderBatchSize"]) <= 256
    assert int(settings["spark.sql.catalog.lake.table-default.read.parquet.vectorization.batch-size"]) <= 256


@pytest.mark.parametrize(
    ("rows", "widest", "few"),
    [
        (0, 0, True),
        (MOST_ROWS, 0, True),
        (MOST_ROWS + 1, 0, False),
        (23, 700 * 1024, True),
        (24, 700 * 1024, False),
        (1, 900 * 2**20, False),
    ],
)
def test_few_rows_are_those_that_one_fetch_holds(rows: int, widest: int, few: bool) -> None:
    """One row of 900 MB is read by Spark, which holds it once."""
    model = load_model(str(MODEL))
    table = model.tables["orders"]
    found = SimpleNamespace(found={column.name: column.type for column in table.columns})
    snapshot: Any = SimpleNamespace(tables={"orders": found})
    assert is_of_few(snapshot, PlannedRead(table=table, expected_rows=rows, widest=widest)) is few


@pytest.mark.parametrize(
    ("widest", "rows"),
    [(0, 256), (300, 256), (2**18, 256), (2**18 + 1, 255), (700 * 1024, 93), (12 * 2**20, 5), (2**30, 1)],
)
def test_readers_of_files_hold_as_many_rows_as_surely_fit(widest: int, rows: int) -> None:
    assert rows_at_a_time(widest) == rows
    assert rows == 1 or rows * widest <= 64 * 2**20

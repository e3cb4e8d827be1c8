"""Candidate rows: what fits its declared type passes unchanged, what does not has a reason, nothing becomes NULL."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from tidemark.base.errors import ModelError
from tidemark.model.definition import Column, Dimension
from tidemark.model.types import PgType
from tidemark.star.contract import check_contract
from tidemark.star.evaluate import check_one_row_per_key, evaluate

from tests.frames import frame_of

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

REJECTED = object()


def star(
    kind: str, *, nullable: bool = True, sql: str = "SELECT k, v FROM t", joins: tuple[str, ...] = ()
) -> Dimension:
    columns = (
        Column(name="k", type=PgType("integer"), nullable=False, description="x"),
        Column(name="v", type=PgType.parse(kind), nullable=nullable, description="x"),
    )
    return Dimension(
        name="d", description="x", key=("k",), columns=columns, sql=sql, driver="t", from_key=("k",), joins=joins
    )


# Declared type, type that the SQL gives, and values with what becomes of them.
CASES: list[tuple[str, str, list[tuple[Any, Any]]]] = [
    (
        "date",
        "string",
        [
            ("2024-02-29", date(2024, 2, 29)),
            ("0001-01-01", date(1, 1, 1)),
            ("9999-12-31", date(9999, 12, 31)),
            ("2024-02-30", REJECTED),
            ("2023-02-29", REJECTED),
            ("2024-13-01", REJECTED),
            ("2024-00-10", REJECTED),
            ("2024-2-3", REJECTED),
            ("2024-02", REJECTED),
            ("", REJECTED),
            (" 2024-01-01", REJECTED),
            ("2024-01-01 ", REJECTED),
            ("2024-01-01\n", REJECTED),
            ("2024-01-01T00:00:00", REJECTED),
            ("2024-01-01 10:00", REJECTED),
            ("01/02/2024", REJECTED),
            ("20240101", REJECTED),
            ("+2024-01-01", REJECTED),
            ("-2024-01-01", REJECTED),
            ("12024-01-01", REJECTED),
            ("epoch", REJECTED),
            ("today", REJECTED),
            ("infinity", REJECTED),
            ("\u0662\u0660\u0662\u0664-01-01", REJECTED),
            (None, None),
        ],
    ),
    ("date", "timestamp_ntz", [(datetime(2024, 8, 22, 23, 59, 59, 999000), date(2024, 8, 22)), (None, None)]),
    # What has more digits is rounded as the warehouse would: PostgreSQL 15's own answers.
    (
        "timestamp(3)",
        "timestamp_ntz",
        [
            (datetime(2024, 1, 1, 10, 0, 0, 123500), datetime(2024, 1, 1, 10, 0, 0, 124000)),
            (datetime(2024, 1, 1, 10, 0, 0, 123499), datetime(2024, 1, 1, 10, 0, 0, 123000)),
            (datetime(1999, 12, 31, 23, 59, 59, 999500), datetime(1999, 12, 31, 23, 59, 59, 999000)),
            (datetime(1999, 6, 1, 23, 59, 59, 123501), datetime(1999, 6, 1, 23, 59, 59, 124000)),
            (None, None),
        ],
    ),
    (
        "timestamp(0)",
        "string",
        [
            ("1999-12-31 23:59:59.9995", datetime(2000, 1, 1)),
            ("1999-06-01 23:59:59.5", datetime(1999, 6, 1, 23, 59, 59)),
            ("soon", REJECTED),
        ],
    ),
    (
        "time(3)",
        "string",
        [
            ("23:59:59.1235", "23:59:59.124"),
            ("23:59:59.9995", "24:00:00"),
            ("24:00:00", "24:00:00"),
            ("00:00:00", "00:00:00"),
            ("10:20:30.100000", "10:20:30.100000"),
            ("10:20:30.1999", "10:20:30.2"),
            ("10:20:29.9999", "10:20:30"),
            ("24:00:01", REJECTED),
            (None, None),
        ],
    ),
    (
        "time",
        "timestamp_ntz",
        [
            (datetime(2024, 8, 22, 7, 55, 11), "07:55:11.000000"),
            (datetime(1969, 12, 31, 23, 59, 59, 999999), "23:59:59.999999"),
        ],
    ),
    (
        "time",
        "string",
        [
            ("07:55:11", "07:55:11"),
            ("23:59:59.999999", "23:59:59.999999"),
            ("24:00:00", "24:00:00"),
            ("24:00:01", REJECTED),
            ("7:55:11", REJECTED),
            ("07:55", REJECTED),
            ("07:60:00", REJECTED),
            ("07:55:11.1234567", REJECTED),
            ("", REJECTED),
            (None, None),
        ],
    ),
    (
        "numeric(10,2)",
        "decimal(12,2)",
        [
            (Decimal("99999999.99"), Decimal("99999999.99")),
            (Decimal("-99999999.99"), Decimal("-99999999.99")),
            (Decimal("100000000.00"), REJECTED),
            (None, None),
        ],
    ),
    ("numeric(10,2)", "string", [("12.30", Decimal("12.30")), ("12,30", REJECTED), ("", REJECTED), ("1e99", REJECTED)]),
    ("integer", "bigint", [(2**31 - 1, 2**31 - 1), (-(2**31), -(2**31)), (2**31, REJECTED), (-(2**31) - 1, REJECTED)]),
    ("smallint", "int", [(32767, 32767), (-32768, -32768), (32768, REJECTED), (-32769, REJECTED), (None, None)]),
    (
        "bigint",
        "string",
        [("9223372036854775807", 2**63 - 1), ("9223372036854775808", REJECTED), ("1.5", REJECTED), ("x", REJECTED)],
    ),
    (
        "varchar(3)",
        "string",
        [("abc", "abc"), ("", ""), ("äöü", "äöü"), ("🧳🧳🧳", "🧳🧳🧳"), ("abcd", REJECTED), (None, None)],
    ),
    ("varchar", "string", [("x" * 5000, "x" * 5000), ("", "")]),
    ("char(2)", "string", [("ab", "ab"), ("abc", REJECTED)]),
    ("boolean", "string", [("true", True), ("f", False), ("maybe", REJECTED)]),
    ("boolean", "boolean", [(True, True), (False, False), (None, None)]),
]


@pytest.mark.parametrize(("kind", "given", "values"), CASES, ids=[f"{kind} from {given}" for kind, given, _ in CASES])
def test_a_value_passes_exactly_or_is_bad(
    spark: SparkSession, kind: str, given: str, values: list[tuple[Any, Any]]
) -> None:
    frame = frame_of(spark, [(n, raw) for n, (raw, _) in enumerate(values)], f"k int, v {given}")
    found = {row.k: row for row in check_contract(frame, star(kind)).collect()}
    for number, (raw, expected) in enumerate(values):
        row = found[number]
        if expected is REJECTED:
            assert row.v is None
            assert row._reason == f"v: '{str(raw)[:60]}' is not a valid {PgType.parse(kind)}", raw
            assert row._row.startswith(f'{{"k":{number},"v":')
        else:
            assert (row.v, row._reason, row._row) == (expected, None, None), raw


def test_null_where_the_star_says_not_null(spark: SparkSession) -> None:
    frame = frame_of(spark, [(1, None), (2, "2024-02-30"), (3, "2024-02-03")], "k int, v string")
    found = {row.k: row._reason for row in check_contract(frame, star("date", nullable=False)).collect()}
    assert found == {1: "v is NULL", 2: "v: '2024-02-30' is not a valid date", 3: None}


def test_all_that_is_wrong_with_a_row_is_said_and_the_row_is_kept_as_it_came(spark: SparkSession) -> None:
    frame = frame_of(spark, [(None, "x" * 100)], "k int, v string")
    (row,) = check_contract(frame, star("date")).collect()
    assert row._reason == f"k is NULL; v: '{'x' * 60}' is not a valid date"
    assert row._row == f'{{"v":"{"x" * 100}"}}'


def test_the_sql_runs_over_the_frames_it_names(spark: SparkSession) -> None:
    frames = {"t": frame_of(spark, [(1, "a")], "k int, v string")}
    assert evaluate(spark, star("text"), frames).collect() == [(1, "a")]


def test_odd_table_names_are_only_names(spark: SparkSession) -> None:
    frames = {"odd `t`": frame_of(spark, [(1, "a")], "k int, v string")}
    assert evaluate(spark, star("text", sql="SELECT k, v FROM `odd ``t```"), frames).collect() == [(1, "a")]


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("SELECT k, v FROM elsewhere", r"^d\.sql: .*elsewhere.*; expected: a SELECT over t; to do: fix the SQL"),
        ("SELECT k, w AS v FROM t", r"^d\.sql: .*w.* cannot be resolved"),
        ("SELECT k FROM t", r"^d\.sql gives other columns than star\.yml declares \(missing: v; not declared: none\)"),
        ("SELECT k, v, 1 AS w FROM t", r"\(missing: none; not declared: w\)"),
        ("SELECT k, v, v FROM t", r"^d\.sql"),
        ("SELEC k, v FROM t", r"^d\.sql: "),
    ],
)
def test_sql_that_does_not_fit_is_named(spark: SparkSession, sql: str, message: str) -> None:
    frames = {"t": frame_of(spark, [(1, "a")], "k int, v string")}
    with pytest.raises(ModelError, match=message):
        evaluate(spark, star("text", sql=sql), frames)


def test_joins_that_multiply_rows_are_named(spark: SparkSession) -> None:
    twice = frame_of(spark, [(7, "a"), (7, "b"), (8, "c")], "k int, v string")
    with pytest.raises(
        ModelError,
        match=r"^d\.sql gives 2 rows for k 7; expected: one row per t, each with a key of its own; to do: join on",
    ):
        check_one_row_per_key(twice, star("text", joins=("u",)))
    check_one_row_per_key(twice.where("k = 8"), star("text", joins=("u",)))

"""Data files in memory: columns go by their ids."""

from __future__ import annotations

import io
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from tidemark.lake import data_file

PLENTY = 2**30
ROW: dict[str, tuple[pa.DataType, Any]] = {
    "boolean": (pa.bool_(), True),
    "int": (pa.int32(), -1),
    "long": (pa.int64(), 2**62),
    "float": (pa.float32(), 1.5),
    "double": (pa.float64(), -1e300),
    "small decimal": (pa.decimal128(9, 2), Decimal("-1234567.89")),
    "decimal": (pa.decimal128(18, 0), Decimal(10**17)),
    "large decimal": (pa.decimal128(38, 10), Decimal("-1234567890123456789012345678.0123456789")),
    "text": (pa.large_string(), "日本 \x00 'quoted'"),
    "bytes": (pa.large_binary(), b"\x00\xff"),
    "day": (pa.date32(), date(1, 1, 1)),
    "moment": (pa.timestamp("us", "UTC"), datetime(1500, 1, 1, 0, 0, 0, 1, tzinfo=UTC)),
    "wall clock": (pa.timestamp("us"), datetime(9999, 12, 31, 23, 59, 59, 999999)),
}


def schema(**columns: tuple[int, pa.DataType]) -> pa.Schema:
    return pa.schema(
        [pa.field(name, kind, metadata={"PARQUET:field_id": str(i)}) for name, (i, kind) in columns.items()]
    )


def test_every_type_comes_back_as_it_was_null_too() -> None:
    kinds = schema(**{name: (number, kind) for number, (name, (kind, _)) in enumerate(ROW.items(), 1)})
    rows = pa.table([pa.array([value, None], kind) for kind, value in ROW.values()], kinds)
    found = data_file.rows_of(data_file.contents(rows), kinds, PLENTY)
    assert found is not None
    assert found.schema == kinds
    assert found.to_pylist() == rows.to_pylist()


def test_the_file_says_its_ids_and_that_moments_are_utc() -> None:
    kinds = schema(at=(7, pa.timestamp("us", "UTC")), wall=(3, pa.timestamp("us")), price=(5, pa.decimal128(9, 2)))
    content = data_file.contents(kinds.empty_table())
    columns = pq.ParquetFile(io.BytesIO(content)).schema
    assert [columns.column(at).logical_type.to_json() for at in (0, 1)] == [
        '{"Type": "Timestamp", "isAdjustedToUTC": true, "timeUnit": "microseconds", "is_from_converted_type": false, '
        '"force_set_converted_type": false}',
        '{"Type": "Timestamp", "isAdjustedToUTC": false, "timeUnit": "microseconds", "is_from_converted_type": false, '
        '"force_set_converted_type": false}',
    ]
    assert columns.column(2).physical_type == "INT32", "as Iceberg's specification has it"
    assert "field_id=7" in str(columns)


def test_a_column_dropped_and_added_again_is_another_and_wider_types_are_taken() -> None:
    then = schema(key=(1, pa.int32()), note=(2, pa.large_string()), price=(3, pa.decimal128(9, 2)))
    now = schema(note=(4, pa.large_string()), key=(1, pa.int64()), price=(3, pa.decimal128(12, 2)))
    content = data_file.contents(pa.table([[1], ["old"], [Decimal("1.00")]], then))
    found = data_file.rows_of(content, now, PLENTY)
    assert found is not None
    assert found.to_pylist() == [{"note": None, "key": 1, "price": Decimal("1.00")}]


def test_a_renamed_column_is_the_same() -> None:
    then, now = schema(old=(1, pa.int64())), schema(new=(1, pa.int64()))
    found = data_file.rows_of(data_file.contents(pa.table([[5]], then)), now, PLENTY)
    assert found is not None
    assert found.to_pylist() == [{"new": 5}]


def test_a_file_without_any_of_the_columns_still_has_its_rows() -> None:
    then, now = schema(old=(1, pa.int64())), schema(new=(2, pa.int64()))
    found = data_file.rows_of(data_file.contents(pa.table([[5, 6]], then)), now, PLENTY)
    assert found is not None
    assert found.to_pylist() == [{"new": None}, {"new": None}]


def test_what_grows_beyond_the_limit_is_not_read() -> None:
    kinds = schema(text=(1, pa.large_string()))
    content = data_file.contents(pa.table([["x" * 1000] * 1000], kinds))
    assert len(content) < 10_000
    assert data_file.rows_of(content, kinds, 900_000) is None
    assert data_file.rows_of(content, kinds, PLENTY) is not None

"""Few rows written by Arrow: the outcome of a MERGE."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tidemark.lake import data_file, few_rows

SCHEMA = pa.schema([("a", pa.float64()), ("b", pa.large_string()), ("value", pa.int64()), ("own", pa.int64())])
FLOATS = st.sampled_from([None, 0.0, -0.0, 1.5, math.nan, math.inf])
TEXTS = st.sampled_from([None, "", "x", "X", "é"])
NUMBERS = st.integers(0, 3)


def plain(row: tuple[Any, ...]) -> tuple[Any, ...]:
    """A row that equals another if Spark says so."""
    return tuple(
        "NaN" if isinstance(value, float) and math.isnan(value) else value + 0.0 if isinstance(value, float) else value
        for value in row
    )


def table(rows: list[tuple[Any, ...]]) -> pa.Table:
    columns = list(zip(*rows, strict=True)) or [()] * len(SCHEMA)
    return pa.table([pa.array(c, f.type) for c, f in zip(columns, SCHEMA, strict=True)], SCHEMA)


def rows_of(found: pa.Table) -> list[tuple[Any, ...]]:
    return [plain(tuple(row.values())) for row in found.to_pylist()]


def one_per_key(rows: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """Of rows of the same key, the first; keys with NULL equal no other."""
    seen: set[Any] = set()
    found = []
    for row in rows:
        key = plain(row[:2])
        if None in key or key not in seen:
            found.append(row)
        seen.add(key)
    return found


ROWS = st.lists(st.tuples(FLOATS, TEXTS, NUMBERS, NUMBERS), max_size=8).map(one_per_key)


@given(ROWS, ROWS, st.data())
def test_rows_are_updated_inserted_and_deleted_as_by_a_merge(
    there: list[tuple[Any, ...]], changes: list[tuple[Any, ...]], data: st.DataObject
) -> None:
    gone = [data.draw(st.booleans()) for _ in changes]
    cuts = sorted(data.draw(st.lists(st.integers(0, len(there)), max_size=2)))
    parts = [there[at:until] for at, until in zip([0, *cuts], [*cuts, len(there)], strict=True)]

    done = few_rows.upsert([table(part) for part in parts], table(changes), ("a", "b"), {"value"}, gone)

    by_key = {plain(row[:2]): (row, away) for row, away in zip(changes, gone, strict=True) if None not in row[:2]}
    expected: list[tuple[Any, ...]] = []
    met: set[Any] = set()
    meeting: dict[int, list[int]] = {}
    for number, part in enumerate(parts):
        for at, row in enumerate(part):
            change, away = by_key.get(plain(row[:2]), (None, False))
            if change is not None:
                met.add(plain(row[:2]))
                meeting.setdefault(number, []).append(at)
                if not away:
                    expected.append(plain((*row[:2], change[2], row[3])))
    expected += [plain(row) for row, away in zip(changes, gone, strict=True) if plain(row[:2]) not in met and not away]
    assert Counter(rows_of(done.written)) == Counter(expected)
    assert done.met == meeting, "rows that no change meets stay as they are"


def test_two_changes_of_one_key_are_refused_as_spark_refuses_them() -> None:
    twice = table([(0.0, "x", 1, 1), (-0.0, "x", 2, 2)])
    with pytest.raises(ValueError, match="two changes have the same key"):
        few_rows.upsert([], twice, ("a", "b"), {"value"}, [False, False])


def test_columns_that_are_lacking_are_null_and_unknown_ones_are_refused() -> None:
    found = data_file.conform(pa.table({"value": pa.array([1], pa.int32())}), SCHEMA)
    assert found.schema == SCHEMA
    assert rows_of(found) == [(None, None, 1, None)]
    with pytest.raises(ValueError, match="no columns \\['other'\\]"):
        data_file.conform(pa.table({"other": [1]}), SCHEMA)

"""Few landed rows: a mirror's change: what is written, and what is gone."""

from __future__ import annotations

import math
from typing import Any, Literal

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st
from tidemark.lake import few_landed
from tidemark.landing.manifest import KeyList, TableEntry

KINDS = pa.schema([("id", pa.int64()), ("size", pa.float64()), ("note", pa.large_string()), ("_batch", pa.int64())])
SHIFT = 2
VALUES = st.tuples(st.sampled_from([None, 0.0, 1.0, math.nan]), st.sampled_from([None, "", "x"]))
SOURCE = st.dictionaries(st.integers(-6, 6), VALUES, max_size=8)
Source = dict[int, tuple[float | None, str | None]]


def table(rows: Source, batch: int | None = None) -> pa.Table:
    columns = [list(rows), *([value[at] for value in rows.values()] for at in (0, 1)), [batch] * len(rows)]
    return pa.table([pa.array(c, f.type) for c, f in zip(columns, KINDS, strict=True)], KINDS)


def entry(mode: Literal["full", "delta"], keys: KeyList | None = None) -> TableEntry:
    return TableEntry(mode=mode, why="", rows=0, count=0, fingerprint="", key=("id",), keys=keys)


def content(rows: pa.Table) -> dict[int, tuple[Any, ...]]:
    found = {row["id"]: (row["size"], row["note"]) for row in rows.to_pylist()}
    return {key: tuple("NaN" if value != value else value for value in values) for key, values in found.items()}  # noqa: PLR0124


def settled(current: pa.Table, written: pa.Table, gone: pa.Table) -> dict[int, tuple[Any, ...]]:
    away = set(gone.column("id").to_pylist())
    return {key: value for key, value in {**content(current), **content(written)}.items() if key not in away}


@given(SOURCE, SOURCE)
def test_after_a_full_read_the_mirror_is_the_source_and_what_is_equal_is_not_written(
    before: Source, now: Source
) -> None:
    current, given_rows = table(before, 1), table(now)
    written, gone = few_landed.changes(current, given_rows, ["id", "size", "note"], None, entry("full"))
    assert settled(current, written, gone) == content(given_rows)
    was, is_now = content(current), content(given_rows)
    assert set(content(written)) == {key for key, value in is_now.items() if was.get(key) != value}
    assert set(content(gone)) == set(was) - set(is_now)
    both = pa.concat_tables([written, gone])
    assert both.num_rows == len(set(both.column("id").to_pylist())), "each key at most once"


@given(SOURCE, SOURCE, st.sets(st.integers(-2, 1)))
def test_a_delta_finds_deletes_in_the_listed_ranges_alone(before: Source, now: Source, ranges: set[int]) -> None:
    current, landed = table(before, 1), {key: value for key, value in now.items() if key % 2}
    listed = {key: now[key] for key in now if key >> SHIFT in ranges}
    keys = KeyList(files=("listed",), rows=len(listed), groups=tuple(sorted(ranges)), shift=SHIFT)
    alive = table(listed).select(["id"]) if listed else None
    written, gone = few_landed.changes(current, table(landed), ["id", "size", "note"], alive, entry("delta", keys))
    assert set(content(gone)) == {key for key in before if key >> SHIFT in ranges and key not in now}
    assert set(content(written)) == {
        key for key, value in content(table(landed)).items() if content(current).get(key) != value
    }


def test_without_a_list_a_delta_deletes_nothing_and_an_empty_list_everything() -> None:
    current = table({1: (None, "x"), 2: (None, "y")}, 1)
    _, gone = few_landed.changes(current, KINDS.empty_table(), [], None, entry("delta"))
    assert gone.num_rows == 0
    everything = KeyList(files=(), rows=0)
    _, gone = few_landed.changes(current, KINDS.empty_table(), [], None, entry("delta", everything))
    assert set(content(gone)) == {1, 2}


def test_columns_that_were_not_landed_make_no_change() -> None:
    current = table({1: (1.0, "kept")}, 1)
    landed = table({1: (1.0, None)})
    written, gone = few_landed.changes(current, landed, ["id", "size"], None, entry("delta"))
    assert (written.num_rows, gone.num_rows) == (0, 0)


def test_minus_zero_is_no_change() -> None:
    written, _ = few_landed.changes(
        table({1: (0.0, "x")}, 1), table({1: (-0.0, "x")}), ["id", "size"], None, entry("delta")
    )
    assert written.num_rows == 0

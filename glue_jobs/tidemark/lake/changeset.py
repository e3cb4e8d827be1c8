"""Frames of changes: computed once, then counted, before anything is written.

Promises: what is counted is what will be written, whatever becomes meanwhile of the tables that it was read from.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import functions as F  # noqa: N812 - the usual name
from pyspark.sql.types import BinaryType, StringType, StructType

from tidemark.base import quoting as names

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pyspark.sql import Column, DataFrame

# So many keys may be named one by one.
FEW_KEYS: Final = 1000
# Rows are few if they, and their texts and bytes, are no more than this: they come into Python's memory. A file of so
# many is written there in less time than Spark needs to start writing one.
FEW_ROWS: Final = 20_000
_FEW_BYTES: Final = 4 * 2**20
_FEW_VALUES: Final = 2 * 10**6


def checkpoint(frame: DataFrame) -> DataFrame:
    """Compute a frame once and cut it loose from the tables it was read from.

    A cached frame will not do: Spark computes it again, from the new contents, as soon as one of its tables is written.
    """
    return frame.localCheckpoint(eager=True)


@dataclass(frozen=True)
class ChangeCounts:
    """What a checkpointed frame of changes holds: rows per kind, and their keys if these are one column's and few.

    ``marked`` are the rows for which each of the conditions holds that were asked for. ``few``: so few rows, and so
    small ones, that they may be taken into memory.
    """

    counts: dict[str, int]
    keys: list[Any] | None
    marked: dict[str, int]
    few: bool = False

    def packed(self, rows: DataFrame) -> DataFrame:
        """Return rows that are made of the changes; few of them in one piece: so they become one file."""
        return rows.coalesce(1) if sum(self.counts.values()) <= FEW_ROWS else rows

    def in_hand(self, rows: DataFrame) -> pa.Table | None:
        """Take rows that are made of the changes into memory, if these are few."""
        return rows.toArrow() if self.few else None


def compute(
    changes: DataFrame, kind: str, key: Sequence[str], marks: Mapping[str, Column]
) -> tuple[DataFrame, ChangeCounts]:
    """Compute a frame once, like :func:`checkpoint`, by counting it by its column ``kind``.

    Its keys are noted if they are few integers or texts of one column. The rows for which a condition of ``marks`` is
    true are counted under its name.
    """
    changes = changes.localCheckpoint(eager=False)  # the first job that meets it, the next one here, makes it whole
    marked = [F.coalesce(condition, F.lit(False)) for condition in marks.values()]
    one_column = [names.spark(name) for name in key] if len(key) == 1 else []
    rows = changes.select(names.spark(kind), *marked, _size(changes.schema), *one_column)
    seen = few_of(rows)
    if seen is None:
        found = changes.groupBy(names.spark(kind)).agg(F.count(F.lit(1)), *map(F.count_if, marked)).collect()
        sums = {name: sum(row[at] for row in found) for at, name in enumerate(marks, 2)}
        return changes, ChangeCounts({row[0]: row[1] for row in found}, None, sums)
    counts = dict(Counter(seen.column(0).to_pylist()))
    sums = {name: pc.sum(seen.column(at)).as_py() or 0 for at, name in enumerate(marks, 1)}
    few = _are_small(changes.columns, seen.column(len(marks) + 1))
    keys = few_keys(seen.column(len(marks) + 2)) if one_column else None
    return changes, ChangeCounts(counts, keys, sums, few)


def count_few(rows: DataFrame) -> tuple[int, bool]:
    """Count a checkpointed frame's rows, up to one more than are few; say whether they may be taken into memory."""
    seen = few_of(rows.select(_size(rows.schema)))
    if seen is None:
        return FEW_ROWS + 1, False
    return seen.num_rows, _are_small(rows.columns, seen.column(0))


def _are_small(columns: Sequence[str], lengths: pa.ChunkedArray) -> bool:
    """Whether rows may be taken into memory, given the bytes of each one's texts: very many columns are large, too."""
    return len(lengths) * len(columns) <= _FEW_VALUES and (pc.sum(lengths).as_py() or 0) <= _FEW_BYTES


def few_keys(column: pa.ChunkedArray) -> list[Any] | None:
    """Return the values of a key's only column, sorted as texts, if they are few integers or texts."""
    kind = column.type
    plain = pa.types.is_integer(kind) or pa.types.is_string(kind) or pa.types.is_large_string(kind)
    if not plain or len(column) > FEW_KEYS:
        return None
    return sorted({value for value in column.to_pylist() if value is not None}, key=str) or None


def few_of(rows: DataFrame) -> pa.Table | None:
    """Return rows, columns in order under names of their own, or None if they are not few."""
    seen = rows.toDF(*map(str, range(len(rows.columns)))).limit(FEW_ROWS + 1).toArrow()
    return seen if seen.num_rows <= FEW_ROWS else None


def _size(schema: StructType) -> Column:
    """Return the bytes of a row's texts and bytes, those in structs included."""
    lengths = (f"coalesce(CAST(octet_length({name}) AS BIGINT), 0)" for name in _long_columns(schema))
    return F.expr(" + ".join(("0L", *lengths)))


def _long_columns(schema: StructType, within: str = "") -> list[str]:
    found: list[str] = []
    for field in schema.fields:
        name, kind = within + names.spark(field.name), field.dataType
        if isinstance(kind, StructType):
            found += _long_columns(kind, f"{name}.")
        elif isinstance(kind, StringType | BinaryType):
            found.append(name)
    return found

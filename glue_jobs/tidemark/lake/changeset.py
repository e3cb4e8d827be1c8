"""Frames of changes: computed once, then counted, before anything is written.

Promises: what is counted is what will be written, whatever becomes meanwhile of the tables that it was read from.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from pyspark.sql import functions as F  # noqa: N812 - the usual name
from pyspark.sql.types import BinaryType, StringType, StructType

from tidemark.base import quoting as names

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pyspark.sql import Column, DataFrame

FEW_KEYS: Final = 1000
# Changes are few if their texts and bytes take no more than this, too: they come into Python's memory.
_FEW_BYTES: Final = 4 * 2**20


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
        return rows.coalesce(1) if sum(self.counts.values()) <= FEW_KEYS else rows


def compute(
    changes: DataFrame, kind: str, key: Sequence[str], marks: Mapping[str, Column]
) -> tuple[DataFrame, ChangeCounts]:
    """Compute a frame once, like :func:`checkpoint`, by counting it by its column ``kind``.

    Its keys are noted if they are few integers or texts of one column. The rows for which a condition of ``marks`` is
    true are counted under its name.
    """
    changes = changes.localCheckpoint(eager=False)  # the first job that meets it, the next one here, makes it whole
    marked = [F.coalesce(condition, F.lit(False)) for condition in marks.values()]
    rows = changes.select(names.spark(kind), *marked, *map(names.spark, key), _size(changes.schema))
    seen = rows.limit(FEW_KEYS + 1).collect()
    if len(seen) > FEW_KEYS:
        found = changes.groupBy(names.spark(kind)).agg(F.count(F.lit(1)), *map(F.count_if, marked)).collect()
        sums = {name: sum(row[at] for row in found) for at, name in enumerate(marks, 2)}
        return changes, ChangeCounts({row[0]: row[1] for row in found}, None, sums)
    values = [] if len(key) > 1 else sorted({row[-2] for row in seen if row[-2] is not None}, key=str)
    plain = all(isinstance(value, int | str) for value in values)
    counts = dict(Counter(row[0] for row in seen))
    sums = {name: sum(row[at] for row in seen) for at, name in enumerate(marks, 1)}
    few = sum(row[-1] for row in seen) <= _FEW_BYTES
    return changes, ChangeCounts(counts, values if plain else None, sums, few)


def count_few(rows: DataFrame) -> tuple[int, bool]:
    """Count a checkpointed frame's rows, up to one more than are few; say whether they may be taken into memory."""
    sizes = [row[0] for row in rows.limit(FEW_KEYS + 1).select(_size(rows.schema)).collect()]
    return len(sizes), len(sizes) <= FEW_KEYS and sum(sizes) <= _FEW_BYTES


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

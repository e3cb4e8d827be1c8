"""Frames of changes: computed once, then counted, before anything is written.

Promises: what is counted is what will be written, whatever becomes meanwhile of the tables that it was read from.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from pyspark.sql import functions as F  # noqa: N812 - the usual name

from tidemark.base import quoting as names

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pyspark.sql import Column, DataFrame

FEW_KEYS: Final = 1000


def checkpoint(frame: DataFrame) -> DataFrame:
    """Compute a frame once and cut it loose from the tables it was read from.

    A cached frame will not do: Spark computes it again, from the new contents, as soon as one of its tables is written.
    """
    return frame.localCheckpoint(eager=True)


@dataclass(frozen=True)
class ChangeCounts:
    """What a checkpointed frame of changes holds: rows per kind, and their keys if these are one column's and few.

    ``marked`` are the rows for which each of the conditions holds that were asked for.
    """

    counts: dict[str, int]
    keys: list[Any] | None
    marked: dict[str, int]

    def packed(self, rows: DataFrame) -> DataFrame:
        """Return rows that are made of the changes; few of them in one piece: so they become one file."""
        return rows.coalesce(1) if sum(self.counts.values()) <= FEW_KEYS else rows

    def pruning(self, target: str, key: str) -> str:
        """SQL condition that lets a merge open only the files of ``target`` that can hold one of the keys."""
        if not self.keys:
            return ""
        literals = ", ".join(str(key) if isinstance(key, int) else names.spark_literal(key) for key in self.keys)
        return f" AND {target}.{names.spark(key)} IN ({literals})"


def compute(
    changes: DataFrame, kind: str, key: Sequence[str], marks: Mapping[str, Column]
) -> tuple[DataFrame, ChangeCounts]:
    """Compute a frame once, like :func:`checkpoint`, by counting it by its column ``kind``.

    Its keys are noted if they are few integers or texts of one column. The rows for which a condition of ``marks`` is
    true are counted under its name.
    """
    changes = changes.localCheckpoint(eager=False)  # the first job that meets it, the next one here, makes it whole
    marked = [F.coalesce(condition, F.lit(False)) for condition in marks.values()]
    rows = changes.select(names.spark(kind), *marked, *map(names.spark, key))
    few = rows.limit(FEW_KEYS + 1).collect()
    if len(few) > FEW_KEYS:
        found = changes.groupBy(names.spark(kind)).agg(F.count(F.lit(1)), *map(F.count_if, marked)).collect()
        sums = {name: sum(row[at] for row in found) for at, name in enumerate(marks, 2)}
        return changes, ChangeCounts({row[0]: row[1] for row in found}, None, sums)
    values = [] if len(key) > 1 else sorted({row[-1] for row in few if row[-1] is not None}, key=str)
    plain = all(isinstance(value, int | str) for value in values)
    counts = dict(Counter(row[0] for row in few))
    sums = {name: sum(row[at] for row in few) for at, name in enumerate(marks, 1)}
    return changes, ChangeCounts(counts, values if plain else None, sums)

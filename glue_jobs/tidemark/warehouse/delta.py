"""What the warehouse lacks of the lake."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tidemark.lake.reader import LakeReader

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyarrow as pa

    from tidemark.lake.batches import Run
    from tidemark.model.definition import Model, StarTable


@dataclass(frozen=True)
class Scope:
    """What the warehouse may lack of the lake: all beyond run ``after``, and some tables as a whole.

    ``whole`` is part of ``changed``; ``created`` are the tables in which the warehouse has no rows.
    """

    after: int
    changed: set[str]
    whole: set[str]
    created: frozenset[str]

    def delta(self, lake: LakeReader, name: str, run: Run) -> pa.Table | None:
        """Rows of a star table that the warehouse may lack, or None."""
        return lake.delta(name, run, 0 if name in self.whole else self.after) if name in self.changed else None


def _was_loaded(table: StarTable, before: Run) -> bool:
    """Whether the run that was loaded last held every column of a table.

    One that it did not hold may have been filled in by a run that was never loaded, under a model that was taken back.
    """
    held = before.columns.get(table.name, {})
    return all(held.get(column.name) == before.seq for column in table.columns)


def scope_of(model: Model, lake: LakeReader, runs: Sequence[Run], after: int, created: frozenset[str]) -> Scope:
    """Say what has to be read, given the lake's runs from ``after`` on.

    A table is read whole if seqs do not tell what the warehouse lacks of it: it is new there; the model that was loaded
    last did not have it, so that earlier runs may never have been loaded; versions written long ago were filled in.
    """
    run = runs[-1]
    before = next((former for former in runs if former.seq == after), None)
    if before is None:
        whole = set(model.star_names)
        return Scope(after, whole, whole, created)
    later = [former for former in runs if former.seq > after]
    filled = {name for one in later for name, change in one.changes.items() if change.backfilled}
    whole = {*created, *(fact for fact in model.facts if fact in filled)}
    whole |= {table.name for table in model.star_tables if not _was_loaded(table, before)}
    if model.date_dimension and before.model_digest != run.model_digest:
        whole.add(model.date_dimension)
    return Scope(after, lake.changed(run, before) | whole, whole, created)

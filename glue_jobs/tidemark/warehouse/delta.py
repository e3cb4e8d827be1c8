"""What the warehouse lacks of the lake.

Of a table whose state has changed since the last load, what later batches wrote or closed. Where batches do not tell
what is lacking, all of it, and the log says why: each reason is a function here.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from tidemark.model.added_columns import warehouse_columns

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from tidemark.lake.batches import AppliedBatch
    from tidemark.lake.reader import LakeReader
    from tidemark.model.definition import Dimension, Fact, Model
    from tidemark.warehouse.protocol import Rows

_log = logging.getLogger("tidemark.load")
_Reasons = dict[str, str]


class StarDelta:
    """A :class:`tidemark.warehouse.protocol.LakeDelta`: all beyond batch ``after``, and some tables as a whole.

    Parameters
    ----------
    batches
        The lake's batches from ``after`` on, oldest first.
    after
        The last batch that the warehouse has; 0 if none.
    empty
        Star tables in which the warehouse has no rows.

    Attributes
    ----------
    before
        The batch ``after``; None if the lake does not know it.
    """

    def __init__(
        self, model: Model, lake: LakeReader, batches: Sequence[AppliedBatch], after: int, empty: Collection[str]
    ) -> None:
        self.applied, self.after = batches[-1], after
        self._model, self._lake, self._empty = model, lake, empty
        self.before = before = next((applied for applied in batches if applied.batch == after), None)
        later = [applied for applied in batches if applied.batch > after]
        self._taken_out = columns_taken_out(model, later) if before else {}
        self._whole = reasons_to_read_whole(model, before, later, empty)
        changed = lake.changed(self.applied, before) if before else set()
        calendar = [model.date_dimension] if model.date_dimension else []
        names = [*calendar, *(table.name for table in model.star_tables)]
        self._tables = [name for name in names if name in changed or name in self._whole]
        for name in self._tables:
            if name in self._whole:
                _log.info("%-22s is read whole: %s", name, self._whole[name])

    def tables(self) -> Sequence[str]:
        """Names of the tables that may lack something: calendar, dimensions, facts."""
        return self._tables

    def rows(self, table: str) -> Rows | None:
        """Rows of a table that the warehouse may lack, or None."""
        found = self._lake.delta(table, self.applied, 0 if table in self._whole else self.after)
        if found is None:
            return None
        wanted = self._taken_out.get(table, set()).union(
            column.name for column in warehouse_columns(self._model, table)
        )
        return found.select([name for name in found.column_names if name in wanted]).to_reader()

    def is_backfill(self, table: str) -> bool:
        """Whether stored versions may have got values: the table is read whole, and the warehouse has rows of it."""
        return table in self._whole and table not in self._empty


def reasons_to_read_whole(
    model: Model, before: AppliedBatch | None, later: Sequence[AppliedBatch], empty: Collection[str]
) -> Mapping[str, str]:
    """Return the tables that have to be read whole, and why.

    Parameters
    ----------
    before
        The batch that the warehouse is at; None if it is at none of the lake's.
    later
        Those that it lacks, oldest first.
    """
    if before is None:
        return _nothing_known(model)
    return {
        **_calendar_of_another_model(model, before, later[-1]),
        **_lost_meanwhile(model, before, later[-1]),
        **_not_held(model, before),
        **_filled_in(model, later),
        **_without_rows(empty),
    }


def columns_taken_out(model: Model, later: Sequence[AppliedBatch]) -> dict[str, set[str]]:
    """Columns that the model has lost, and that batches which the warehouse lacks may have written.

    Their models were never loaded, and no later one will tell the warehouse of these values: this load has to. A batch
    writes a column that its model has, also where its manifest says nothing of it: new versions keep what the key had.
    """
    if all(applied.model_digest == later[-1].model_digest for applied in later):
        return {}
    return {table.name: set(_lost(table, later[-1])) for table in model.star_tables}


def _lost(table: Dimension | Fact, applied: AppliedBatch) -> dict[str, int]:
    """Columns that a table once had, and the model has lost; with the last batch that filled them."""
    now = {column.name for column in table.columns}
    return {name: batch for name, batch in applied.columns.get(table.name, {}).items() if name not in now}


def _nothing_known(model: Model) -> _Reasons:
    """Say it of all tables: there is no batch to go on from."""
    return dict.fromkeys(model.star_names, "no batch of this lake was loaded before")


def _without_rows(empty: Collection[str]) -> _Reasons:
    """Say it of what the load has just made, or of what lost all its rows."""
    return dict.fromkeys(empty, "the warehouse has no rows of it")


def _filled_in(model: Model, later: Sequence[AppliedBatch]) -> _Reasons:
    """Say it of facts in which versions got values that earlier batches had written, and whose numbers stay."""
    return {
        name: f"batch {applied.batch} filled in columns of stored versions"
        for applied in later
        for name, change in applied.changes.items()
        if change.backfilled and name in model.facts
    }


def _not_held(model: Model, before: AppliedBatch) -> _Reasons:
    """Say it of tables of which the batch that was loaded last did not hold every column, nor perhaps the table.

    Runs before it may have filled them in, under a model that was taken back, and may never have been loaded.
    """
    lacking: _Reasons = {}
    for table in model.star_tables:
        held = before.columns.get(table.name, {})
        columns = [column.name for column in table.columns if held.get(column.name) != before.batch]
        if len(columns) == len(table.columns):
            lacking[table.name] = f"the model of batch {before.batch}, the last that was loaded, did not have it"
        elif columns:
            lacking[table.name] = f"batch {before.batch}, the last that was loaded, did not hold {', '.join(columns)}"
    return lacking


def _lost_meanwhile(model: Model, before: AppliedBatch, applied: AppliedBatch) -> _Reasons:
    """Say it of tables that got a column after the batch that was loaded last, and lost it before this load."""
    lacking: _Reasons = {}
    for table in model.star_tables:
        held = before.columns.get(table.name, {})
        lost = _lost(table, applied).items()
        if columns := sorted(name for name, batch in lost if batch > before.batch and held.get(name) != before.batch):
            had = f"later batches than {before.batch}, the last that was loaded, had {', '.join(columns)}"
            lacking[table.name] = had
    return lacking


def _calendar_of_another_model(model: Model, before: AppliedBatch, applied: AppliedBatch) -> _Reasons:
    """Say it of the calendar, of which no batch notes whether its model had it."""
    if not model.date_dimension or before.model_digest == applied.model_digest:
        return {}
    return {model.date_dimension: f"the model has changed since batch {before.batch}, the last that was loaded"}

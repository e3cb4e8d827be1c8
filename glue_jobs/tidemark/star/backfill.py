"""Columns that do not hold what their SQL says in stored rows, and are to be filled in there.

A column is in that state while the model that has it is newer than the manifests: it is new, or it was out of the model
for a while. Owns ``columns`` of ``etl_batches``: per star table and column, the last batch up to which the stored
values are filled (0: never).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from tidemark.lake.batches import AppliedBatch
    from tidemark.model.definition import Dimension, Fact


class FilledThrough:
    """Up to which batch the stored values of each star column are filled, as the last batch left it."""

    def __init__(self, last: AppliedBatch) -> None:
        self._last = last

    def missing(self, table: Dimension | Fact) -> dict[str, int]:
        """Return the columns to backfill, and the batch up to which their stored values are filled (0: none)."""
        held = self._last.columns.get(table.name)
        if held is None:
            return {}
        batches = {column.name: held.get(column.name, 0) for column in table.columns}
        return {name: batch for name, batch in batches.items() if batch != self._last.batch}

    def after(
        self,
        batch: int,
        tables: Collection[Dimension | Fact],
        unknown: Mapping[str, Collection[str]],
        away: Collection[str],
    ) -> dict[str, dict[str, int]]:
        """Return the same as ``batch`` leaves it.

        Parameters
        ----------
        tables
            The model's star tables.
        unknown
            Of those that the batch has looked at: the columns of which nothing is known yet.
        away
            Names of tables that were taken out of the model, and are still there: as they were.
        """
        result = {name: dict(self._last.columns.get(name, {})) for name in (*(table.name for table in tables), *away)}
        for table in tables:
            before = result[table.name]
            if table.name in unknown:
                known = {column.name for column in table.columns} - set(unknown[table.name])
            else:
                known = {column.name for column in table.columns if before.get(column.name) == self._last.batch}
            result[table.name] = before | dict.fromkeys(known, batch)
        return result

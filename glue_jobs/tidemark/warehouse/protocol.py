"""What any warehouse offers. Jobs and operations are written against this alone; an engine is a folder beside it.

Promises, of every engine: what a load does is seen whole or not at all; two loads of one model never run at once; no
error of an engine's own crosses these protocols, but a :class:`TidemarkError` that names the warehouse and says what to
do, without a secret and without a row's values. ``tests/integration/warehouse/load_suite.py`` holds each to them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from tidemark.base.errors import WarehouseError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager
    from datetime import datetime

    import pyarrow as pa

    from tidemark.lake.batches import AppliedBatch
    from tidemark.model.definition import Dimension, Fact

Rows: TypeAlias = "pa.RecordBatchReader"
"""Rows on their way into the warehouse: Arrow, in the lake's types, to be read once.

A reader and not merely an iterator of batches: it has a schema, so that which columns came is known before the first
batch, and of no rows, too; and every engine that speaks Arrow takes one as it is.
"""
PlainRow: TypeAlias = tuple[Any, ...]
"""A row as it is compared: Python's own values, as the source's readers give them (``PgType.reader_expression``).

A date is days since 1970-01-01, a timestamp microseconds since then (UTC; a ``timestamp`` without zone as its clock
shows it), so that none lies beyond what Python's own types hold. A numeric is a Decimal, a ``real`` or ``double
precision`` a float, a ``time`` the text HH:MM:SS, with a fraction or without; all other types are int, bool or str.
Not Arrow: a value that somebody put there by hand, and that the lake's type could not hold, is to be shown as well.
"""


class NotLoadedError(WarehouseError):
    """The warehouse has no such table yet: it was never loaded, or not with a model that declares it.

    Parameters
    ----------
    table
        Its name, with its schema.
    """

    def __init__(self, table: str) -> None:
        super().__init__(f"the warehouse has no {table} yet", do="let a tick load it")


class LakeDelta(Protocol):
    """What a warehouse lacks of the lake's star, in one state of it."""

    @property
    def applied(self) -> AppliedBatch:
        """The state to arrive at."""

    @property
    def after(self) -> int:
        """The last batch that this warehouse has; 0 if none."""

    def tables(self) -> Sequence[str]:
        """Names of the tables that may lack something, in an order in which foreign keys hold."""

    def rows(self, table: str) -> Rows | None:
        """Rows of a table that the warehouse may lack, in the lake's types; None if there are none.

        Rows that it has already may be among them. A column that the lake does not have yet is absent, never NULL; one
        that was widened since the table was last written has its former type. A column that the model has lost comes if
        batches that this warehouse lacks have written it: a warehouse that has the column takes it in.
        """

    def is_backfill(self, table: str) -> bool:
        """Whether versions that the warehouse has may have got values in columns that are new to them."""


class WarehouseLoad(Protocol):
    """One load: what is done through it becomes visible together when its ``with`` block ends well, or not at all.

    Calls come in the order of these methods; a merge at most once per table.
    """

    def loaded_through(self, lake_id: str) -> int:
        """Return the last batch loaded from this lake (0: none); keep other loads of the model out from now on.

        Another load waits here until this one has ended, and then sees what it did.

        Raises
        ------
        WarehouseError
            If the warehouse was loaded from another lake (:func:`tidemark.warehouse.refusals.from_another_lake`).
        """

    def create_or_evolve(self) -> frozenset[str]:
        """Bring tables, and what the engine makes beside them, to what the model declares.

        Where an engine demands it, this commits by itself, before the load does. So it only adds: tables, columns,
        wider types; what was dropped from the model stays. It may be done again if the load fails after it.

        Returns
        -------
        frozenset
            Names of the star tables, the calendar included, that have no rows: the load may have made them, or one that
            failed. None if nothing was to be done.

        Raises
        ------
        WarehouseError
            If the model wants what a table cannot become.
        """

    def merge_calendar(self, name: str, rows: Rows) -> int:
        """Insert the days that are missing; return how many."""

    def merge_dimension(self, table: Dimension, rows: Rows) -> int:
        """Insert rows, update those that differ; return how many."""

    def merge_fact(self, table: Fact, rows: Rows, *, backfill: bool) -> int:
        """Close versions that have ended and insert new ones; nothing else of a version ever changes.

        Parameters
        ----------
        backfill
            The one exception: published columns of versions that are there are updated where their values differ.

        Returns
        -------
        int
            Versions closed, inserted and updated.
        """

    def present_rows(self, table: Dimension | Fact) -> int:
        """Count the present rows (:func:`tidemark.model.added_columns.present_rows`) as this load sees them."""

    def last_counts(self) -> Mapping[str, int]:
        """Return the present rows per star table that the last load recorded; those that it did not are not there."""

    def record(self, delta: LakeDelta, written: Mapping[str, int], present: Mapping[str, int]) -> None:
        """Write the ledger's row: the warehouse is at ``delta.applied``; per table, rows written, and present ones."""


@dataclass(frozen=True, kw_only=True)
class StoredVersion:
    """One version of a fact's row, as it is stored.

    Parameters
    ----------
    number
        1, 2, …
    valid_from, valid_to
        When it was true in the source (UTC); ``valid_to`` is None while it is.
    is_deleted
        Whether it ended because the source row was deleted.
    recorded_batch, closed_batch
        The batch that wrote it, and the one that closed it.
    values
        The published columns, in the forms in which the engine's driver gives them to people.
    """

    number: int
    valid_from: datetime
    valid_to: datetime | None
    is_deleted: bool
    recorded_batch: int
    closed_batch: int | None
    values: dict[str, Any]


class WarehouseReader(Protocol):
    """What is asked of a warehouse by people; each call sees what is committed then.

    Every method raises :class:`WarehouseError` if the warehouse does not answer or refuses, and all but the first raise
    :class:`NotLoadedError` if the table is not there.
    """

    def loaded_through(self) -> int:
        """Return the last batch that any lake loaded for this model; 0 if none did."""

    def present_rows(self, table: Dimension | Fact) -> int:
        """Count the present rows (:func:`tidemark.model.added_columns.present_rows`)."""

    def rows(self, table: str) -> Iterator[PlainRow]:
        """All rows of a star table, the calendar included.

        Their values are those of :func:`tidemark.model.added_columns.warehouse_columns`, in that order.
        """

    def versions(self, fact: Fact, key: Sequence[str]) -> list[StoredVersion]:
        """All versions of one key, oldest first; empty if there never was one.

        Parameters
        ----------
        key
            The key's values, in the order of ``fact.key``, as a person types them.

        Raises
        ------
        ValueError
            If one of them is not a value of its column's type.
        """

    def as_of(self, fact: Fact, moment: datetime, known_batch: int | None = None) -> Iterator[PlainRow]:
        """The versions that were true at a moment, with the values of :meth:`rows`.

        A version is true from its begin on, and no longer at its end.

        Parameters
        ----------
        known_batch
            As far as this batch knew: what later ones brought is left out, what they closed is open.
        """


class Warehouse(Protocol):
    """The star of one model in one warehouse."""

    @property
    def from_scratch(self) -> str:
        """What a person does to have it loaded from the beginning: half a sentence, in the imperative."""

    def load(self) -> AbstractContextManager[WarehouseLoad]:
        """Open a load.

        Raises
        ------
        WarehouseError
            If the warehouse cannot be reached or written.
        GaveWayError
            If somebody waited for the load's locks: it was given up, and may be done again at once.
        """

    def reader(self) -> AbstractContextManager[WarehouseReader]:
        """Open the warehouse for reading.

        Raises
        ------
        WarehouseError
            If it cannot be reached.
        """

    def forget(self) -> None:
        """Drop the star and its rows in the ledger, in one transaction; nothing happens if they are not there.

        Raises
        ------
        WarehouseError
            If the warehouse cannot be reached or written, or something of others would go too: nothing is dropped.
        GaveWayError
            If somebody waited for us, time after time: nothing is dropped.
        """

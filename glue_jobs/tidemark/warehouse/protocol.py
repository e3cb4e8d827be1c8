"""What any warehouse offers: a load is written against this, and PostgreSQL is its one implementation so far."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    import pyarrow as pa

    from tidemark.lake.batches import Run
    from tidemark.model.definition import Dimension, Fact


class LoadTransaction(Protocol):
    """One load: what is done through it becomes visible together when its ``with`` block ends well, or not at all."""

    def ledger_seq(self, lake_id: str) -> int:
        """Return the seq up to which this warehouse was loaded from this lake (0: never); the transaction is exclusive.

        Raises
        ------
        WarehouseError
            If it was loaded from another lake.
        """

    def evolve(self) -> frozenset[str]:
        """Create or evolve schema, tables, views and functions to what the model declares.

        This may commit by itself, before the load does: it only adds, and is done again if the load fails.

        Returns
        -------
        frozenset
            Names of the star tables, the calendar included, that have no rows; none if nothing was to be done.
        """

    def merge_dimension(self, table: Dimension, rows: pa.Table) -> int:
        """Insert or update dimension rows; return how many."""

    def merge_dates(self, name: str, rows: pa.Table) -> int:
        """Insert missing calendar days; return how many."""

    def merge_fact(self, table: Fact, rows: pa.Table, *, filled: bool = False) -> int:
        """Close versions that ended, insert new ones; return the rows written.

        With ``filled``, columns of versions that are there are updated where the lake has filled them in.
        """

    def current_rows(self, table: Dimension | Fact) -> int:
        """Number of present rows as this transaction sees them."""

    def record(self, run: Run, after: int, written: dict[str, int]) -> None:
        """Write the ledger row."""


class Warehouse(Protocol):
    """A warehouse that can be loaded."""

    def load(self) -> AbstractContextManager[LoadTransaction]:
        """Open the one transaction of a load.

        Raises
        ------
        WarehouseError
            If the warehouse cannot be reached or written.
        """

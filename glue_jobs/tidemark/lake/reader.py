"""Reads the lake without a JVM: pyiceberg to Arrow.

Promises: a table is read at the very Iceberg snapshot that the lake's ledger names, so that what is read is one state
of the whole star even while a transform is writing the next.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from pyiceberg.catalog import Catalog
from pyiceberg.catalog.glue import GlueCatalog
from pyiceberg.exceptions import NoSuchNamespaceError, NoSuchTableError
from pyiceberg.expressions import AlwaysTrue
from pyiceberg.typedef import EMPTY_DICT

from tidemark.base import aws
from tidemark.base.errors import LakeError
from tidemark.lake.batches import AppliedBatch
from tidemark.lake.file_io import file_io
from tidemark.lake.snapshots import Step, standing_for
from tidemark.model.added_columns import BATCHES, QUARANTINE, present_columns, present_rows

if TYPE_CHECKING:
    from pyiceberg.io import FileIO
    from pyiceberg.table import Table
    from pyiceberg.typedef import Properties

    from tidemark.model.definition import Dimension, Fact, Model


class LakeReader:
    """The star tables and mirrors of one model, read only."""

    def __init__(self, model: Model, processed_uri: str) -> None:
        self.model = model
        self.catalog = catalog_at(processed_uri)
        self._known: dict[str, Table] = {}

    def last_batch(self, at_least: int = 0) -> AppliedBatch | None:
        """Return the newest applied batch, or None; ``at_least`` is a batch known to be applied."""
        found = self.batches(f"batch >= {at_least:d}")
        return found[-1] if found else None

    def batches(self, condition: str | None = None) -> list[AppliedBatch]:
        """Return the applied batches, oldest first."""
        table = self._table(self.model.star_database, BATCHES)
        if table is None:
            return []
        rows = table.scan(row_filter=condition or AlwaysTrue()).to_arrow().to_pylist()
        return [AppliedBatch.from_row(row) for row in sorted(rows, key=lambda row: row["batch"])]

    def changed(self, applied: AppliedBatch, before: AppliedBatch) -> set[str]:
        """Names of the model's star tables, calendar included, whose state differs between two applied batches."""
        there = {name for name, snapshot in applied.snapshots.items() if snapshot != before.snapshots.get(name)}
        return there & self.model.star_names

    def delta(self, name: str, applied: AppliedBatch, after: int) -> pa.Table | None:
        """Rows of a star table, at the batch's state, that batches beyond ``after`` wrote or closed; None if none."""
        at = self._at(name, applied)
        if at is None:
            return None
        table, snapshot = at
        newer = f"recorded_batch > {after:d}"
        if name in self.model.facts:
            newer += f" or closed_batch > {after:d}"
        found = table.scan(row_filter=newer if after else AlwaysTrue(), snapshot_id=snapshot).to_arrow()
        return found if found.num_rows else None

    def present_rows(self, table: Dimension | Fact, applied: AppliedBatch) -> int:
        """Number of present rows of a star table at the batch's state."""
        at = self._at(table.name, applied)
        if at is None:
            return 0
        found, snapshot = at
        scan = found.scan(row_filter=present_rows(table), snapshot_id=snapshot, selected_fields=present_columns(table))
        return int(scan.to_arrow().num_rows)

    def tables(self) -> list[tuple[str, str]]:
        """Database and name of every table in the lake's two databases, those of the model or not."""
        found: list[tuple[str, str]] = []
        for database in (self.model.source_database, self.model.star_database):
            with contextlib.suppress(NoSuchNamespaceError):
                found += [(database, identifier[-1]) for identifier in self.catalog.list_tables(database)]
        return found

    def mirror_rows(self, table: str) -> int:
        """Number of rows in a source mirror now."""
        found = self._table(self.model.source_database, table)
        if found is None:
            return 0
        return int(found.scan(selected_fields=self.model.tables[table].key).to_arrow().num_rows)

    def mirror_contents(self, table: str) -> tuple[list[str], pa.Table]:
        """Column names and rows of a source mirror now, without ``_batch``; no rows if there is no mirror."""
        found = self._table(self.model.source_database, table)
        names = [column.name for column in self.model.tables[table].columns]
        if found is None:
            return names, pa.table({name: [] for name in names})
        names = [field.name for field in found.schema().fields if field.name in names]
        return names, found.scan(selected_fields=tuple(names)).to_arrow().select(names)

    def open_quarantine(self) -> dict[str, int]:
        """Number of open quarantine entries per star table now."""
        found = self._table(self.model.star_database, QUARANTINE)
        if found is None:
            return {}
        tables = found.scan(row_filter="resolved_batch is null", selected_fields=("table_name",)).to_arrow()
        return dict(Counter(tables.column("table_name").to_pylist()))

    def quarantined(self) -> list[dict[str, Any]]:
        """Return the open quarantine entries by table, key and batch: with ``reason`` and the ``row`` as JSON."""
        found = self._table(self.model.star_database, QUARANTINE)
        rows = [] if found is None else found.scan(row_filter="resolved_batch is null").to_arrow().to_pylist()
        return sorted(rows, key=lambda row: (row["table_name"], row["key"], row["batch"]))

    def _at(self, name: str, applied: AppliedBatch) -> tuple[Table, int] | None:
        """Return a star table, and its snapshot at the batch's state; it is loaded once, however often it is read.

        Raises
        ------
        LakeError
            If it has that state no more.
        """
        wanted = applied.snapshots.get(name)
        if wanted is None:
            return None
        found = self._known.get(name)
        if found is None or _snapshot_of(found, wanted) is None:
            found = self._table(self.model.star_database, name)
        if found is None:
            return None
        snapshot = _snapshot_of(found, wanted)
        if snapshot is None:
            raise LakeError(
                f"the lake's table {name} has no snapshot {wanted}, which batch {applied.batch} names",
                expected="a table whose snapshots are kept as long as batches need them",
                do="tidemark rebuild makes lake and warehouse again from the landing area",
            )
        self._known[name] = found
        return found, snapshot

    def _table(self, database: str, name: str) -> Table | None:
        try:
            return self.catalog.load_table((database, name))
        except NoSuchTableError:
            return None


def _snapshot_of(table: Table, wanted: int) -> int | None:
    """Return the snapshot itself, or the one that stands for it."""
    if table.snapshot_by_id(wanted) is not None:
        return wanted

    def step_of(snapshot: int) -> Step | None:
        found = table.snapshot_by_id(snapshot)
        operation = found.summary.operation.value if found is not None and found.summary is not None else ""
        return None if found is None else Step(found.parent_snapshot_id, operation)

    current = table.current_snapshot()
    return standing_for(wanted, None if current is None else current.snapshot_id, step_of)


class _Catalog(GlueCatalog):
    """Glue's, whose tables share one file system: making one takes longer than reading a small table."""

    def _load_file_io(self, properties: Properties = EMPTY_DICT, location: str | None = None) -> FileIO:  # noqa: ARG002
        return file_io()


def catalog_at(processed_uri: str) -> Catalog:
    """Return the Glue Catalog, for a lake at ``s3://…``."""
    # Not load_catalog: that would mix in what a .pyiceberg.yaml of the user says about a catalog of this name.
    return _Catalog("lake", aws.client("glue"), warehouse=processed_uri)

"""The lake: Iceberg tables in the Glue Catalog, as the transform writes them.

Owns names, DDL and evolution of mirrors, dimensions, facts, ``etl_batches`` and ``quarantine``; every table is declared
by the model, never by what happens to arrive. Promises: creating and evolving are idempotent; evolution only adds
columns and widens types, so old data files stay readable.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

import pyarrow as pa

from tidemark.base import quoting as names
from tidemark.base.spark import CATALOG, fit_to, is_wide
from tidemark.lake import batches as lake_batches
from tidemark.lake import few_rows
from tidemark.lake.evolution import Columns, is_another, is_wider, refuse_other_types
from tidemark.lake.iceberg import IcebergTable
from tidemark.lake.inventory import Inventory
from tidemark.lake.lookup import LookedUp, look_up
from tidemark.lake.place import Place
from tidemark.lake.wanted import Wanted
from tidemark.model.added_columns import (
    BATCHES,
    CALENDAR_COLUMNS,
    DATE_COLUMNS,
    MIRROR_COLUMNS,
    QUARANTINE,
    QUARANTINE_COLUMNS,
    added_to,
)
from tidemark.model.definition import Column, Dimension, Fact, Model

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from pyspark.sql import DataFrame, SparkSession

KEY_PROPERTY: Final = "tidemark.key"
# Rows of new mirrors stay in memory until the stars were made of them, up to so many bytes.
_MOST_HELD: Final = 64 * 2**20
_PROPERTIES: Final = {
    "format-version": "2",
    "write.parquet.compression-codec": "zstd",
    # A merge writes what it changes, not the files in which that stood.
    "write.merge.mode": "merge-on-read",
    # So that few rows of a large file can be read without the others.
    "write.parquet.row-group-size-bytes": str(2 * 2**20),
    # Its size is looked at after so many rows, not after a hundred, which may be a gigabyte. Nor after each: until a
    # file is closed, its writer holds the least and the largest value of each group.
    "write.parquet.row-group-check-min-record-count": "8",
    "write.distribution-mode": "none",
    "write.merge.distribution-mode": "none",
    "write.spark.fanout.enabled": "true",
    # Each commit adds a manifest, and whoever reads the table reads them all.
    "commit.manifest.min-count-to-merge": "2",
    "write.metadata.delete-after-commit.enabled": "true",
    "write.metadata.previous-versions-max": "50",
}


class Lake:
    """The lake of one model, through one Spark session."""

    def __init__(self, spark: SparkSession, model: Model) -> None:
        self.spark = spark
        self.model = model
        self._there = Inventory(spark, (model.source_database, model.star_database))
        self._looked_up: dict[str, LookedUp] = {}
        self._notes: dict[str, Mapping[str, str]] = {}
        self._rows, self._widest, self._memory = -1, 0, _MOST_HELD

    def mirror(self, table: str) -> str:
        """Spark's name of a source table's mirror."""
        return names.spark(CATALOG, self.model.source_database, table)

    def star(self, table: str) -> str:
        """Spark's name of a star table."""
        return names.spark(CATALOG, self.model.star_database, table)

    def create_databases(self) -> None:
        """Create the two databases if they are missing."""
        for database in (self.model.source_database, self.model.star_database):
            self.spark.sql(f"CREATE NAMESPACE IF NOT EXISTS {names.spark(CATALOG, database)}")

    def ensure_mirror(
        self, table: str, columns: Mapping[str, str], key: Sequence[str], first: pa.Table | None = None
    ) -> None:
        """Create or evolve the mirror of ``table`` to hold these columns (name -> Spark type); note its key.

        One that is not there is made with its ``first`` rows, if these are given.
        """
        modelled = self.model.tables.get(table)  # a manifest that waited may know more than the model
        texts = {column.name: column.description for column in modelled.columns} if modelled else {}
        described = {name: (kind, texts.get(name, "")) for name, kind in columns.items()}
        text = modelled.description if modelled else ""
        properties = _PROPERTIES | {KEY_PROPERTY: json.dumps(list(key))}
        all_columns = described | declared(MIRROR_COLUMNS)
        self._ensure(self.mirror(table), all_columns, text, properties=properties, first=first)

    def drop_columns_but(self, name: str, columns: Collection[str]) -> None:
        """Drop all other columns of a table, if it is there."""
        here = self.spark.table(name).columns if self.exists(name) else []
        for column in here:
            if column not in columns:
                self.spark.sql(f"ALTER TABLE {name} DROP COLUMN {names.spark(column)}")

    def drop_unless_it_fits(self, name: str, columns: Mapping[str, str], key: Sequence[str]) -> None:
        """Drop a mirror of another key, or one of whose columns can neither stay as it is nor be widened."""
        if not self.exists(name):
            return
        found, had = dict(self.spark.table(name).dtypes), self.iceberg(name).java.properties().get(KEY_PROPERTY)
        said = json.dumps(list(key))
        another = any(is_another(found[column], kind) for column, kind in columns.items() if column in found)
        if another or had != said:
            self.drop(name)

    def star_rows(self, table: Dimension | Fact) -> DataFrame:
        """Return what a dimension or fact holds; nothing if it is not there yet."""
        if self.exists(self.star(table.name)):
            return self.spark.table(self.star(table.name))
        kinds = declared((*table.columns, *added_to(table))).items()
        listed = ", ".join(f"CAST(NULL AS {kind}) AS {names.spark(name)}" for name, (kind, _) in kinds)
        return self.spark.sql(f"SELECT {listed} LIMIT 0")

    def note(self, table: Dimension | Fact, properties: Mapping[str, str]) -> None:
        """Give a dimension or fact properties: at once, or when it comes to be."""
        name = self.star(table.name)
        if not self.exists(name):
            self._notes[table.name] = properties
            return
        update = self.iceberg(name).java.updateProperties()
        for key, value in properties.items():
            update = update.set(key, value)
        update.commit()

    def ensure_star(self, table: Dimension | Fact, first: pa.Table | None = None) -> str:
        """Create or evolve a dimension or fact; one that is not there is made with its ``first`` rows, if it has any.

        Raises
        ------
        ModelError
            If a column would have to become another type, or a narrower one: its history cannot.
        """
        columns = declared((*table.columns, *added_to(table)))
        month_of = table.partition_by if isinstance(table, Fact) else None
        name = self.star(table.name)
        properties = {**_PROPERTIES, **self._notes.pop(table.name, {})}
        self._ensure(name, columns, table.description, month_of, f"star.yml: {table.name}", properties, first)
        return name

    def ensure_dates(self, name: str) -> str:
        """Create the calendar dimension."""
        columns = declared((*DATE_COLUMNS, *CALENDAR_COLUMNS))
        self._ensure(self.star(name), columns, "One row per day of the years that the facts touch")
        return self.star(name)

    def ensure_batches(self) -> str:
        """Create the ledger of batches."""
        self._ensure(self.star(BATCHES), lake_batches.COLUMNS, "One row per manifest that was applied to this lake")
        return self.star(BATCHES)

    def ensure_quarantine(self) -> str:
        """Create the quarantine."""
        self._ensure(self.star(QUARANTINE), declared(QUARANTINE_COLUMNS), "Rows that break the star's contract")
        return self.star(QUARANTINE)

    def exists(self, name: str) -> bool:
        """Whether a table is there."""
        return name in self._there

    def snapshot_id(self, name: str) -> int | None:
        """Return the id of the table's snapshot as this process has left it, or None while it never had data."""
        return self.iceberg(name).snapshot_id

    def iceberg(self, name: str) -> IcebergTable:
        """Return Iceberg's table, as this process has read or written it last."""
        return IcebergTable(self.spark, name)

    def drop(self, name: str) -> bool:
        """Drop a table, if it is there; return whether it was."""
        if there := self.exists(name):
            self._there.discard(name)
            self.spark.sql(f"DROP TABLE {name}")
        return there

    def is_empty(self, name: str) -> bool:
        """Whether the table never had data."""
        return self.snapshot_id(name) is None

    def hold(self, rows: pa.Table, schema: str) -> DataFrame | None:
        """Return rows in hand as a frame, so that nobody need read them again; None if too much is held already."""
        if rows.nbytes > self._memory:
            return None
        self._memory -= rows.nbytes
        return self.spark.createDataFrame(rows, schema)

    def look_up(
        self, name: str, column: str, values: Collection[int | str], *, to_write: bool = True
    ) -> pa.Table | None:
        """Return the rows with one of some values of a column, or None if they must be left to Spark.

        Where they are looked up ``to_write`` them, what was read for it is kept for the next :meth:`looked_up`.
        """
        table = self.iceberg(name)
        wanted = pa.table({column: pa.array(values, table.schema.field(column).type)})
        parts = look_up(table, Wanted(wanted))
        if parts is None:
            return None
        if to_write:
            self._looked_up[name] = LookedUp(table=table, parts=parts, column=column, values=frozenset(values))
        return parts.rows_with(column, values)

    def looked_up(self, name: str) -> LookedUp | None:
        """Return what :meth:`look_up` has read last of a table, unless it was written since; and forget it."""
        found = self._looked_up.pop(name, None)
        return found if found is not None and found.table.is_as_read() else None

    def expect(self, rows: int, widest: int = 0) -> None:
        """Prepare for queries over so many rows, of so many bytes as far as that is known."""
        if rows > self._rows or widest > self._widest:
            self._rows, self._widest = max(rows, self._rows), max(widest, self._widest)
            fit_to(self.spark, self._rows, self._widest)

    def beside(self, frame: DataFrame) -> DataFrame:
        """Return rows for a join that gets them as a whole, as few rows; rows that are wide come in parts."""
        return frame if is_wide(self._widest) else frame.hint("broadcast")

    def append(self, frame: DataFrame, name: str, *, few: pa.Table | None = None) -> None:
        """Append a frame, columns by name, as one commit; ``few`` are its rows, if they are few and in hand."""
        if few is not None:
            self.append_rows(few, name)
        else:
            frame.writeTo(name).append()

    def append_rows(self, rows: pa.Table, name: str) -> None:
        """Append a few rows that are in hand, columns by name, as one commit."""
        table = self.iceberg(name)
        if table.can_be_written():
            few_rows.append(table, rows)
        else:
            self.spark.createDataFrame(rows).writeTo(name).append()

    def _ensure(
        self,
        name: str,
        columns: Columns,
        comment: str,
        month_of: str | None = None,
        keeps: str = "",
        properties: Mapping[str, str] = _PROPERTIES,
        first: pa.Table | None = None,
    ) -> None:
        """Create a table, with its ``first`` rows if these are given, or evolve it.

        With ``keeps`` (where it is declared), no type may become another or narrower.
        """
        if not self.exists(name):
            Place(self.spark, name).create(columns, comment, properties, month_of, first)
            self._there.add(name)
            return
        found = {field.name: field for field in self.spark.table(name).schema.fields}
        if keeps:
            refuse_other_types(keeps, columns, {field.name: field.dataType.simpleString() for field in found.values()})
        for column, (kind, text) in columns.items():
            quoted = names.spark(column)
            if column not in found:
                self.spark.sql(f"ALTER TABLE {name} ADD COLUMN {quoted} {kind} COMMENT {names.spark_literal(text)}")
                continue
            if is_wider(found[column].dataType.simpleString(), kind):
                self.spark.sql(f"ALTER TABLE {name} ALTER COLUMN {quoted} TYPE {kind}")
            if text and found[column].metadata.get("comment") != text:
                self.spark.sql(f"ALTER TABLE {name} ALTER COLUMN {quoted} COMMENT {names.spark_literal(text)}")


def declared(columns: Iterable[Column]) -> Columns:
    """Return columns as the lake declares them: name -> Spark type and comment."""
    return {column.name: (column.type.spark, column.description) for column in columns}

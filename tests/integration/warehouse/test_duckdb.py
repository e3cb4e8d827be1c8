"""A second warehouse, DuckDB in a file, made of the protocols alone: this module registers it, no other knows of it."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from datetime import datetime
from typing import Any

import duckdb
import pytest
from tidemark.base.credentials import Credentials
from tidemark.base.errors import WarehouseError
from tidemark.base.quoting import pg
from tidemark.model.added_columns import added_in_warehouse, present_rows, warehouse_columns
from tidemark.model.definition import Column, Dimension, Fact, Model
from tidemark.warehouse import kinds
from tidemark.warehouse.protocol import LakeDelta, NotLoadedError, PlainRow, Rows, StoredVersion
from tidemark.warehouse.refusals import from_another_lake

from tests.integration.warehouse.load_suite import LoadSuite, NewPlace

LEDGER = "CREATE TABLE IF NOT EXISTS loads (model VARCHAR, batch BIGINT, after_batch BIGINT, lake_id VARCHAR)"
TYPES = {"int": "INTEGER", "string": "VARCHAR", "timestamp": "TIMESTAMP WITH TIME ZONE", "timestamp_ntz": "TIMESTAMP"}
ONE_LOAD = threading.Lock()  # within this process; another cannot open the file


def kind_of(column: Column) -> str:
    return TYPES.get(column.type.spark, column.type.spark.upper())


def listed(names: Sequence[str], place: str = "") -> str:
    return ", ".join(place + pg(name) for name in names)


def plain_form(column: Column) -> str:
    if column.type.base == "date":
        return f"{pg(column.name)} - DATE '1970-01-01'"
    return f"epoch_us({pg(column.name)})" if column.type.spark.startswith("timestamp") else pg(column.name)


class DuckDbWarehouse:  # a file; its path is the credentials' database
    from_scratch = "remove the file"

    def __init__(self, model: Model, credentials: Credentials) -> None:
        self._model, self._path = model, credentials.dbname

    @contextmanager
    def load(self) -> Iterator[DuckDbLoad]:
        with ONE_LOAD, self._connected() as connection:
            connection.begin()
            yield DuckDbLoad(self._model, connection)
            connection.commit()  # closed without it, nothing has happened

    @contextmanager
    def reader(self) -> Iterator[DuckDbReader]:
        with self._connected() as connection:
            yield DuckDbReader(self._model, connection)

    def forget(self) -> None:
        with ONE_LOAD, self._connected() as connection:
            connection.begin()
            connection.execute(f"DROP SCHEMA IF EXISTS {pg(self._model.name)} CASCADE")
            connection.execute("DELETE FROM loads WHERE model = ?", [self._model.name])
            connection.commit()

    @contextmanager
    def _connected(self) -> Iterator[duckdb.DuckDBPyConnection]:
        try:
            with closing(duckdb.connect(self._path)) as connection:
                connection.execute(f"SET TimeZone = 'UTC'; {LEDGER}")
                yield connection
        except duckdb.Error as error:
            raise WarehouseError(f"warehouse {self._path}: {str(error).splitlines()[0]}", do="look at it") from None


class Star:  # what load and reader have in common
    def __init__(self, model: Model, connection: duckdb.DuckDBPyConnection) -> None:
        self.model, self.connection = model, connection

    def present_rows(self, table: Dimension | Fact) -> int:
        return int(self.select(self.table(table.name), "count(*)", present_rows(table))[0][0])

    def table(self, name: str) -> str:
        return pg(self.model.name, name)

    def select(self, table: str, what: str, condition: str, *values: object) -> list[tuple[Any, ...]]:
        try:
            return self.connection.execute(f"SELECT {what} FROM {table} WHERE {condition}", values).fetchall()
        except duckdb.CatalogException:
            raise NotLoadedError(table.replace('"', "")) from None


class DuckDbLoad(Star):
    def loaded_through(self, lake_id: str) -> int:
        for batch, known in self.select(
            "loads", "batch, lake_id", "model = ? ORDER BY 1 DESC LIMIT 1", self.model.name
        ):
            if known != lake_id:
                raise from_another_lake(self.model, batch, known, lake_id, DuckDbWarehouse.from_scratch)
            return int(batch)
        return 0

    def create_or_evolve(self) -> frozenset[str]:
        self.connection.execute(f"CREATE SCHEMA IF NOT EXISTS {pg(self.model.name)}")
        for name in self.model.star_names:
            columns, table = warehouse_columns(self.model, name), self.table(name)
            body = ", ".join(f"{pg(column.name)} {kind_of(column)}" for column in columns)
            self.connection.execute(f"CREATE TABLE IF NOT EXISTS {table} ({body})")
            found = {row[0]: row[1] for row in self.connection.execute(f"DESCRIBE {table}").fetchall()}
            for column in columns:
                quoted, kind = pg(column.name), kind_of(column)
                if found.get(column.name) != kind:
                    change = f"ALTER {quoted} TYPE {kind}" if column.name in found else f"ADD COLUMN {quoted} {kind}"
                    self.connection.execute(f"ALTER TABLE {table} {change}")
        return frozenset(one for one in self.model.star_names if not self.select(self.table(one), "1", "true LIMIT 1"))

    def merge_calendar(self, name: str, rows: Rows) -> int:
        self._stage(name, rows)
        return self._merge(name, ["date_id"], ["date_id"])

    def merge_dimension(self, table: Dimension, rows: Rows) -> int:
        return self._merge(table.name, table.key, self._stage(table.name, rows))

    def merge_fact(self, table: Fact, rows: Rows, *, backfill: bool) -> int:
        there, key = self._stage(table.name, rows), (*table.key, "version")
        ended = ("valid_to", "is_current", "is_deleted", "closed_batch")
        written = self._merge(table.name, key, ended, "t.is_current AND NOT s.is_current")
        published = [name for name in there if name not in {column.name for column in added_in_warehouse(table)}]
        return written + (self._merge(table.name, key, published) if backfill else 0)

    def last_counts(self) -> Mapping[str, int]:
        return {}  # every load counts all tables

    def record(self, delta: LakeDelta, written: Mapping[str, int], present: Mapping[str, int]) -> None:
        of = delta.applied
        self.connection.table("loads").insert([self.model.name, of.batch, delta.after, of.lake_id])

    def _stage(self, name: str, rows: Rows) -> list[str]:
        """Keep the rows in a table ``staged``; note and return those of the warehouse's columns that came."""
        known = self.connection.sql(f"FROM {self.table(name)}").columns
        self.there = [one for one in known if one in rows.schema.names]
        self.connection.execute(f"CREATE OR REPLACE TEMP TABLE staged AS SELECT {listed(self.there)} FROM rows")
        return self.there

    def _merge(self, name: str, key: Sequence[str], updated: Sequence[str], condition: str = "true") -> int:
        """Insert what is staged and not there; update what differs and meets the condition."""
        same = " AND ".join(f"t.{pg(one)} = s.{pg(one)}" for one in key)
        differs = f"ROW({listed(updated, 't.')}) IS DISTINCT FROM ROW({listed(updated, 's.')})"
        into = f"MERGE INTO {self.table(name)} t USING staged s ON {same} WHEN MATCHED AND {condition} AND {differs}"
        update = f"UPDATE SET {', '.join(f'{pg(one)} = s.{pg(one)}' for one in updated)}"
        insert = f"INSERT ({listed(self.there)}) VALUES ({listed(self.there, 's.')})"
        done = self.connection.execute(f"{into} THEN {update} WHEN NOT MATCHED THEN {insert}")
        return int(done.fetchall()[0][0])


class DuckDbReader(Star):
    def loaded_through(self) -> int:
        return int(self.select("loads", "max(batch)", "model = ?", self.model.name)[0][0] or 0)

    def rows(self, table: str, condition: str = "true", *values: object) -> Iterator[PlainRow]:
        forms = ", ".join(map(plain_form, warehouse_columns(self.model, table)))
        return iter(self.select(self.table(table), forms, condition, *values))

    def as_of(self, fact: Fact, moment: datetime, known_batch: int | None = None) -> Iterator[PlainRow]:
        true = "recorded_batch <= $2 AND valid_from <= $1 AND (valid_to IS NULL OR valid_to > $1 OR closed_batch > $2)"
        return self.rows(fact.name, true, moment, 2**62 if known_batch is None else known_batch)

    def versions(self, fact: Fact, key: Sequence[str]) -> list[StoredVersion]:
        own = ("valid_from", "valid_to", "is_deleted", "recorded_batch", "closed_batch")
        names = [column.name for column in fact.columns]
        wanted = " AND ".join(f"{pg(name)} = CAST(? AS {kind_of(fact.column(name))})" for name in fact.key)
        try:
            found = self.select(self.table(fact.name), listed(["version", *own, *names]), f"{wanted} ORDER BY 1", *key)
        except duckdb.ConversionException:
            raise ValueError(f"{', '.join(key)} is not a key of {fact.name}") from None
        rows = [dict(zip(("number", *own, *names), row, strict=True)) for row in found]
        return [StoredVersion(**{name: row.pop(name) for name in ("number", *own)}, values=row) for row in rows]


kinds.KINDS["duckdb"] = DuckDbWarehouse


def new_file(folders: pytest.TempPathFactory) -> Credentials:
    file = str(folders.mktemp("duckdb") / "it")
    return Credentials.model_validate({"host": "localhost", "username": "nobody", "password": "", "dbname": file})


class TestDuckDb(LoadSuite):
    kind = "duckdb"

    @pytest.fixture(scope="class")
    @classmethod
    def new_place(cls, tmp_path_factory: pytest.TempPathFactory) -> NewPlace:
        return lambda: new_file(tmp_path_factory)

    def ask(self, place: Credentials, statement: str) -> list[tuple[Any, ...]]:
        return duckdb.connect(place.dbname).execute(statement.replace("LEDGER", "loads")).fetchall()

"""The PostgreSQL warehouse: one ADBC connection, one transaction per load.

The load's ledger row is written in the same transaction as the data, under a lock that only one load holds: a tick is
in the warehouse exactly once, and readers see facts, dimensions and ledger change together. Staging tables live and
die inside the transaction.
"""

from __future__ import annotations

import json
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from adbc_driver_manager import Error as AdbcError
from adbc_driver_postgresql import dbapi

from tidemark import credentials as creds
from tidemark.errors import TidemarkError, WarehouseError
from tidemark.model import DATE_COLUMNS, Column, Dimension, Fact, Model
from tidemark.names import pg, pg_literal
from tidemark.types import PgType
from tidemark.warehouse import ddl

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tidemark.credentials import Credentials
    from tidemark.lake_batches import Run
    from tidemark.warehouse import LoadTransaction

LOCK_TIMEOUT = "60s"
_LONGEST_TEXT = 400
_TIMEOUTS = "'idle_in_transaction_session_timeout', 'statement_timeout', 'transaction_timeout'"
# Columns of a quiet table come in the type that they had before the model was widened.
_ARROW = {"integer": pa.int32(), "bigint": pa.int64(), "real": pa.float32(), "double precision": pa.float64()}


class PostgresWarehouse:
    """The star of one model in the schema of its name; ledger and staging in schema ``etl``."""

    def __init__(self, model: Model, credentials: Credentials) -> None:
        self._model, self._credentials = model, credentials

    @contextmanager
    def load(self) -> Iterator[LoadTransaction]:
        """Open the load's transaction; commit when the block ends well, roll back otherwise."""
        try:
            connection = dbapi.connect(self._credentials.uri("tidemark-load"))
        except AdbcError as error:
            what, advice = creds.unreachable("warehouse", self._credentials, error)
            raise WarehouseError(what, do=advice) from None
        with connection:
            try:
                yield _PostgresLoad(self._model, connection)
                connection.commit()
            except AdbcError as error:
                raise self._translate(error) from None

    def _translate(self, error: AdbcError) -> TidemarkError:
        state = error.sqlstate or ""
        password = self._credentials.password.get_secret_value() or "\0"
        text = " ".join(str(error).replace(password, "***").split())
        _, refused, reason = text.rpartition("ERROR: ")  # before it stands the statement, as long as it may be
        text = (refused + reason)[:_LONGEST_TEXT]
        advice = {
            "42501": f"grant {self._credentials.username} CREATE on the database and ownership of the schemas",
            "55P03": "end the other session that holds a lock on the warehouse's tables; the next tick repeats",
            "42P01": "a table was dropped by hand: drop the schema and its rows in etl.load_ledger to load anew",
        }.get(state, "mend what the server names; nothing was committed, and the next tick repeats")
        return WarehouseError(f"warehouse {self._credentials.place}: {text}", do=advice)


class _PostgresLoad:
    def __init__(self, model: Model, connection: dbapi.Connection) -> None:
        self._model, self._connection = model, connection
        self._last_digest = ""

    def ledger_seq(self, lake_id: str) -> int:
        self._run(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'")
        self._run("SET LOCAL timezone = 'UTC'")
        self._run("SET LOCAL synchronous_commit = on")
        # Whatever the role's own are: this transaction waits while the lake is read. PostgreSQL 17 brought the third.
        self._fetch(f"SELECT set_config(name, '0', true) FROM pg_settings WHERE name IN ({_TIMEOUTS})")  # noqa: S608
        lock = pg_literal(f"tidemark {self._model.name}")
        self._run(f"SELECT pg_advisory_xact_lock(hashtextextended({lock}, 0))")
        if not self._fetch(f"SELECT to_regclass('{ddl.ETL_SCHEMA}.load_ledger') IS NOT NULL")[0][0]:
            self._run(f"CREATE SCHEMA IF NOT EXISTS {pg(ddl.ETL_SCHEMA)}")
            self._run(ddl.LEDGER)
        rows = self._fetch(
            "SELECT seq, lake_id, ddl_digest FROM etl.load_ledger "  # noqa: S608 - a quoted literal
            f"WHERE model = {pg_literal(self._model.name)} ORDER BY seq DESC LIMIT 1"
        )
        if not rows:
            return 0
        seq, known, self._last_digest = rows[0]
        if known != lake_id:
            raise WarehouseError(
                f"the warehouse's schema {self._model.name} was loaded from another lake (up to run {seq})",
                expected=f"lake id {known}, found {lake_id}",
                do="point at that lake again, or drop the schema and its rows in etl.load_ledger to load this one",
            )
        return int(seq)

    def evolve(self) -> frozenset[str]:
        if self._last_digest == ddl.digest(self._model):
            return frozenset()
        there = self._tables()
        statements = ddl.statements(self._model)
        comments = [statement for statement in statements if statement.startswith("COMMENT ")]
        for statement in statements:
            if statement not in comments:
                self._run(statement)
        for table in self._model.star_tables:
            self._evolve_table(table)
        for statement in [*comments, *ddl.history_access(self._model)]:  # now that all columns are there
            self._run(statement)
        return self._model.star_names - there

    def _tables(self) -> set[str]:
        schema = pg_literal(pg(self._model.name))
        query = f"SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = to_regnamespace({schema})"  # noqa: S608
        return {str(name) for (name,) in self._fetch(query)}

    def _evolve_table(self, table: Dimension | Fact) -> None:
        rows = self._fetch(
            "SELECT attname, format_type(atttypid, atttypmod), attnotnull FROM pg_attribute WHERE attnum > 0 AND NOT "  # noqa: S608
            f"attisdropped AND attrelid = {pg_literal(pg(self._model.name, table.name))}::regclass"
        )
        own = {*ddl.FACT_EXTRA_NAMES, *ddl.DIMENSION_EXTRA_NAMES, getattr(table, "record_id", "")}
        found = {name: (PgType.parse(kind), not_null) for name, kind, not_null in rows if name not in own}
        try:
            changes = ddl.evolution(pg(self._model.name, table.name), table.key, table.columns, found)
        except ValueError as error:
            raise WarehouseError(
                str(error),
                expected="the same type, or a wider one",
                do="give the column a new name in star.yml, or change the warehouse's column by hand",
            ) from None
        views = (
            [f"DROP VIEW IF EXISTS {pg(self._model.name, table.name + '_current')}"] if isinstance(table, Fact) else []
        )
        for statement in (views if any(" TYPE " in change for change in changes) else []) + changes:
            self._run(statement)
        if isinstance(table, Fact):
            self._drop_references(table)

    def _drop_references(self, fact: Fact) -> None:
        schema, name = pg_literal(pg(self._model.name)), pg(self._model.name, fact.name)
        found = self._fetch(
            "SELECT conname, attname, relname FROM pg_constraint "  # noqa: S608
            "JOIN pg_attribute ON attrelid = conrelid AND attnum = conkey[1] JOIN pg_class t ON t.oid = confrelid "
            f"WHERE contype = 'f' AND conrelid = {pg_literal(name)}::regclass "
            f"AND cardinality(conkey) = 1 AND relnamespace = {schema}::regnamespace"
        )
        for constraint in ddl.dropped_references(fact, [(str(a), str(b), str(c)) for a, b, c in found]):
            self._run(f"ALTER TABLE {name} DROP CONSTRAINT {pg(constraint)}")

    def _let_null_in(self, table: Dimension | Fact, rows: pa.Table) -> None:
        """Drop NOT NULL from columns that some of the rows have no value for: they are older than the column."""
        lacking = ddl.lacking(table, {name: rows.column(name).null_count for name in rows.column_names})
        if lacking:
            strict = self._fetch(
                "SELECT attname FROM pg_attribute WHERE attnum > 0 AND attnotnull "  # noqa: S608
                f"AND attrelid = {pg_literal(pg(self._model.name, table.name))}::regclass"
            )
            for name in [name for name in lacking if (name,) in strict]:
                self._run(f"ALTER TABLE {pg(self._model.name, table.name)} ALTER COLUMN {pg(name)} DROP NOT NULL")

    def merge_dimension(self, table: Dimension, rows: pa.Table) -> int:
        self._let_null_in(table, rows)
        names = [*(column.name for column in table.columns), *ddl.DIMENSION_EXTRA_NAMES]
        stage = self._stage(table.name, self._kinds(table.columns, _DIMENSION_KINDS), rows)
        listed, rest = ", ".join(map(pg, names)), [pg(name) for name in names if name not in table.key]
        updated = ", ".join(f"{name} = EXCLUDED.{name}" for name in rest)
        here, there = (", ".join(f"{place}.{name}" for name in rest) for place in ("d", "EXCLUDED"))
        written = self._run(
            f"INSERT INTO {pg(self._model.name, table.name)} AS d ({listed}) "  # noqa: S608
            f"SELECT {self._cast(names, table.columns)} FROM {stage} s ON CONFLICT ({', '.join(map(pg, table.key))}) "
            f"DO UPDATE SET {updated} WHERE ROW({here}) IS DISTINCT FROM ROW({there})"
        )
        self._run(f"DROP TABLE {stage}")
        return written

    def merge_dates(self, name: str, rows: pa.Table) -> int:
        names = [column.name for column in DATE_COLUMNS]
        stage = self._stage(name, self._kinds(DATE_COLUMNS, {}), rows)
        written = self._run(
            f"INSERT INTO {pg(self._model.name, name)} ({', '.join(map(pg, names))}) "  # noqa: S608
            f"SELECT {self._cast(names, DATE_COLUMNS)} FROM {stage} s ON CONFLICT DO NOTHING"
        )
        self._run(f"DROP TABLE {stage}")
        return written

    def merge_fact(self, table: Fact, rows: pa.Table, *, filled: bool = False) -> int:
        self._let_null_in(table, rows)
        names = [*(column.name for column in table.columns), *ddl.FACT_EXTRA_NAMES]
        target = pg(self._model.name, table.name)
        stage = self._stage(table.name, self._kinds(table.columns, _FACT_KINDS), rows)
        same = " AND ".join(f"f.{name} = s.{name}" for name in map(pg, (*table.key, "version")))
        closed = self._run(
            f"UPDATE {target} f SET valid_to = s.valid_to, is_current = s.is_current, is_deleted = s.is_deleted, "  # noqa: S608
            f"closed_seq = s.closed_seq FROM {stage} s WHERE {same} AND f.is_current AND NOT s.is_current"
        )
        listed = ", ".join(map(pg, names))
        opened = self._run(
            f"INSERT INTO {target} ({listed}) SELECT {self._cast(names, table.columns)} FROM {stage} s "  # noqa: S608
            f"WHERE NOT EXISTS (SELECT FROM {target} f WHERE {same}) "
            f"ORDER BY s.valid_from, {', '.join(f's.{name}' for name in map(pg, table.key))}, s.version"
        )
        updated = 0
        there = [column.name for column in table.columns if column.name in rows.column_names]
        published = [name for name in there if name not in table.key]
        if filled and published:
            values = self._cast(published, table.columns)
            here = ", ".join(f"f.{pg(name)}" for name in published)
            updated = self._run(
                f"UPDATE {target} f SET ({', '.join(map(pg, published))}) = ROW({values}) FROM {stage} s "  # noqa: S608
                f"WHERE {same} AND ROW({here}) IS DISTINCT FROM ROW({values})"
            )
        self._run(f"DROP TABLE {stage}")
        return closed + opened + updated

    def current_rows(self, table: Dimension | Fact) -> int:
        alive = "is_current" if isinstance(table, Fact) else "NOT is_deleted AND NOT is_inferred"
        query = f"SELECT count(*) FROM {pg(self._model.name, table.name)} WHERE {alive}"  # noqa: S608
        return int(self._fetch(query)[0][0])

    def record(self, run: Run, after: int, written: dict[str, int]) -> None:
        values = [self._model.name, run.lake_id, run.run_id, run.cut_time.isoformat(), json.dumps(written)]
        name, lake_id, run_id, cut_time, rows = map(pg_literal, values)
        self._run(
            "INSERT INTO etl.load_ledger (model, seq, after_seq, lake_id, run_id, cut_time, rows_written, ddl_digest) "  # noqa: S608
            f"VALUES ({name}, {run.seq:d}, {after:d}, {lake_id}, {run_id}, {cut_time}, {rows}::jsonb, "
            f"{pg_literal(ddl.digest(self._model))})"
        )

    def _kinds(self, columns: tuple[Column, ...], extras: dict[str, str]) -> dict[str, str]:
        return {**{column.name: ddl.stage_type(column.type) for column in columns}, **extras}

    def _stage(self, name: str, kinds: dict[str, str], rows: pa.Table) -> str:
        """COPY Arrow rows into a staging table of their own; return its quoted name."""
        stage = ddl.stage_name(self._model.name, name)
        quoted = pg(ddl.ETL_SCHEMA, stage)
        self._run(f"DROP TABLE IF EXISTS {quoted}")
        columns = ", ".join(f"{pg(column)} {kind}" for column, kind in kinds.items())
        self._run(f"CREATE UNLOGGED TABLE {quoted} ({columns})")
        there = [name for name in kinds if name in rows.column_names]  # the lake's state may be older than a column
        rows = rows.select(there)
        rows = rows.cast(
            pa.schema([field.with_type(_ARROW.get(kinds[field.name], field.type)) for field in rows.schema])
        )
        with self._connection.cursor() as cursor:
            cursor.adbc_ingest(stage, rows, mode="append", db_schema_name=ddl.ETL_SCHEMA)
        return quoted

    @staticmethod
    def _cast(names: list[str], columns: tuple[Column, ...]) -> str:
        kinds = {column.name: column.type.warehouse for column in columns}
        return ", ".join(f"s.{pg(name)}" + (f"::{kinds[name]}" if name in kinds else "") for name in names)

    def _run(self, statement: str) -> int:
        with self._connection.cursor() as cursor:
            cursor.execute(statement)
            return max(0, int(cursor.rowcount))

    def _fetch(self, query: str) -> list[tuple[Any, ...]]:
        with self._connection.cursor() as cursor:
            cursor.execute(query)
            return [tuple(row) for row in cursor.fetchall()]


_DIMENSION_KINDS = {"is_deleted": "boolean", "is_inferred": "boolean", "recorded_seq": "bigint"}
_FACT_KINDS = {
    "version": "integer",
    "valid_from": "timestamptz",
    "valid_to": "timestamptz",
    "is_current": "boolean",
    "is_deleted": "boolean",
    "recorded_seq": "bigint",
    "closed_seq": "bigint",
}

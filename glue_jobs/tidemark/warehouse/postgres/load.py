"""The PostgreSQL warehouse: one ADBC connection, one transaction per load.

The load's ledger row is written in the same transaction as the data, under a lock that only one load holds: a tick is
in the warehouse exactly once, and readers see facts, dimensions and ledger change together. Staging tables live and
die inside the transaction. Objects are made and grown before it, on a connection of their own (``schema``): their locks
would keep readers out for as long as the load takes.
"""

from __future__ import annotations

import json
import re
import secrets
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import psycopg
import pyarrow as pa
from adbc_driver_manager import Error as AdbcError
from adbc_driver_postgresql import dbapi

from tidemark.base import credentials as creds
from tidemark.base.errors import TidemarkError, WarehouseError
from tidemark.base.giving_way import Watch
from tidemark.base.quoting import pg, pg_literal
from tidemark.base.sessions import NO_TIMEOUTS, PIN, PIN_AT_START, Session, open_session
from tidemark.model.definition import DATE_COLUMNS, Column, Dimension, Fact, Model
from tidemark.source.pooling import check_direct
from tidemark.warehouse.postgres import ddl
from tidemark.warehouse.postgres.schema import Schema

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tidemark.base.credentials import Credentials
    from tidemark.lake.batches import Run
    from tidemark.warehouse.protocol import LoadTransaction

LOCK_TIMEOUT = "60s"
BATCH_BYTES = 16 * 2**20  # of the rows that are encoded for COPY at a time, however wide they are
_LONGEST_TEXT = 400
_SEVERITY = re.compile(r"[^\W\d_]+:  (?=\S)")
# Columns of a quiet table come in the type that they had before the model was widened.
_ARROW = {"integer": pa.int32(), "bigint": pa.int64(), "real": pa.float32(), "double precision": pa.float64()}
_ADVICE = {
    "42501": "grant {user} CREATE on the database and ownership of the schemas",
    "55P03": "end the other session that holds a lock on the warehouse's tables; the next tick repeats",
    "42P01": "a table was dropped by hand: drop the schema and its rows in etl.load_ledger to load anew",
}


class PostgresWarehouse:
    """The star of one model in the schema of its name; ledger and staging in schema ``etl``."""

    def __init__(self, model: Model, credentials: Credentials) -> None:
        self._model, self._credentials = model, credentials

    @contextmanager
    def load(self) -> Iterator[LoadTransaction]:
        """Open the load's transaction; commit when the block ends well, roll back otherwise.

        Raises
        ------
        WarehouseError
            If the warehouse cannot be reached or written.
        GaveWayError
            If somebody waited for the load's locks: it was given up.
        """
        run = secrets.token_hex(4)
        load, schema = f"tidemark-load {run}", f"tidemark-schema {run}"
        try:
            session = open_session(self._credentials, schema)
            if not session.takes_options:  # something stands before the server
                check_direct("warehouse", self._credentials, snapshots=False)
            with session.connection as changing, Watch(self._credentials, [load, schema]) as watch:
                try:
                    with self._connect(load, session) as connection:
                        yield _PostgresLoad(self._model, connection, Schema(self._model, changing))
                        connection.commit()
                except (AdbcError, psycopg.Error):
                    if not watch.gave_way_to:
                        raise
                    raise watch.given_up(
                        f"warehouse {self._credentials.place}",
                        "load",
                        do="nothing was committed, the next tick repeats. If this happens at every tick, look at what "
                        "waits there; a type that becomes wider rewrites its table, which needs a quiet moment",
                    ) from None
        except AdbcError as error:
            raise self._translate(error.sqlstate or "", str(error)) from None
        except psycopg.Error as error:
            if error.sqlstate is None:
                what, advice = creds.unreachable("warehouse", self._credentials, error)
                raise WarehouseError(what, do=advice) from None
            raise self._translate(error.sqlstate, f"ERROR:  {error.diag.message_primary}") from None

    def forget(self) -> None:
        """Drop the star and its rows in the ledger, in one transaction."""
        with open_session(self._credentials, "tidemark").connection as connection, connection.transaction():
            connection.execute(f"DROP SCHEMA IF EXISTS {pg(self._model.name)} CASCADE".encode())
            found = connection.execute("SELECT to_regclass('etl.load_ledger') IS NOT NULL").fetchone()
            if found and found[0]:
                connection.execute("DELETE FROM etl.load_ledger WHERE model = %s", [self._model.name])

    def _connect(self, application: str, session: Session) -> dbapi.Connection:
        uri = self._credentials.uri(application)
        return dbapi.connect(f"{uri}&options={quote(PIN_AT_START)}" if session.takes_options else uri)

    def _translate(self, state: str, words: str) -> TidemarkError:
        password = self._credentials.password.get_secret_value() or "\0"
        # Before the server's sentence stands the statement, as long as it may be; behind it, details that may hold a
        # row's values. Two blanks follow the severity in whatever language.
        said = [match.start() for match in _SEVERITY.finditer(words.split("\nDETAIL", maxsplit=1)[0])]
        text = words[said[-1] :].splitlines()[0] if said else words
        text = " ".join(text.replace(password, "***").split())[:_LONGEST_TEXT]
        usual = "look at what the server names; nothing was committed, and the next tick repeats"
        advice = _ADVICE.get(state, usual).format(user=self._credentials.username)
        return WarehouseError(f"warehouse {self._credentials.place}: {text}", do=advice)


class _PostgresLoad:
    def __init__(self, model: Model, connection: dbapi.Connection, schema: Schema) -> None:
        self._model, self._connection, self._schema = model, connection, schema
        self._last_digest = ""

    def ledger_seq(self, lake_id: str) -> int:
        # Each statement sees what the schema's session has committed, whatever the role's default is.
        self._run("SET TRANSACTION ISOLATION LEVEL READ COMMITTED READ WRITE")
        self._run(PIN)
        self._run(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'")
        self._run("SET LOCAL timezone = 'UTC'")
        self._run("SET LOCAL synchronous_commit = on")
        # Whatever the role's own are: this transaction waits while the lake is read.
        self._run("SET LOCAL statement_timeout = 0")
        self._fetch(NO_TIMEOUTS)
        lock = pg_literal(f"tidemark {self._model.name}")
        self._run(f"SELECT pg_advisory_xact_lock(hashtextextended({lock}, 0))")
        self._schema.make_ledger()
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
        return self._schema.evolve()

    def _let_null_in(self, table: Dimension | Fact, rows: pa.Table) -> None:
        """Drop NOT NULL where rows lack a value; this transaction has not touched the table yet."""
        lacking = ddl.lacking(table, {name: rows.column(name).null_count for name in rows.column_names})
        if lacking:
            self._schema.let_null_in(table, lacking)

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
        per_batch = max(1, BATCH_BYTES // max(1, rows.nbytes // max(1, rows.num_rows)))
        with self._connection.cursor() as cursor:
            batches = rows.to_reader(max_chunksize=per_batch)
            cursor.adbc_ingest(stage, batches, mode="append", db_schema_name=ddl.ETL_SCHEMA)
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

"""A load of the PostgreSQL warehouse: one ADBC connection, one transaction.

The load's ledger row is written in the same transaction as the data, under a lock that only one load holds: a tick is
in the warehouse exactly once, and readers see facts, dimensions and ledger change together. Staging tables live and
die inside the transaction. Objects are made and grown before it, on a connection of their own (``schema``): their locks
would keep readers out for as long as the load takes.
"""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa

from tidemark.base.quoting import pg, pg_literal
from tidemark.base.sessions import NO_TIMEOUTS, PIN
from tidemark.model.added_columns import present_rows, warehouse_columns
from tidemark.warehouse.postgres import ddl
from tidemark.warehouse.postgres.connection import FROM_SCRATCH, fetch, run
from tidemark.warehouse.refusals import from_another_lake

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from adbc_driver_postgresql import dbapi

    from tidemark.model.definition import Column, Dimension, Fact, Model
    from tidemark.warehouse.postgres.schema import Schema
    from tidemark.warehouse.protocol import LakeDelta, Rows

LOCK_TIMEOUT: Final = "60s"
BATCH_BYTES: Final = 16 * 2**20  # of the rows that are encoded for COPY at a time, however wide they are
# So many rows written make a table's statistics worth nothing.
MANY_ROWS: Final = 50_000
# Columns of a quiet table come in the type that they had before the model was widened.
_ARROW: Final = {"integer": pa.int32(), "bigint": pa.int64(), "real": pa.float32(), "double precision": pa.float64()}


class PostgresLoad:
    """A :class:`tidemark.warehouse.protocol.WarehouseLoad`.

    Parameters
    ----------
    connection
        Of the load; whoever made it commits.
    schema
        The star's objects, on a connection of their own.
    """

    def __init__(self, model: Model, connection: dbapi.Connection, schema: Schema) -> None:
        self._model, self._connection, self._schema = model, connection, schema
        self._last_digest = ""
        self._last_counts: Mapping[str, int] = {}

    def loaded_through(self, lake_id: str) -> int:
        """Set the transaction up, take the lock, and read the ledger."""
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
            "SELECT batch, lake_id, ddl_digest, coalesce(present_rows, '{}')::text FROM etl.load_ledger "  # noqa: S608 - a quoted literal
            f"WHERE model = {pg_literal(self._model.name)} ORDER BY batch DESC LIMIT 1"
        )
        if not rows:
            return 0
        batch, known, self._last_digest, counts = rows[0]
        self._last_counts = json.loads(counts)
        if known != lake_id:
            raise from_another_lake(self._model, batch, known, lake_id, FROM_SCRATCH)
        return int(batch)

    def create_or_evolve(self) -> frozenset[str]:
        """Do so unless the last load did the very same; this commits by itself."""
        if self._last_digest == ddl.digest(self._model):
            return frozenset()
        return self._schema.evolve()

    def merge_calendar(self, name: str, rows: Rows) -> int:
        """Insert days."""
        columns = warehouse_columns(self._model, name)
        stage, _ = self._stage(name, columns, rows)
        written = self._run(
            f"INSERT INTO {self._target(name)} ({_listed(columns)}) "  # noqa: S608 - quoted names
            f"SELECT {_cast(columns)} FROM {stage} s ON CONFLICT DO NOTHING"
        )
        self._run(f"DROP TABLE {stage}")
        return written

    def merge_dimension(self, table: Dimension, rows: Rows) -> int:
        """Insert and update, as one statement."""
        columns = warehouse_columns(self._model, table.name) + self._taken_out(table.name, rows)
        stage, nulls = self._stage(table.name, columns, rows)
        self._let_null_in(table, nulls)
        rest = [pg(column.name) for column in columns if column.name not in table.key]
        updated = ", ".join(f"{name} = EXCLUDED.{name}" for name in rest)
        here, there = (", ".join(f"{place}.{name}" for name in rest) for place in ("d", "EXCLUDED"))
        written = self._run(
            f"INSERT INTO {self._target(table.name)} AS d ({_listed(columns)}) "  # noqa: S608 - quoted names
            f"SELECT {_cast(columns)} FROM {stage} s ON CONFLICT ({', '.join(map(pg, table.key))}) "
            f"DO UPDATE SET {updated} WHERE ROW({here}) IS DISTINCT FROM ROW({there})"
        )
        self._run(f"DROP TABLE {stage}")
        return written

    def merge_fact(self, table: Fact, rows: Rows, *, backfill: bool) -> int:
        """Close, insert, and update where asked: a statement each."""
        taken_out, target = self._taken_out(table.name, rows), self._target(table.name)
        columns = warehouse_columns(self._model, table.name) + taken_out
        stage, nulls = self._stage(table.name, columns, rows)
        self._let_null_in(table, nulls)
        same = " AND ".join(f"f.{name} = s.{name}" for name in map(pg, (*table.key, "version")))
        closed = self._run(
            f"UPDATE {target} f SET valid_to = s.valid_to, is_current = s.is_current, is_deleted = s.is_deleted, "  # noqa: S608
            f"closed_batch = s.closed_batch FROM {stage} s WHERE {same} AND f.is_current AND NOT s.is_current"
        )
        opened = self._run(
            f"INSERT INTO {target} ({_listed(columns)}) SELECT {_cast(columns)} FROM {stage} s "  # noqa: S608
            f"WHERE NOT EXISTS (SELECT FROM {target} f WHERE {same}) "
            f"ORDER BY s.valid_from, {', '.join(f's.{name}' for name in map(pg, table.key))}, s.version"
        )
        updated = 0
        published = [*(one for one in table.columns if one.name in nulls and one.name not in table.key), *taken_out]
        if backfill and published:
            values, here = _cast(published), ", ".join(f"f.{pg(column.name)}" for column in published)
            updated = self._run(
                f"UPDATE {target} f SET ({_listed(published)}) = ROW({values}) FROM {stage} s "  # noqa: S608
                f"WHERE {same} AND ROW({here}) IS DISTINCT FROM ROW({values})"
            )
        self._run(f"DROP TABLE {stage}")
        return closed + opened + updated

    def present_rows(self, table: Dimension | Fact) -> int:
        """Count them."""
        query = f"SELECT count(*) FROM {self._target(table.name)} WHERE {present_rows(table)}"  # noqa: S608
        return int(self._fetch(query)[0][0])

    def last_counts(self) -> Mapping[str, int]:
        """Give what :meth:`loaded_through` has read."""
        return self._last_counts

    def record(self, delta: LakeDelta, written: Mapping[str, int], present: Mapping[str, int]) -> None:
        """Insert the ledger's row; whoever sees it sees the statistics of what became much larger, too."""
        for name, rows_written in written.items():
            if rows_written >= MANY_ROWS:  # autovacuum would come, but a minute after the first queries
                self._run(f"ANALYZE (SKIP_LOCKED) {self._target(name)}")
        applied = delta.applied
        values = [
            self._model.name,
            applied.lake_id,
            applied.execution,
            applied.cut_time.isoformat(),
            json.dumps(dict(written)),
            json.dumps(dict(present)),
        ]
        name, lake_id, execution, cut_time, rows, there = map(pg_literal, values)
        self._run(
            "INSERT INTO etl.load_ledger "  # noqa: S608 - quoted literals
            "(model, batch, after_batch, lake_id, execution, cut_time, rows_written, present_rows, ddl_digest) "
            f"VALUES ({name}, {applied.batch:d}, {delta.after:d}, {lake_id}, {execution}, {cut_time}, {rows}::jsonb, "
            f"{there}::jsonb, {pg_literal(ddl.digest(self._model))})"
        )

    def _taken_out(self, table: str, rows: Rows) -> tuple[Column, ...]:
        """Columns that came, that the model has lost and that the warehouse has."""
        own = {column.name for column in warehouse_columns(self._model, table)}
        return self._schema.columns_taken_out(table, set(rows.schema.names) - own)

    def _stage(self, name: str, columns: Sequence[Column], rows: Rows) -> tuple[str, Counter[str]]:
        """COPY rows into a staging table of their own; return its quoted name, and NULLs per column that came."""
        stage = ddl.stage_name(self._model.name, name)
        quoted, kinds = pg(ddl.ETL_SCHEMA, stage), {column.name: ddl.stage_type(column.type) for column in columns}
        self._run(f"DROP TABLE IF EXISTS {quoted}")
        self._run(f"CREATE UNLOGGED TABLE {quoted} ({', '.join(f'{pg(one)} {kind}' for one, kind in kinds.items())})")
        fields = [rows.schema.field(one) for one in kinds if one in rows.schema.names]
        arriving = pa.schema([field.with_type(_ARROW.get(kinds[field.name], field.type)) for field in fields])
        stream = _Stream(rows, arriving)
        with self._connection.cursor() as cursor:
            try:
                cursor.adbc_ingest(stage, stream.reader(), mode="append", db_schema_name=ddl.ETL_SCHEMA)
            except Exception:
                if stream.failed:  # what reads the rows failed, not the warehouse; the driver tells only the text
                    raise stream.failed from None
                raise
        return quoted, stream.nulls

    def _let_null_in(self, table: Dimension | Fact, nulls: Mapping[str, int]) -> None:
        """Drop NOT NULL where rows lack a value; this transaction has not touched the table yet."""
        lacking = ddl.lacking(table, nulls)
        if lacking:
            self._schema.let_null_in(table, lacking)

    def _target(self, table: str) -> str:
        return pg(self._model.name, table)

    def _run(self, statement: str) -> int:
        return run(self._connection, statement)

    def _fetch(self, query: str) -> list[tuple[Any, ...]]:
        return fetch(self._connection, query)


class _Stream:
    """Rows on their way into COPY: cast, in portions of a size, their NULLs counted as they pass.

    Parameters
    ----------
    rows
        May have more columns than are wanted.
    schema
        The columns that are, with their types.
    """

    def __init__(self, rows: Rows, schema: pa.Schema) -> None:
        self._rows, self._schema = rows, schema
        self.nulls: Counter[str] = Counter(dict.fromkeys(schema.names, 0))
        self.failed: BaseException | None = None

    def reader(self) -> pa.RecordBatchReader:
        """Give the rows, once."""
        return pa.RecordBatchReader.from_batches(self._schema, self._portions())

    def _portions(self) -> Iterator[pa.RecordBatch]:
        try:
            for batch in self._rows:
                wanted = batch.select(self._schema.names).cast(self._schema)
                self.nulls.update({name: wanted.column(name).null_count for name in self._schema.names})
                size = max(1, BATCH_BYTES // max(1, wanted.nbytes // max(1, wanted.num_rows)))
                for start in range(0, wanted.num_rows, size):
                    yield wanted.slice(start, size)
        except BaseException as error:
            self.failed = error
            raise


def _listed(columns: Sequence[Column]) -> str:
    return ", ".join(pg(column.name) for column in columns)


def _cast(columns: Sequence[Column]) -> str:
    """Staged values in the types of their columns."""
    return ", ".join(f"s.{pg(column.name)}::{ddl.column_type(column.type)}" for column in columns)

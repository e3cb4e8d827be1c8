"""The exported snapshot of one tick: one transaction that every reader of the run joins.

Promises: all that a tick reads is one consistent cut. Tables are locked (ACCESS SHARE) before the first SELECT, so
that no rewriting ALTER or TRUNCATE slips in between; the cut is only trusted once the source has it safely on disk
(after a crash, transaction ids of lost transactions are used again).
"""

from __future__ import annotations

import logging
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import errors as pg_errors

from tidemark import credentials as creds
from tidemark.errors import SourceError
from tidemark.landing import Cut, Identity
from tidemark.source import catalog, sql

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tidemark.credentials import Credentials
    from tidemark.model import Model, SourceTable
    from tidemark.source.catalog import FoundTable

LOCK_TIMEOUT = "10s"
STATEMENT_TIMEOUT = "10min"
LSN_WAIT_SECONDS = 30.0
MAX_SEEN = 5000
_SHOWN_KEY = 60
_log = logging.getLogger("tidemark.extract")

_CUT = """
SELECT pg_export_snapshot(), s::text, pg_snapshot_xmin(s)::text::bigint, pg_snapshot_xmax(s)::text::bigint,
       to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"+00:00"'), pg_is_in_recovery()
  FROM pg_current_snapshot() s
"""
_IDENTITY = """
SELECT (SELECT system_identifier::text FROM pg_control_system()),
       CASE WHEN pg_is_in_recovery() THEN 'standby ' || (SELECT timeline_id FROM pg_control_checkpoint())
            ELSE left(pg_walfile_name(pg_current_wal_lsn()), 8) END,
       to_char(pg_postmaster_start_time() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US'), current_database()
"""


@dataclass(frozen=True)
class Scan:
    """What one pass over a table found; hashes are sums of 64-bit hashes, as text."""

    count: int
    key_hash: int
    changed: int
    changed_hash: int
    content_hash: str | None
    cursor: str | None


@dataclass(frozen=True)
class SourceSnapshot:
    """The open exported snapshot."""

    connection: psycopg.Connection[Any]
    credentials: Credentials
    export_id: str
    text: str
    cut: Cut
    identity: Identity
    tables: dict[str, FoundTable]

    def scan(self, table: SourceTable, changed: str, content_from: str | None = None) -> Scan:
        """Count and hash one table."""
        row = self._one(sql.scan(table, changed, content_from), table)
        return Scan(row[0], int(row[1]), row[2], int(row[3]), row[4], row[5])

    def grouped_scan(self, table: SourceTable, shift: int, changed: str) -> dict[int, tuple[int, int, int, int]]:
        """Per key range: rows, key hash, changed rows, their key hash."""
        rows = self.connection.execute(sql.grouped_scan(table, shift, changed).encode()).fetchall()
        return {row[0]: (row[1], int(row[2]), row[3], int(row[4])) for row in rows}

    def key_shift(self, table: SourceTable) -> int:
        """Width (as a power of two) of the key ranges that suit the table now."""
        low, high = self._one(sql.key_bounds(table), table)
        return sql.MIN_GROUP_BITS if low is None else sql.shift_for(low, high)

    def repeated_key(self, table: SourceTable) -> str | None:
        """Say which key is NULL or stands in several rows, if one does and no index of the source rules it out."""
        if self.tables[table.name].key_proved:
            return None
        row = self.connection.execute(sql.repeated_key(table).encode()).fetchone()
        if row is None:
            return None
        shown = ", ".join(
            f"{name} = {'NULL' if value is None else value[:_SHOWN_KEY]}"
            for name, value in zip(table.key, row[1:], strict=True)
        )
        return f"key {', '.join(table.key)} of {sql.relation(table)} does not identify a row ({shown}: {row[0]} rows)"

    def seen(self, model: Model) -> tuple[int, ...] | None:
        """Transactions shown by this cut that the next cut's window will include again; None if too many."""
        if self.cut.xmin == self.cut.xmax:
            return ()
        found: set[int] = set()
        for table in model.tables.values():
            if table.strategy != "snapshot":
                continue
            query = f"SELECT DISTINCT xmin::text::bigint FROM {sql.relation(table)} WHERE {sql.written_in(self.cut)} LIMIT {MAX_SEEN}"  # noqa: S608, E501
            found.update(row[0] for row in self.connection.execute(query.encode()))
            if len(found) >= MAX_SEEN:
                return None
        return tuple(sorted(found))

    def wait_durable(self) -> None:
        """Wait until everything this cut shows is on the source's disk.

        Raises
        ------
        SourceError
            If that takes longer than :data:`LSN_WAIT_SECONDS`.
        """
        deadline = time.monotonic() + LSN_WAIT_SECONDS
        while self.cut.lsn is not None:
            row = self.connection.execute("SELECT pg_current_wal_flush_lsn() >= %s::pg_lsn", (self.cut.lsn,)).fetchone()
            if row and row[0]:
                return
            if time.monotonic() > deadline:
                raise SourceError(
                    f"source {self.credentials.place} has not written its log up to {self.cut.lsn} to disk",
                    expected=f"within {LSN_WAIT_SECONDS:.0f} s",
                    do="look at the server's disks; nothing was committed, the next tick repeats",
                )
            time.sleep(0.05)

    def _one(self, query: str, table: SourceTable) -> tuple[Any, ...]:
        row = self.connection.execute(query.encode()).fetchone()
        if row is None:
            raise SourceError(f"{sql.relation(table)} gave no answer to its scan", do="run the tick again")
        return tuple(row)


@contextmanager
def open_snapshot(credentials: Credentials, model: Model, application: str) -> Iterator[SourceSnapshot]:
    """Open the cut: connect, lock, export the snapshot, check the contract; close it at the end.

    Raises
    ------
    SourceError
        If the source cannot be reached or read, or gives the snapshot up (recovery conflict on a standby).
    ContractError
        If its tables are not what the model says.
    """
    try:
        connection = psycopg.connect(**credentials.libpq(application), autocommit=True)
    except psycopg.Error as error:
        what, advice = creds.unreachable("source", credentials, error)
        raise SourceError(what, do=advice) from None
    with connection, _as_source_errors(credentials):
        connection.execute(f"SET statement_timeout = '{STATEMENT_TIMEOUT}'".encode())
        # Spark reads for a while in sessions of its own, and this one has to hold the snapshot for them.
        connection.execute(sql.PATIENCE.encode())
        tables = catalog.describe(connection, model)
        connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        _lock(connection, model, tables)
        export_id, text, xmin, xmax, now, standby = _row(connection, _CUT)
        lsn = None if standby else str(_row(connection, "SELECT pg_current_wal_insert_lsn()::text")[0])
        identity = Identity(
            **dict(
                zip(("system_identifier", "timeline", "started", "database"), _row(connection, _IDENTITY), strict=True)
            )
        )
        tables = catalog.describe(connection, model)
        cut = Cut(xmin=xmin, xmax=xmax, time=now, lsn=lsn)
        yield SourceSnapshot(connection, credentials, export_id, text, cut, identity, tables)


def _row(connection: psycopg.Connection[Any], query: str) -> tuple[Any, ...]:
    row = connection.execute(query.encode()).fetchone()
    return tuple(row or ())


def _lock(connection: psycopg.Connection[Any], model: Model, found: Mapping[str, FoundTable]) -> None:
    connection.execute(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'; {sql.TEXT_FORMS}".encode())
    lockable = [sql.relation(table) for name, table in model.tables.items() if found[name].lockable]
    if lockable:
        connection.execute(f"LOCK TABLE {', '.join(lockable)} IN ACCESS SHARE MODE".encode())


@contextmanager
def _as_source_errors(credentials: Credentials) -> Iterator[None]:
    """Turn what PostgreSQL says into errors a person can act on."""
    try:
        yield
    except pg_errors.LockNotAvailable:
        raise SourceError(
            f"source {credentials.place}: a table stayed locked by someone else for {LOCK_TIMEOUT}",
            expected="a moment without ACCESS EXCLUSIVE locks",
            do="let the migration there end; the next tick repeats",
        ) from None
    except pg_errors.InsufficientPrivilege as error:
        raise SourceError(
            f"source {credentials.place}: {error.diag.message_primary}",
            expected="USAGE on the schema and SELECT on the tables",
            do=f"grant them to {credentials.username}",
        ) from None
    except pg_errors.QueryCanceled:
        raise SourceError(
            f"source {credentials.place}: a query took longer than {STATEMENT_TIMEOUT} or was cancelled",
            do="look at the server's load; the next tick repeats",
        ) from None
    except psycopg.OperationalError as error:
        what, _ = creds.unreachable("source", credentials, error)
        raise SourceError(f"the snapshot was lost: {what}", do="nothing was landed; the next tick repeats") from None
    except psycopg.Error as error:
        raise SourceError(
            f"source {credentials.place}: {error.diag.message_primary or type(error).__name__}",
            do="nothing was landed; mend what the server names",
        ) from None

"""The exported snapshot of one tick: one transaction that every reader of the run joins.

Promises: all that a tick reads is one consistent cut. Tables are locked (ACCESS SHARE) before the first SELECT, so
that no rewriting ALTER or TRUNCATE slips in between; nobody waits for these locks longer than a second; the cut is only
trusted once the source has it safely on disk (after a crash, transaction ids of lost transactions are used again).
"""

from __future__ import annotations

import logging
import secrets
import time
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import errors as pg_errors

from tidemark.base import credentials as creds
from tidemark.base.errors import GaveWayError, SourceError
from tidemark.base.giving_way import Watch
from tidemark.base.sessions import open_session
from tidemark.source import catalog, pooling, server
from tidemark.source import queries as sql
from tidemark.source.cut import Cut, Identity

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tidemark.base.credentials import Credentials
    from tidemark.model.definition import Model, SourceTable
    from tidemark.source.catalog import FoundTable
    from tidemark.source.equality import CopiedColumns
    from tidemark.source.server import Server

# A try for the locks is short, for whoever comes behind it waits as well; there are many.
LOCK_TRY = "300ms"
# Afterwards, of what a view is made of: it is not locked beforehand.
LOCK_TIMEOUT = "5s"
LOCK_PATIENCE_SECONDS = 30.0
LOCK_PAUSE_SECONDS = 0.3
STATEMENT_TIMEOUT = "10min"
LSN_WAIT_SECONDS = 30.0
# A commit that does not wait for the disk is there after this, for the server's log writer comes every 200 ms.
LOG_WRITER_SECONDS = 0.3
MAX_SEEN = 5000
_SHOWN_KEY = 60
_log = logging.getLogger("tidemark.extract")

_CUT = """
SELECT pg_export_snapshot(), s::text, pg_snapshot_xmin(s)::text::bigint, pg_snapshot_xmax(s)::text::bigint,
       to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"+00:00"')
  FROM pg_current_snapshot() s
"""


@dataclass(frozen=True)
class Scan:
    """What one pass over a table found; hashes are sums of 64-bit hashes, as text.

    ``widest`` are the bytes of the widest changed row, as far as its columns have no bound of their own; ``widest_key``
    those of the widest key of all.
    """

    count: int
    key_hash: int
    changed: int
    changed_hash: int
    content_hash: str | None
    cursor: str | None
    widest: int = 0
    widest_key: int = 0


@dataclass(frozen=True)
class SourceSnapshot:
    """The open exported snapshot; ``readers`` is the application name of the sessions that join it."""

    connection: psycopg.Connection[Any]
    credentials: Credentials
    export_id: str
    text: str
    cut: Cut
    server: Server
    tables: dict[str, FoundTable]
    readers: str
    takes_options: bool

    @property
    def identity(self) -> Identity:
        """Which server, and which life of it."""
        return self.server.identity

    def scan(self, table: SourceTable, changed: str, content_from: str | None = None) -> Scan:
        """Count and hash one table."""
        row = self._one(sql.scan(table, changed, content_from, self.tables[table.name].found), table)
        return Scan(row[0], int(row[1]), row[2], int(row[3]), row[4], row[5], int(row[6] or 0), int(row[7] or 0))

    def grouped_scan(self, table: SourceTable, shift: int, changed: str) -> dict[int, tuple[int, int, int, int]]:
        """Per key range: rows, key hash, changed rows, their key hash."""
        rows = self.connection.execute(sql.grouped_scan(table, shift, changed).encode()).fetchall()
        return {row[0]: (row[1], int(row[2]), row[3], int(row[4])) for row in rows}

    def key_shift(self, table: SourceTable) -> int:
        """Width (as a power of two) of the key ranges that suit the table now."""
        low, high = self._one(sql.key_bounds(table), table)
        return sql.MIN_GROUP_BITS if low is None else sql.shift_for(low, high)

    def repeated_key(self, table: SourceTable) -> str | None:
        """Say which key is NULL or appears in several rows, if one does and no index of the source rules it out."""
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

    def visible_xids(self, model: Model) -> tuple[int, ...] | None:
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
        if self.server.standby:  # what it replays is on the primary's disk
            return
        if not self.server.tells_flushed:
            server.flush(self.credentials, self.readers)
            return
        began, asked, lsn = time.monotonic(), False, self.cut.lsn
        while lsn is not None and not self.server.is_flushed(self.connection, lsn):
            waited = time.monotonic() - began
            if waited > LOG_WRITER_SECONDS and not asked:
                server.ask_to_flush(self.credentials, self.readers)
                asked = True
            if waited > LSN_WAIT_SECONDS:
                raise SourceError(
                    f"source {self.credentials.place} has not written its log up to {lsn} to disk",
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
def open_snapshot(
    credentials: Credentials, model: Model, application: str, copied_columns: CopiedColumns | None = None
) -> Iterator[SourceSnapshot]:
    """Open the cut: connect, lock, export the snapshot, check the contract; close it at the end.

    Parameters
    ----------
    application
        What our sessions are called on the server.
    copied_columns
        See :func:`tidemark.source.equality.problems`; without it the facts' references are not checked.

    Raises
    ------
    SourceError
        If the source cannot be reached or read, or gives the snapshot up (recovery conflict on a standby).
    GaveWayError
        If somebody waited for the cut's locks: it was given up.
    ContractError
        If its tables are not what the model says.
    """
    run = secrets.token_hex(4)
    own, readers = f"{application} {run}", f"tidemark-reader {run}"
    with ExitStack() as stack:
        try:
            session = open_session(credentials, own)
            # Closed, not committed: there is nothing to commit, and nothing that could fail.
            connection = stack.enter_context(closing(session.connection))
            watch = stack.enter_context(Watch(credentials, [own, readers]))
        except psycopg.Error as error:
            what, advice = creds.unreachable("source", credentials, error)
            raise SourceError(what, do=advice) from None
        if not session.takes_options:  # something stands before the server
            pooling.check_direct("source", credentials, snapshots=True)
        with _as_given_up(watch, credentials), _as_source_errors(credentials):
            connection.execute(f"SET statement_timeout = '{STATEMENT_TIMEOUT}'".encode())
            found = server.ask(connection)
            _lock(connection, model, catalog.describe(connection, model))
            export_id, text, xmin, xmax, now = _row(connection, _CUT)
            cut = Cut(xmin=xmin, xmax=xmax, time=now, lsn=found.position(connection))
            tables = catalog.describe(connection, model, copied_columns)
            yield SourceSnapshot(
                connection, credentials, export_id, text, cut, found, tables, readers, session.takes_options
            )


def _row(connection: psycopg.Connection[Any], query: str) -> tuple[Any, ...]:
    row = connection.execute(query.encode()).fetchone()
    return tuple(row or ())


def _lock(connection: psycopg.Connection[Any], model: Model, found: Mapping[str, FoundTable]) -> None:
    """Begin the cut's transaction with the locks of all tables: in short tries, none of which keeps any."""
    lockable = [table for name, table in model.tables.items() if found[name].lockable]
    # Views, too: what they are made of is locked when they are read.
    server.refuse_too_many_locks(connection, [(table.schema, table.relation) for table in model.tables.values()])
    deadline = time.monotonic() + LOCK_PATIENCE_SECONDS
    while True:
        try:
            connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
            connection.execute(f"SET LOCAL lock_timeout = '{LOCK_TRY}'; {sql.SESSION_FORMATS}".encode())
            if lockable:
                connection.execute(f"LOCK TABLE {', '.join(map(sql.relation, lockable))} IN ACCESS SHARE MODE".encode())
        except pg_errors.LockNotAvailable:
            connection.execute("ROLLBACK")
            if time.monotonic() > deadline:
                raise
            time.sleep(LOCK_PAUSE_SECONDS)
        else:
            connection.execute(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'".encode())
            return


@contextmanager
def _as_given_up(watch: Watch, credentials: Credentials) -> Iterator[None]:
    """Tell errors that come of giving way from others: the cut is then taken again."""
    try:
        yield
    except SourceError as error:
        repeats = "nothing was landed; the next tick repeats. If this happens at every tick, look at what waits there"
        if watch.gave_way_to:
            raise watch.given_up(f"source {credentials.place}", "cut", do=repeats) from None
        if "conflict with recovery" in str(error):  # on a standby, the server itself takes the locks away
            raise GaveWayError(error.what, do=repeats) from None
        raise


@contextmanager
def _as_source_errors(credentials: Credentials) -> Iterator[None]:
    """Turn what PostgreSQL says into errors a person can act on."""
    try:
        yield
    except pg_errors.LockNotAvailable:
        raise SourceError(
            f"source {credentials.place}: a table stayed locked by someone else for {LOCK_PATIENCE_SECONDS:.0f} s",
            expected="a moment without ACCESS EXCLUSIVE locks",
            do="let the migration there end; the next tick repeats",
        ) from None
    except pg_errors.InsufficientPrivilege as error:
        said = str(error.diag.message_primary)
        function = said.startswith("permission denied for function")
        raise SourceError(
            f"source {credentials.place}: {said}",
            expected="EXECUTE on it" if function else "USAGE on the schema and SELECT on the tables",
            do=f"grant {'that' if function else 'them'} to {credentials.username}",
        ) from None
    except pg_errors.QueryCanceled:
        raise SourceError(
            f"source {credentials.place}: a query took longer than {STATEMENT_TIMEOUT} or was cancelled",
            do="look at the server's load; the next tick repeats",
        ) from None
    except psycopg.Error as error:
        if error.sqlstate is None or error.sqlstate[:2] in _LOST:
            what, _ = creds.unreachable("source", credentials, error)
            raise SourceError(
                f"the snapshot was lost: {what}", do="nothing was landed; the next tick repeats"
            ) from None
        raise SourceError(
            f"source {credentials.place}: {error.diag.message_primary or type(error).__name__}",
            do="nothing was landed; look at what the server names",
        ) from None


# Classes of SQLSTATE that say that the session or its snapshot is gone: connection, recovery conflict, shutdown.
_LOST = ("08", "40", "57")

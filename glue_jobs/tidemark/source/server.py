"""What the source's server tells of itself: which one it is, how far its log is, how many locks it has room for.

A plain PostgreSQL tells all; Amazon Aurora refuses its write-ahead log's functions, and an administrator may have
revoked others. Promises: what is not told is None, said once in the log, and never an error; what is told is never
guessed.
"""

from __future__ import annotations

import logging
from contextlib import closing, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import psycopg
from psycopg import errors as pg_errors

from tidemark.base.errors import SourceError
from tidemark.base.sessions import open_session
from tidemark.source.cut import NOT_TOLD, Identity

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tidemark.base.credentials import Credentials
    from tidemark.source.cut import Cut

_log = logging.getLogger("tidemark.extract")

_SYSTEM: Final = "(SELECT system_identifier FROM pg_control_system())"
_INSERTED: Final = "pg_current_wal_insert_lsn()"
_FLUSHED: Final = "pg_current_wal_flush_lsn()"
# An empty message to nobody, for a commit that has logged nothing does not wait for the disk.
_FLUSH: Final = (
    "BEGIN; SET LOCAL synchronous_commit = local; "
    "SELECT pg_catalog.pg_logical_emit_message(true, 'tidemark', ''); COMMIT"
)
_REPLAYED: Final = "pg_last_wal_replay_lsn()"
# The control file's timeline lags behind a promotion, the log file's name does not; a standby has only the former.
_TIMELINE: Final = "left(pg_walfile_name(pg_current_wal_lsn()), 8)"
_STANDBY_TIMELINE: Final = "'standby ' || (SELECT timeline_id FROM pg_control_checkpoint())"
_REFUSED: Final = (
    pg_errors.ObjectNotInPrerequisiteState,
    pg_errors.InsufficientPrivilege,
    pg_errors.FeatureNotSupported,
    pg_errors.UndefinedFunction,
)
_PAGE, _PAGE_HEADER = 8192, 40
# Of the room for locks that is left. The others need some, too.
_SHARE_OF_LOCKS: Final = 0.5
# System catalogs and their indexes, which the cut itself asks for types, keys and privileges.
_CATALOGS: Final = 50
# A table is read with all its partitions and their indexes; a view with all that its query reads, whether that is again
# a view or not; a materialised view has rows of its own. A policy's query is read with its table. What functions read
# is known to nobody beforehand.
_LOCKS: Final = """
WITH RECURSIVE below (above, oid) AS (
    SELECT inhparent, inhrelid FROM pg_inherits
    UNION ALL
    SELECT r.ev_class, d.refobjid FROM pg_rewrite r JOIN pg_class v ON v.oid = r.ev_class AND v.relkind = 'v'
      JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid
     WHERE r.ev_type = '1' AND d.refclassid = 'pg_class'::regclass
    UNION ALL
    SELECT p.polrelid, d.refobjid FROM pg_policy p
      JOIN pg_depend d ON d.classid = 'pg_policy'::regclass AND d.objid = p.oid
     WHERE p.polcmd IN ('r', '*') AND d.refclassid = 'pg_class'::regclass
), locked (oid) AS (
    SELECT c.oid FROM unnest(%s::text[], %s::text[]) w(schema, relation)
      JOIN pg_namespace n ON n.nspname = w.schema JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = w.relation
    UNION SELECT below.oid FROM below JOIN locked ON below.above = locked.oid
)
SELECT (SELECT count(*) FROM locked) + (SELECT count(*) FROM pg_index i JOIN locked ON i.indrelid = locked.oid),
       current_setting('max_locks_per_transaction')::bigint
       * (current_setting('max_connections')::bigint + current_setting('max_prepared_transactions')::bigint)
       - (SELECT count(DISTINCT (database, relation)) FROM pg_locks WHERE locktype = 'relation' AND NOT fastpath)
"""


@dataclass(frozen=True)
class Server:
    """One server, asked before the cut.

    ``lsn`` is how far its log was then: inserted on a primary, replayed on a standby; None if it does not tell.
    """

    identity: Identity
    standby: bool
    lsn: str | None
    tells_flushed: bool

    def position(self, connection: psycopg.Connection[Any]) -> str | None:
        """How far the log is now."""
        return None if self.lsn is None else _tell(connection, _REPLAYED if self.standby else _INSERTED)

    def is_flushed(self, connection: psycopg.Connection[Any], lsn: str) -> bool:
        """Whether the log of this primary, which tells it, is on disk up to there."""
        flushed = _tell(connection, _FLUSHED)
        return flushed is not None and _number(flushed) >= _end_of_record(_number(lsn))

    def behind(self, previous: Identity, cut: Cut, now: Cut) -> str | None:
        """Say what shows that this may be a life of the previous cut's server which lacks some of what that showed.

        A standby that lags, a staler one in its place, a server restored from a backup. Its log may have passed the cut
        again since (one large load does it): transaction ids that went back tell it then.
        """
        if not self.identity.may_be(previous):
            return None
        if self.lsn is not None and cut.lsn is not None and _number(self.lsn) < _end_of_record(_number(cut.lsn)):
            return f"its log at {cut.lsn} or beyond, found {self.lsn}"
        if now.xmax < cut.surely_used:
            return f"transaction {cut.surely_used} or beyond, found {now.xmax}"
        return None


def ask(connection: psycopg.Connection[Any]) -> Server:
    """Ask a server, outside any transaction (what it refuses would end one)."""
    standby, started, database, address = connection.execute(
        "SELECT pg_is_in_recovery(), "
        "to_char(pg_postmaster_start_time() AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US'), current_database(), "
        "inet_server_addr()::text"
    ).fetchone() or (False, "", "", None)
    system, timeline = (
        _ask(connection, expression) for expression in (_SYSTEM, _STANDBY_TIMELINE if standby else _TIMELINE)
    )
    lsn = _ask(connection, _REPLAYED if standby else _INSERTED)
    flushed = None if standby else _ask(connection, _FLUSHED)
    identity = Identity(
        system_identifier=system or f"{NOT_TOLD}{address}",
        timeline=timeline or ("standby" if standby else "primary"),
        started=started,
        database=database,
    )
    unknown = [
        name for name, value in (("identifier", system), ("timeline", timeline), ("log position", lsn)) if value is None
    ]
    if not standby and flushed is None:
        unknown.append("flushed log position")
    if unknown:
        _log.warning(
            "the source's server does not tell its %s (Amazon Aurora does not, or EXECUTE was revoked); whether a cut "
            "is on its disk is then made sure of by a commit of our own",
            ", ".join(unknown),
        )
    return Server(identity, standby, lsn, flushed is not None)


def flush(credentials: Credentials, application: str) -> None:
    """Have a primary's log written to disk, by a commit that returns when it is, and that writes no row.

    For servers that do not tell how far it is written. One whose administrator revoked this function, too, is believed.
    """
    with closing(open_session(credentials, application).connection) as connection, suppress(*_REFUSED):
        connection.execute(_FLUSH)


def ask_to_flush(credentials: Credentials, application: str) -> None:
    """Have a primary's log written to disk, by an empty transaction's end; nothing if that cannot be.

    What others have logged in transactions that still go on stays in memory until somebody commits, or for some 15
    seconds. A role that can only read may take a transaction id, and write nothing: the commit is logged behind all
    that, and the log writer writes it at once.
    """
    with suppress(psycopg.Error), closing(open_session(credentials, application).connection) as connection:
        connection.execute("SELECT pg_catalog.pg_current_xact_id()")


def count_locks(connection: psycopg.Connection[Any], tables: Sequence[tuple[str, str]]) -> tuple[int, int]:
    """Count what a cut of some tables and views locks, and what the server has room for.

    Returns
    -------
    tuple
        Relations of the cut: tables, partitions, indexes, what is below views, catalogs; and how many more the server
        can note.
    """
    row = connection.execute(_LOCKS, ([schema for schema, _ in tables], [name for _, name in tables])).fetchone()
    needed, left = row or (0, 0)
    return needed + _CATALOGS, max(left, 0)


def refuse_too_many_locks(connection: psycopg.Connection[Any], tables: Sequence[tuple[str, str]]) -> None:
    """Hold the locks that a cut takes against the server's room for them.

    Raises
    ------
    SourceError
        If they would take more than half of what is left: the server's other sessions would run out of them.
    """
    needed, left = count_locks(connection, tables)
    if needed > left * _SHARE_OF_LOCKS:
        raise SourceError(
            f"one cut locks {needed} tables, partitions and indexes, and the server has room for {left} more",
            expected=f"at most {_SHARE_OF_LOCKS:.0%} of that",
            do="raise max_locks_per_transaction on the server (it takes a restart), or take tables out of source.yml",
        )


def _ask(connection: psycopg.Connection[Any], expression: str) -> str | None:
    try:
        return _tell(connection, expression)
    except _REFUSED:
        return None


def _tell(connection: psycopg.Connection[Any], expression: str) -> str | None:
    row = connection.execute(f"SELECT ({expression})::text".encode()).fetchone()
    return None if row is None else row[0]


def _number(lsn: str) -> int:
    high, low = lsn.split("/")
    return (int(high, 16) << 32) + int(low, 16)


def _end_of_record(position: int) -> int:
    """The insert position stands behind the header of a fresh page; the record before it ended with the page before."""
    return position - position % _PAGE if position % _PAGE <= _PAGE_HEADER else position

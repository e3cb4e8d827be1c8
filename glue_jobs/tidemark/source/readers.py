"""Spark's JDBC readers: frames over the source's tables, on the tick's snapshot.

Promises: every reader connection joins the exported snapshot, and every query proves it (an error, not other rows, if
it did not); nothing passes through the driver; what a reader holds in memory is bounded in bytes, however wide the rows
are.
"""

from __future__ import annotations

import re
from functools import reduce
from typing import TYPE_CHECKING

from pyspark.sql import DataFrame, SparkSession

from tidemark.base.errors import SourceError
from tidemark.base.sessions import NO_TIMEOUTS, PIN, PIN_AT_START
from tidemark.source import queries as sql
from tidemark.source import snapshot as snapshots

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tidemark.model.definition import SourceTable
    from tidemark.model.types import PgType
    from tidemark.source.snapshot import SourceSnapshot

MOST_ROWS = 5000
FETCH_BYTES = 16 * 2**20
_PAGE_BYTES = 8192
_PARTITION_BYTES = 64 * 2**20
_MAX_PARTITIONS = 16
# What a reader's error says (in lower case), what was expected, and what to do.
_ADVICE = (
    (
        ("infinity", "infinite", "nan", "bigint out of range"),
        "finite values, before the year 294247, in columns of a date, time or numeric(p,s) type",
        "declare the column as text in source.yml (docs/types.md)",
    ),
    (
        ("invalid byte sequence",),
        "text in the database's encoding (SQL_ASCII checks none)",
        "fix the value in the source, or leave the column out of source.yml",
    ),
    (
        ("snapshot identifier", 'snapshot "', "outside the exported snapshot"),
        "every connection on one and the same server, with a session of its own",
        "give the server's own address: no reader endpoint or load balancer, no pooler in transaction mode",
    ),
    (
        ("outofmemory", "java heap space", "answer from java side is empty", "connection refused"),
        "rows that fit the job's memory a few at a time",
        "give the extract job workers with more memory, or leave its widest columns out of source.yml",
    ),
)
_QUOTED_VALUE = re.compile(r': ".*"?$')
_AGAIN = ("", "the next tick repeats")


def frame_of(spark: SparkSession, snapshot: SourceSnapshot, read: sql.PlannedRead) -> DataFrame:
    """Return the rows, or the keys, of one read in the types that they are landed in."""
    here = snapshot.tables[read.table.name]
    select = sql.keys if read.keys_only else sql.rows
    fetch_size = rows_per_fetch([here.found[name] for name in read.columns], read.widest)
    frames = [
        _reader(spark, snapshot, select(read.table, here.types, [*read.conditions, *part]), fetch_size)
        for part in _partitions(snapshot, read)
    ]
    return reduce(DataFrame.unionAll, frames).selectExpr(
        *(here.types[name].landing_expression(name) for name in read.columns)
    )


def reading_failed(table: SourceTable, error: Exception) -> SourceError:
    """Say what a reader's error means, with the server's own sentence."""
    cause = _first_cause(error)
    expected, do = next((told for words, *told in _ADVICE if any(word in cause.lower() for word in words)), _AGAIN)
    return SourceError(
        f"reading {sql.relation(table)} failed: {cause}", expected=expected, do=f"{do}; nothing was landed"
    )


def _partitions(snapshot: SourceSnapshot, read: sql.PlannedRead) -> list[list[str]]:
    """Split a large full read by physical position; the last part is open-ended, so that nothing can fall between."""
    found = snapshot.tables[read.table.name]
    count = min(_MAX_PARTITIONS, found.pages * _PAGE_BYTES // _PARTITION_BYTES + 1)
    if count == 1 or found.kind != "r" or read.keys_only or read.conditions:
        return [[]]
    bounds = [found.pages * part // count for part in range(count)]
    parts = []
    for low, high in zip(bounds, [*bounds[1:], None], strict=True):
        part = [f"ctid >= '({low},0)'::tid"] if low else []
        parts.append(part + ([f"ctid < '({high},0)'::tid"] if high is not None else []))
    return parts


def rows_per_fetch(types: Sequence[PgType], widest: int) -> int:
    """How many rows a reader asks for at a time: as many as surely fit :data:`FETCH_BYTES`.

    Parameters
    ----------
    types
        The types, in the source, of the columns that are read.
    widest
        Bytes of the widest row, in the columns whose types do not bound them.
    """
    bounded = sum(kind.bounded_width or 0 for kind in types)
    return max(1, min(MOST_ROWS, FETCH_BYTES // max(1, bounded + widest)))


def _reader(spark: SparkSession, snapshot: SourceSnapshot, query: str, fetch_size: int) -> DataFrame:
    """One JDBC read.

    Before it reads, Spark asks for the query's columns (``… WHERE 1=0``) in a session that has not joined the snapshot.
    That statement reads no row, and as a predicate the proof of being inside stands in the statements that do, but not
    in this one: before PostgreSQL 17 it would fail there whenever somebody wrote anywhere on the server.

    ``fetchsize`` > 0 matters: without it Spark reads in autocommit, outside the snapshot.
    """
    join = (
        f"{PIN}; SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY; "
        f"SET TRANSACTION SNAPSHOT '{snapshot.export_id}'; SET lock_timeout = '{snapshots.LOCK_TIMEOUT}'; "
        f"SET statement_timeout = '{snapshots.STATEMENT_TIMEOUT}'; {sql.SESSION_FORMATS}; {NO_TIMEOUTS}"
    )
    properties: Mapping[str, str] = {
        **snapshot.credentials.jdbc_properties(snapshot.readers),
        **({"options": f"{PIN_AT_START} -c lock_timeout={snapshots.LOCK_TIMEOUT}"} if snapshot.takes_options else {}),
        "sessionInitStatement": join,
        "fetchsize": str(fetch_size),
    }
    return spark.read.jdbc(
        snapshot.credentials.jdbc_url(),
        f"({query}) AS rows_to_land",
        predicates=[sql.in_snapshot(snapshot.text)],
        properties=dict(properties),
    )


def _first_cause(error: Exception) -> str:
    """PostgreSQL's own sentence inside Spark's long message."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    said = [line.split("PSQLException:", 1)[1].strip() for line in lines if "PSQLException:" in line]
    first = (said or lines)[0][:300]
    # What PostgreSQL quotes at the end is a value of a row; but our own proof's error is to be read.
    return first if "outside the exported snapshot" in first else _QUOTED_VALUE.sub("", first)

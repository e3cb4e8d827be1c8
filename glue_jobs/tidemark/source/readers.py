"""Spark's JDBC readers: frames over the source's tables, on the tick's snapshot.

Promises: every reader connection joins the exported snapshot, and every query proves it (an error, not other rows, if
it did not); nothing passes through the driver; what a reader holds in memory is bounded in bytes, however wide the rows
are.
"""

from __future__ import annotations

from functools import reduce
from typing import TYPE_CHECKING

from pyspark.sql import DataFrame, SparkSession

from tidemark.base.sessions import NO_TIMEOUTS, PIN, PIN_AT_START
from tidemark.source import queries as sql
from tidemark.source import snapshot as snapshots
from tidemark.source.reading import rows_per_fetch

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tidemark.source.snapshot import SourceSnapshot

_PAGE_BYTES = 8192
_PARTITION_BYTES = 64 * 2**20
_MAX_PARTITIONS = 16


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

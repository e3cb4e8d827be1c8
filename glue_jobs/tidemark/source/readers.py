"""Spark's JDBC readers: table data from the source to the landing area, on the tick's snapshot.

Promises: every reader connection joins the exported snapshot, and every query proves it (an error, not other rows, if
it did not); what is landed has exactly the rows that the scan on the same snapshot counted; nothing passes through
the driver.
"""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING

from py4j.protocol import Py4JJavaError
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame, Observation, SparkSession
from pyspark.sql import functions as F  # noqa: N812 - PySpark's own convention

from tidemark import landing_format, storage
from tidemark.errors import SourceError
from tidemark.source import snapshot as snapshots
from tidemark.source import sql

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tidemark.model import SourceTable
    from tidemark.source.snapshot import SourceSnapshot

FETCH_SIZE = 5000
CONCURRENT_TABLES = 4
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
        "mend the value in the source, or leave the column out of source.yml",
    ),
)
_AGAIN = ("", "the next tick repeats")
_log = logging.getLogger("tidemark.extract")


@dataclass(frozen=True, kw_only=True)
class Read:
    """One read to do: rows or keys of a table, where to, and how many the scan promised."""

    table: SourceTable
    keys_only: bool
    conditions: tuple[str, ...]
    expected_rows: int | None
    target: str


@dataclass(frozen=True)
class Landed:
    """What a read left in the landing area."""

    files: tuple[str, ...]
    rows: int
    columns: dict[str, str]


def read_all(spark: SparkSession, snapshot: SourceSnapshot, reads: Sequence[Read], file_format: str) -> list[Landed]:
    """Do all reads, a few at a time.

    Raises
    ------
    SourceError
        If a reader failed, or landed another number of rows than the scan counted.
    """
    if snapshot.credentials.ca_file:
        # To the executors' working directories: there, as here, the driver finds it by its name.
        spark.sparkContext.addFile(snapshot.credentials.ca_file)
    with ThreadPoolExecutor(CONCURRENT_TABLES) as pool:
        return list(pool.map(lambda read: _land(spark, snapshot, read, file_format), reads))


def _land(spark: SparkSession, snapshot: SourceSnapshot, read: Read, file_format: str) -> Landed:
    types = snapshot.tables[read.table.name].types
    names = read.table.key if read.keys_only else tuple(column.name for column in read.table.columns)
    select = sql.keys if read.keys_only else sql.rows
    inside = sql.in_snapshot(snapshot.text)
    counted = Observation()
    try:
        frames = [
            _reader(spark, snapshot, select(read.table, types, [inside, *read.conditions, *part]))
            for part in _partitions(snapshot, read)
        ]
        exact = reduce(DataFrame.unionAll, frames).selectExpr(*(types[name].landing_expression(name) for name in names))
        landing_format.write(exact.observe(counted, F.count(F.lit(1)).alias("rows")), read.target, file_format)
    except (PySparkException, Py4JJavaError) as error:
        cause = _first_cause(error)
        expected, do = next((told for words, *told in _ADVICE if any(word in cause.lower() for word in words)), _AGAIN)
        raise SourceError(
            f"reading {sql.relation(read.table)} failed: {cause}", expected=expected, do=f"{do}; nothing was landed"
        ) from None
    rows = int(counted.get["rows"])
    if read.expected_rows is not None and rows != read.expected_rows:
        raise SourceError(
            f"{sql.relation(read.table)}: {rows} rows were read where the same snapshot counted {read.expected_rows}",
            do="nothing was landed; report this with the run's log",
        )
    files = tuple(f"{read.target}/{name}" for name in storage.names(read.target) if name.startswith("part-"))
    return Landed(files, rows, {name: types[name].spark for name in names})


def _partitions(snapshot: SourceSnapshot, read: Read) -> list[list[str]]:
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


def _reader(spark: SparkSession, snapshot: SourceSnapshot, query: str) -> DataFrame:
    """One JDBC read.

    ``fetchsize`` > 0 matters: without it Spark reads in autocommit, outside the snapshot. So does the lock time-out:
    the driver holds its lock until the readers have ended, so a reader that queues behind another session's ALTER
    TABLE, which waits for that lock, would wait for ever, and all of the source's own queries behind it.
    """
    join = (
        "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY; "
        f"SET TRANSACTION SNAPSHOT '{snapshot.export_id}'; {sql.TEXT_FORMS}; {sql.PATIENCE}"
    )
    return (
        spark.read.format("jdbc")
        .options(**snapshot.credentials.jdbc_properties("tidemark-reader"))
        # For the whole session: Spark asks for the query's columns before the session's first statement.
        .options(options=f"-c lock_timeout={snapshots.LOCK_TIMEOUT} -c statement_timeout={snapshots.STATEMENT_TIMEOUT}")
        .options(url=snapshot.credentials.jdbc_url(), query=query)
        .options(sessionInitStatement=join, fetchsize=FETCH_SIZE)
        .load()
    )


def _first_cause(error: Exception) -> str:
    """PostgreSQL's own sentence inside Spark's long message."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    said = [line.split("PSQLException:", 1)[1].strip() for line in lines if "PSQLException:" in line]
    return (said or lines)[0][:300]

"""From the source's rows to files in the landing area: a few by this process alone, many by Spark.

Promises: what is landed has exactly the rows that the scan on the same snapshot counted.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tidemark.base.errors import SourceError
from tidemark.base.progress import counted
from tidemark.source import queries

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pyspark.sql import SparkSession

    from tidemark.source.queries import PlannedRead
    from tidemark.source.snapshot import SourceSnapshot

Files = tuple[str, ...]


@dataclass(frozen=True)
class Landed:
    """What a read left in the landing area."""

    files: Files
    rows: int
    columns: dict[str, str]


def read_all(
    spark: Callable[[], SparkSession],
    snapshot: SourceSnapshot,
    reads: Sequence[PlannedRead],
    folder: str,
    file_format: str,
) -> dict[tuple[str, bool], Landed]:
    """Do all reads; return what each left, by its table's name and whether it read keys only.

    Parameters
    ----------
    spark
        Gives the session, if one is needed.
    folder
        Where: each read has a folder of its name in it.

    Raises
    ------
    SourceError
        If a read failed, or landed another number of rows than the scan counted.
    """
    from tidemark.source.few_rows import is_of_few  # noqa: PLC0415 - an idle tick needs no Arrow

    few: list[PlannedRead] = []
    many: list[PlannedRead] = []
    for read in reads:
        (few if file_format == "parquet" and is_of_few(snapshot, read) else many).append(read)
    left = _land_few(snapshot, few, folder)
    if many:
        from tidemark.landing.spark_writer import land_many  # noqa: PLC0415 - few rows need no Spark

        left |= land_many(spark(), snapshot, many, folder, file_format)
    return {(read.table.name, read.keys_only): _landed(snapshot, read, *left[read.name]) for read in reads}


def _land_few(snapshot: SourceSnapshot, reads: Sequence[PlannedRead], folder: str) -> dict[str, tuple[Files, int]]:
    """Land tables one by one; return the files and the number of rows of each read, by its name."""
    from tidemark.landing.files import write_few  # noqa: PLC0415 - as above
    from tidemark.source.few_rows import fetch  # noqa: PLC0415

    left: dict[str, tuple[Files, int]] = {}
    for read in counted("landing", reads):
        rows = fetch(snapshot, read)
        left[read.name] = (write_few(rows, f"{folder}/{read.name}"),), rows.num_rows
    return left


def _landed(snapshot: SourceSnapshot, read: PlannedRead, parts: Files, rows: int) -> Landed:
    if rows != read.expected_rows:
        raise SourceError(
            f"{queries.relation(read.table)}: {rows} rows were read where the same snapshot counted "
            f"{read.expected_rows}",
            do="nothing was landed; report this with the run's log",
        )
    types = snapshot.tables[read.table.name].types
    return Landed(parts, rows, {name: types[name].spark for name in read.columns})

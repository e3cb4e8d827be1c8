"""From the readers' frames to files in the landing area.

Promises: what is landed has exactly the rows that the scan on the same snapshot counted.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from py4j.protocol import Py4JError
from pyspark.errors import PySparkException
from pyspark.sql import Observation
from pyspark.sql import functions as F  # noqa: N812 - PySpark's own convention

from tidemark.base import storage
from tidemark.base.errors import SourceError
from tidemark.landing import files
from tidemark.source import queries, readers

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pyspark.sql import SparkSession

    from tidemark.source.queries import PlannedRead
    from tidemark.source.snapshot import SourceSnapshot

CONCURRENT_TABLES = 4


@dataclass(frozen=True)
class Landed:
    """What a read left in the landing area."""

    files: tuple[str, ...]
    rows: int
    columns: dict[str, str]


def read_all(
    spark: SparkSession, snapshot: SourceSnapshot, reads: Sequence[PlannedRead], folder: str, file_format: str
) -> dict[tuple[str, bool], Landed]:
    """Do all reads, a few at a time; return what each left, by its table's name and whether it read keys only.

    Parameters
    ----------
    folder
        Where: each read has a folder of its name in it.

    Raises
    ------
    SourceError
        If a reader failed, or landed another number of rows than the scan counted.
    """
    if snapshot.credentials.ca_file:
        # To the executors' working directories: there, as here, the driver finds it by its name.
        spark.sparkContext.addFile(snapshot.credentials.ca_file)
    with ThreadPoolExecutor(CONCURRENT_TABLES) as pool:
        landed = pool.map(lambda read: _land(spark, snapshot, read, f"{folder}/{read.name}", file_format), reads)
        return {(read.table.name, read.keys_only): found for read, found in zip(reads, landed, strict=True)}


def _land(spark: SparkSession, snapshot: SourceSnapshot, read: PlannedRead, target: str, file_format: str) -> Landed:
    counted = Observation()
    try:
        frame = readers.frame_of(spark, snapshot, read).observe(counted, F.count(F.lit(1)).alias("rows"))
        files.write(frame, target, file_format)
    except (PySparkException, Py4JError, OSError) as error:
        raise readers.reading_failed(read.table, error) from None
    rows = int(counted.get["rows"])
    if read.expected_rows is not None and rows != read.expected_rows:
        raise SourceError(
            f"{queries.relation(read.table)}: {rows} rows were read where the same snapshot counted "
            f"{read.expected_rows}",
            do="nothing was landed; report this with the run's log",
        )
    parts = tuple(f"{target}/{name}" for name in storage.names(target) if name.startswith("part-"))
    types = snapshot.tables[read.table.name].types
    return Landed(parts, rows, {name: types[name].spark for name in read.columns})

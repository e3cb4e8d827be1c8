"""From the frames of Spark's readers to files in the landing area."""

from __future__ import annotations

from typing import TYPE_CHECKING

from py4j.protocol import Py4JError
from pyspark.errors import PySparkException
from pyspark.sql import Observation
from pyspark.sql import functions as F  # noqa: N812 - PySpark's own convention

from tidemark.base import storage
from tidemark.base.concurrency import concurrently
from tidemark.base.spark import fit_to
from tidemark.landing import files
from tidemark.source import readers
from tidemark.source.reading import reading_failed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pyspark.sql import SparkSession

    from tidemark.source.queries import PlannedRead
    from tidemark.source.snapshot import SourceSnapshot


def land_many(
    spark: SparkSession, snapshot: SourceSnapshot, reads: Sequence[PlannedRead], folder: str, file_format: str
) -> dict[str, tuple[tuple[str, ...], int]]:
    """Do reads, a few at a time; return the files and the number of rows that each left, by its name.

    Raises
    ------
    SourceError
        If a reader failed.
    """
    fit_to(spark, max(read.expected_rows for read in reads))
    if snapshot.credentials.ca_file:
        # To the executors' working directories: there, as here, the driver finds it by its name.
        spark.sparkContext.addFile(snapshot.credentials.ca_file)
    left = concurrently(reads, lambda read: _land(spark, snapshot, read, f"{folder}/{read.name}", file_format))
    return dict(zip((read.name for read in reads), left, strict=True))


def _land(
    spark: SparkSession, snapshot: SourceSnapshot, read: PlannedRead, target: str, file_format: str
) -> tuple[tuple[str, ...], int]:
    counted = Observation()
    try:
        frame = readers.frame_of(spark, snapshot, read).observe(counted, F.count(F.lit(1)).alias("rows"))
        files.write(frame, target, file_format)
    except (PySparkException, Py4JError, OSError) as error:
        raise reading_failed(read.table, error) from None
    parts = tuple(f"{target}/{name}" for name in storage.names(target) if name.startswith("part-"))
    return parts, int(counted.get["rows"])

"""One Iceberg table by Iceberg's own library in Spark's Java: its files, and commits that need no Spark job.

Owns what is known of that library's classes. It is the very object that Spark's queries use, so each sees at once what
the other has committed.
"""

from __future__ import annotations

import functools
import json
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa
import pyarrow.compute as pc
from pyiceberg.io.pyarrow import schema_to_pyarrow
from pyiceberg.schema import Schema

from tidemark.base import storage
from tidemark.base.gregorian import year_and_month
from tidemark.base.spark import java_class
from tidemark.lake.data_file import contents

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pyspark.sql import SparkSession


_MICROSECONDS: Final = 86_400_000_000  # of a day


@dataclass(frozen=True, kw_only=True)
class DataFile:
    """A file of the table: ``file`` is Iceberg's own entry for it; ``is_whole``: no delete file takes rows from it."""

    file: Any
    uri: str
    rows: int
    bytes: int
    is_whole: bool


class IcebergTable:
    """A table as this process has read or written it last.

    Parameters
    ----------
    spark
        Session with the catalog in it.
    name
        Spark's name of the table, quoted.
    """

    def __init__(self, spark: SparkSession, name: str) -> None:
        self._spark = spark
        self._read_at: int | None = None
        self.java: Any = self._iceberg("spark.Spark3Util").loadIcebergTable(spark._jsparkSession, name)  # noqa: SLF001

    @property
    def schema(self) -> pa.Schema:
        """Columns as Arrow has them; each field's metadata has its Iceberg id."""
        text = self._iceberg("SchemaParser").toJson(self.java.schema())
        return schema_to_pyarrow(Schema.model_validate_json(text))

    @property
    def snapshot_id(self) -> int | None:
        """The present snapshot, or None while the table never had data."""
        snapshot = self.java.currentSnapshot()
        return None if snapshot is None else int(snapshot.snapshotId())

    def can_be_written(self) -> bool:
        """Whether :meth:`replace` knows how the table is partitioned: not at all, or by the month of a column."""
        spec = self.java.spec()
        return not spec.isPartitioned() or [str(field.transform()) for field in spec.fields()] == ["month"]

    def files(self, column: str, values: Sequence[int | str] | None) -> Iterator[DataFile]:
        """Yield the files that can hold one of some values of a column (None: all)."""
        scan, self._read_at = self.java.newScan(), self.snapshot_id
        if values is not None:
            # As one text: each value of a list would be a call of Java.
            wanted = json.dumps({"type": "in", "term": column, "values": list(values)})
            scan = scan.filter(self._iceberg("expressions.ExpressionParser").fromJson(wanted, self.java.schema()))
        for task in _each(scan.planFiles()):
            file, is_whole = task.file(), task.deletes().isEmpty()
            yield DataFile(
                file=file, uri=file.location(), rows=file.recordCount(), bytes=file.fileSizeInBytes(), is_whole=is_whole
            )

    def replace(self, gone: Sequence[DataFile], rows: pa.Table) -> None:
        """Put rows in the place of files that :meth:`files` gave, as one commit; each partition's rows become one file.

        It fails if somebody else has written to the table since. What was not read is only appended to. The columns
        are those of :attr:`schema`, with their ids.
        """
        added = [self._write(part, partition) for partition, part in self._partitions(rows) if part.num_rows]
        if self._read_at is None:
            append = self.java.newAppend()
            for file in added:
                append.appendFile(file)
            append.commit()
            return
        overwrite = self.java.newOverwrite()
        for old in gone:
            overwrite.deleteFile(old.file)
        for file in added:
            overwrite.addFile(file)
        overwrite.validateFromSnapshot(self._read_at).validateNoConflictingData().validateNoConflictingDeletes()
        overwrite.commit()

    def _partitions(self, rows: pa.Table) -> Iterator[tuple[Any, pa.Table]]:
        """Return the rows of each partition, and Iceberg's value of it; None if there are no partitions."""
        spec = self.java.spec()
        if not spec.isPartitioned():
            yield None, rows
            return
        column = self.java.schema().findColumnName(spec.fields()[0].sourceId())
        months = _months(rows.column(column))
        for month in pc.unique(months).to_pylist():
            mine = pc.is_null(months) if month is None else pc.fill_null(pc.equal(months, month), fill_value=False)
            partition = self._iceberg("PartitionData")(spec.partitionType())
            partition.put(0, month)
            yield partition, rows.filter(mine)

    def _write(self, rows: pa.Table, partition: Any) -> Any:
        """Write a data file; return Iceberg's entry for it."""
        content, spec, name = contents(rows), self.java.spec(), f"{uuid.uuid4()}.parquet"
        place = self.java.locationProvider()
        uri = place.newDataLocation(spec, partition, name) if partition else place.newDataLocation(name)
        storage.put(uri, content)
        # From what is in hand: the object need not be read again for its statistics.
        input_file = self._iceberg("inmemory.InMemoryInputFile")(uri, content)
        wanted = self._iceberg("MetricsConfig").forTable(self.java)
        builder = self._iceberg("DataFiles").builder(spec).withPath(uri).withFormat("PARQUET")
        builder = builder.withFileSizeInBytes(len(content))
        builder = builder.withMetrics(self._iceberg("parquet.ParquetUtil").fileMetrics(input_file, wanted))
        return (builder.withPartition(partition) if partition else builder).build()

    def _iceberg(self, name: str) -> Any:
        """Return a class of Iceberg, which has no Python side."""
        return java_class(self._spark, f"org.apache.iceberg.{name}")


def _each(closeable: Any) -> Iterator[Any]:
    """Go through what Iceberg lists, and close it."""
    try:
        iterator = closeable.iterator()
        while iterator.hasNext():
            yield iterator.next()
    finally:
        closeable.close()


def _months(column: pa.ChunkedArray) -> pa.Array:
    """Return Iceberg's months since 1970 of days or moments (in UTC), whatever their year."""
    if pa.types.is_timestamp(column.type):
        days = [None if moment is None else moment // _MICROSECONDS for moment in column.cast(pa.int64()).to_pylist()]
    else:
        days = column.cast(pa.int32()).to_pylist()
    return pa.array([None if day is None else _month(day) for day in days], pa.int32())


@functools.cache
def _month(day: int) -> int:
    year, month = year_and_month(day)
    return (year - 1970) * 12 + month - 1

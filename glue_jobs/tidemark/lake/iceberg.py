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
from tidemark.base.concurrency import concurrently
from tidemark.base.gregorian import year_and_month
from tidemark.base.spark import java_class
from tidemark.lake import position_deletes
from tidemark.lake.data_file import contents

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from pyspark.sql import SparkSession


# So many files are read one by one; more become one when the table is written next.
MOST_FILES: Final = 4
# A delete file that takes more rows is not written again for a few that are to be taken, too.
_MOST_DELETES: Final = 50_000
_MICROSECONDS: Final = 86_400_000_000  # of a day
# A Parquet file ends with its metadata, their length in four bytes, and four letters.
_MAGIC: Final = 4
_FOOTER_END: Final = 8


@dataclass(frozen=True, kw_only=True)
class DeleteFile:
    """A file that takes rows from data files; ``is_plain``: it names their places, in Parquet."""

    uri: str
    rows: int
    is_plain: bool


@dataclass(frozen=True, kw_only=True)
class DataFile:
    """A file of the table: ``task`` is Iceberg's, to read it; ``partition`` tells one partition from another."""

    task: Any
    uri: str
    rows: int
    bytes: int
    partition: str
    deletes: tuple[DeleteFile, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Taken:
    """Rows to take from a file that stays: their places in it, and those that its delete files take already."""

    file: DataFile
    places: Sequence[int]
    deletes: Mapping[str, pa.Table]


class IcebergTable:
    """A table as this process has read or written it last.

    Parameters
    ----------
    spark
        Session with the catalog in it.
    table
        Spark's name of the table, quoted; or Iceberg's object itself.
    """

    def __init__(self, spark: SparkSession, table: Any) -> None:
        self._spark = spark
        self._read_at: int | None = None
        if isinstance(table, str):
            table = self._iceberg("spark.Spark3Util").loadIcebergTable(spark._jsparkSession, table)  # noqa: SLF001
        self.java: Any = table

    @property
    def schema(self) -> pa.Schema:
        """Columns as Arrow has them; each field's metadata has its Iceberg id."""
        text = self._iceberg("SchemaParser").toJson(self.java.schema())
        return schema_to_pyarrow(Schema.model_validate_json(text))

    def schema_of(self, columns: Sequence[str]) -> pa.Schema:
        """Return some of the columns."""
        schema = self.schema
        return pa.schema([schema.field(name) for name in columns])

    @property
    def snapshot_id(self) -> int | None:
        """The present snapshot, or None while the table never had data."""
        snapshot = self.java.currentSnapshot()
        return None if snapshot is None else int(snapshot.snapshotId())

    def can_be_written(self) -> bool:
        """Whether :meth:`replace` knows how the table is partitioned: not at all, or by the month of a column."""
        fields = self.java.spec().fields()
        # By its numbers: at the end of Java's iterator, pyspark asks fifty times what went wrong.
        return [str(fields.get(number).transform()) for number in range(fields.size())] in ([], ["month"])

    def files(self, column: str, values: Sequence[int | str] | None) -> Iterator[DataFile]:
        """Yield the files that can hold one of some values of a column (None: all)."""
        scan, self._read_at = self.java.newScan(), self.snapshot_id
        if values is not None:
            # As one text: each value of a list would be a call of Java.
            wanted = json.dumps({"type": "in", "term": column, "values": list(values)})
            scan = scan.filter(self._iceberg("expressions.ExpressionParser").fromJson(wanted, self.java.schema()))
        told = self._iceberg("ScanTaskParser")
        for task in _each(scan.planFiles()):
            yield _data_file(task, json.loads(told.toJson(task)))

    def is_as_read(self) -> bool:
        """Whether the table is as :meth:`files` has listed it last."""
        return self._read_at == self.snapshot_id

    @property
    def rows(self) -> int:
        """How many rows the data files have at the present snapshot, those that delete files take included."""
        snapshot = self.java.currentSnapshot()
        return 0 if snapshot is None else int(snapshot.summary().get("total-records") or 0)

    @property
    def commits(self) -> int:
        """How often the table was written to, by whomever."""
        snapshot = self.java.currentSnapshot()
        return 0 if snapshot is None else int(snapshot.sequenceNumber())

    def replace(self, gone: Sequence[DataFile], rows: pa.Table, taken: Sequence[Taken] = ()) -> None:
        """Put rows in the place of files that :meth:`files` gave, and of rows in them, as one commit.

        Each partition's rows become one file. It fails if somebody else has written to the table since. What was not
        read is only appended to. The columns are those of :attr:`schema`, with their ids.
        """
        parts = [(part, partition) for partition, part in self._partitions(rows) if part.num_rows]
        added = concurrently(parts, lambda part: self._write(*part))
        if self._read_at is None:
            self._append(added)
            return
        of_partitions = _by_partition(taken)
        deletes = concurrently(of_partitions, self._write_deletes)
        delta = self.java.newRowDelta().validateFromSnapshot(self._read_at)
        for old in gone:
            delta.removeRows(old.task.file())
        for file in added:
            delta.addRows(file)
        for file in deletes:
            delta.addDeletes(file)
        for delete in (delete for part in of_partitions for delete in _small_deletes(part).values()):
            delta.removeDeletes(delete)
        delta.validateDataFilesExist([one.file.uri for one in taken]).validateDeletedFiles()
        delta.validateNoConflictingDataFiles().validateNoConflictingDeleteFiles()
        delta.commit()

    def _append(self, added: Sequence[Any]) -> None:
        append = self.java.newAppend()
        for file in added:
            append.appendFile(file)
        append.commit()

    def _write_deletes(self, taken: Sequence[Taken]) -> Any:
        """Write what takes rows from files of one partition, those of its small delete files included."""
        rows = [position_deletes.rows_without((one.file.uri, one.places) for one in taken)]
        rows += [taken[0].deletes[uri] for uri in _small_deletes(taken)]
        file = taken[0].file.task.file()
        spec = self.java.specs().get(file.specId())
        partition = file.partition() if spec.isPartitioned() else None
        builder = self._iceberg("FileMetadata").deleteFileBuilder(spec).ofPositionDeletes()
        wanted = self._iceberg("MetricsConfig").forPositionDelete(self.java)
        return self._put(builder, position_deletes.contents(rows), spec, partition, wanted)

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
        spec, wanted = self.java.spec(), self._iceberg("MetricsConfig").forTable(self.java)
        return self._put(self._iceberg("DataFiles").builder(spec), contents(rows), spec, partition, wanted)

    def _put(self, builder: Any, content: bytes, spec: Any, partition: Any, wanted: Any) -> Any:
        """Write a file with the statistics that are wanted; return Iceberg's entry for it, as ``builder`` makes it."""
        place, name = self.java.locationProvider(), f"{uuid.uuid4()}.parquet"
        uri = place.newDataLocation(spec, partition, name) if partition else place.newDataLocation(name)
        storage.put(uri, content)
        # From what is in hand: the object need not be read again for its statistics.
        metrics = self._iceberg("parquet.ParquetUtil").footerMetrics(self._footer(content), self._nothing(), wanted)
        builder = builder.withPath(uri).withFormat("PARQUET").withFileSizeInBytes(len(content)).withMetrics(metrics)
        return (builder.withPartition(partition) if partition else builder).build()

    def _footer(self, content: bytes) -> Any:
        """Return a file's metadata. Iceberg's reader of files would look for Hadoop's settings in all jars first."""
        parquet = "shaded.org.apache.parquet"
        plain = self._iceberg(f"{parquet}.conf.PlainParquetConfiguration")()
        reader = self._iceberg(f"{parquet}.format.converter.ParquetMetadataConverter")
        length = int.from_bytes(content[-_FOOTER_END:-_MAGIC], "little")
        footer = content[-_FOOTER_END - length : -_FOOTER_END]
        stream = java_class(self._spark, "java.io.ByteArrayInputStream")(footer)
        options = self._iceberg(f"{parquet}.ParquetReadOptions").builder(plain).build()
        return reader(options).readParquetMetadata(stream, reader.NO_FILTER)

    def _nothing(self) -> Any:
        return java_class(self._spark, "java.util.stream.Stream").empty()

    def _iceberg(self, name: str) -> Any:
        """Return a class of Iceberg, which has no Python side."""
        return java_class(self._spark, f"org.apache.iceberg.{name}")


def _by_partition(taken: Sequence[Taken]) -> list[list[Taken]]:
    found: dict[str, list[Taken]] = {}
    for one in taken:
        found.setdefault(one.file.partition, []).append(one)
    return list(found.values())


def _small_deletes(taken: Sequence[Taken]) -> dict[str, Any]:
    """Return the small delete files of some files: their locations, and Iceberg's entries."""
    return {
        delete.uri: one.file.task.deletes().get(number)
        for one in taken
        for number, delete in enumerate(one.file.deletes)
        if delete.rows <= _MOST_DELETES
    }


def _data_file(task: Any, told: dict[str, Any]) -> DataFile:
    """Return what Iceberg tells of a task as JSON: one call of Java instead of one for each thing to know."""
    file = told["data-file"]
    deletes = [
        DeleteFile(
            uri=delete["file-path"],
            rows=delete["record-count"],
            is_plain=(delete["content"], delete["file-format"]) == ("position-deletes", "parquet"),
        )
        for delete in told["delete-files"]
    ]
    return DataFile(
        task=task,
        uri=file["file-path"],
        rows=file["record-count"],
        bytes=file["file-size-in-bytes"],
        partition=json.dumps([file["spec-id"], file["partition"]]),
        deletes=tuple(deletes),
    )


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

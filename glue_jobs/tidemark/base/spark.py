"""The Spark session of a job: one place for every setting that data depends on.

Promises: the same session on Glue and on a laptop. Where the services are (endpoints, jars, master, memory) is not
said here: Glue, or the local stack in its place, gives it to the process from outside. Whoever starts no session
imports no Spark.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, Final

from tidemark.base import aws

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyspark.sql import SparkSession

CATALOG: Final = "lake"
_ROWS_AT_A_TIME: Final = 256
# Of rows that are wider than a 256th of this, fewer.
_BYTES_AT_A_TIME: Final = 64 * 2**20
_BATCH: Final = "spark.sql.parquet.columnarReaderBatchSize"
_WIDE_ROWS: Final = {
    # A session can set no size of Iceberg's batches: one by one, rows are bounded, too.
    "spark.sql.iceberg.vectorization.enabled": "false",
    # What Spark takes for small, by the number of rows, may fill the memory.
    "spark.sql.autoBroadcastJoinThreshold": "-1",
}
_SHUFFLE_PARTITIONS: Final = "spark.sql.shuffle.partitions"
# From here on the work is worth several tasks, and code that is generated and compiled for it. For fewer rows both cost
# more than they save; for a million, code makes the first load's transform two and a half times as fast.
_FEW: Final = 50_000
_FEW_ROWS: Final = {
    "spark.sql.codegen.wholeStage": "false",
    "spark.sql.codegen.factoryMode": "NO_CODEGEN",
    # Without generated code, what is computed once is looked up in a cache that is emptied for each row.
    "spark.sql.subexpressionElimination.enabled": "false",
    # In several parts, whoever counts rows that are in hand would first bring these together. Very many rows are read
    # from files in as many parts as there are cores.
    "spark.sql.leafNodeDefaultParallelism": "1",
}
_MANY_ROWS: Final = {
    "spark.sql.codegen.wholeStage": "true",
    "spark.sql.codegen.factoryMode": "FALLBACK",
    "spark.sql.subexpressionElimination.enabled": "true",
}
_HADOOP: Final = {
    "spark.hadoop.fs.s3.impl": "org.apache.hadoop.fs.s3a.S3AFileSystem",
    # Names of landing files are new, and nothing stands where their folders are to be: S3A need not look.
    "spark.hadoop.fs.s3a.performance.flags": "*",
    # A manifest, not a rename, makes files visible: the one-step committer loses nothing and is twice as fast.
    "spark.hadoop.mapreduce.fileoutputcommitter.algorithm.version": "2",
    "spark.hadoop.mapreduce.fileoutputcommitter.marksuccessfuljobs": "false",
}
_SESSIONS: Final = "org.apache.spark.sql.classic.SparkSession"
# Classes that pyspark asks for by name hundreds of times a tick.
_JAVA_CLASSES: Final = ("functions", "PythonUtils", "PythonSQLUtils", "org.apache.spark.sql.functions", _SESSIONS)
_EXTENSIONS: Final = "org.apache.iceberg.spark.extensions.IcebergSparkSessionExtensions"


def spark_settings(processed_uri: str | None) -> dict[str, str]:
    """Settings of a job's session; with ``processed_uri`` (``s3://…``), of one that uses the lake.

    Raises
    ------
    TidemarkError
        If the process does not know its AWS region.
    """
    settings = _HADOOP | {
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.ansi.enabled": "true",
        # A model's text is text: without this, ${env:HOME} in a description or in SQL would become the variable's
        # value.
        "spark.sql.variable.substitute": "false",
        "spark.sql.timestampType": "TIMESTAMP_LTZ",
        # With rows of many columns, inferring constraints costs far more than the filters that it finds ever save.
        "spark.sql.constraintPropagation.enabled": "false",
        "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS",
        # Rows that a reader holds at a time, 4,096 by default: of documents of a megabyte that is more than any heap.
        _BATCH: str(_ROWS_AT_A_TIME),
        # Counting a frame of changes computes it: all of its parts at once, not one to see whether that will do.
        "spark.sql.limit.initialNumPartitions": "100000",
        "spark.python.sql.dataFrameDebugging.enabled": "false",  # it is two calls of Java for every column expression
        "spark.sql.sources.useV1SourceList": "parquet,csv",
        # S3A would ask us-east-2 where a bucket is, which a network with endpoints of its own region cannot reach.
        "spark.hadoop.fs.s3a.endpoint.region": aws.region(),
    }
    if processed_uri is not None:
        lake = f"spark.sql.catalog.{CATALOG}"
        settings |= {
            "spark.sql.extensions": _EXTENSIONS,
            lake: "org.apache.iceberg.spark.SparkCatalog",
            f"{lake}.type": "glue",
            f"{lake}.io-impl": "org.apache.iceberg.aws.s3.S3FileIO",
            f"{lake}.warehouse": processed_uri.rstrip("/"),
            f"{lake}.glue.skip-archive": "true",
            f"{lake}.table-default.read.parquet.vectorization.batch-size": str(_ROWS_AT_A_TIME),
            # The manifests of a table are read for every scan of it, and a run scans its tables several times.
            f"{lake}.io.manifest.cache-enabled": "true",
        }
    return settings


def spark_session(name: str, processed_uri: str | None = None) -> SparkSession:
    """Start (or, in tests, join) the process' Spark session."""
    from pyspark.sql import SparkSession  # noqa: PLC0415 - takes a second that the load does not need

    builder = SparkSession.builder.appName(name)
    for key, value in (_FEW_ROWS | spark_settings(processed_uri)).items():  # few, until fit_to knows better
        builder = builder.config(key, value)
    spark = builder.getOrCreate()
    spark.sparkContext.setLogLevel("WARN")
    for class_name in _JAVA_CLASSES:
        java_class(spark, class_name)
    return spark


def java_class(spark: SparkSession, name: str) -> Any:
    """Return a class of Spark's Java by its whole name; the next to ask, pyspark too, finds it without asking Java.

    Java would look for it in every package and every jar; a tick asks for classes and their methods hundreds of times.
    """
    java: Any = spark._jvm  # noqa: SLF001 - pyspark has no other name for it
    found = getattr(java, name)
    if not isinstance(found, _Remembering):
        found = _Remembering(found)
        setattr(java, name, found)
    return found


def activate(spark: SparkSession) -> None:
    """Let Java ask this session for its settings in this thread, as whatever pyspark itself runs does.

    Without, the first call that needs the lake's catalog knows of none, and takes its name for that of a database.
    """
    java_class(spark, _SESSIONS).setActiveSession(spark._jsparkSession)  # noqa: SLF001


class _Remembering:
    """A class of Java that looks its methods up once."""

    def __init__(self, of: Any) -> None:
        self._of = of

    def __call__(self, *arguments: Any) -> Any:
        return self._of(*arguments)

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._of, name)
        setattr(self, name, found)
        return found


def rows_at_a_time(widest: int) -> int:
    """How many rows a reader of files holds at a time: as many as fit 64 MB, from 1 to 256."""
    return max(1, min(_ROWS_AT_A_TIME, _BYTES_AT_A_TIME // max(1, widest)))


def is_wide(widest: int) -> bool:
    """Whether the widest row, of so many bytes, is one of which fewer are read at a time."""
    return rows_at_a_time(widest) < _ROWS_AT_A_TIME


def fit_to(spark: SparkSession, rows: int, widest: int = 0) -> None:
    """Set what depends on the work.

    Parameters
    ----------
    rows
        Those of the largest table that a query may read.
    widest
        Bytes of the widest row that it may read from files, as far as that is known.
    """
    spark.conf.set(_BATCH, str(rows_at_a_time(widest)))
    for name, value in _WIDE_ROWS.items():
        if is_wide(widest):
            spark.conf.set(name, value)
        else:
            spark.conf.unset(name)
    # As it was configured, not as it was set here before; getConf() would copy all settings, one call of Java each.
    context: Any = spark.sparkContext._jsc  # noqa: SLF001
    configured = context.sc().conf().get(_SHUFFLE_PARTITIONS, "200")
    few = rows <= _FEW
    # Tasks are not free: a few thousand rows in several parts take longer, and leave several files.
    spark.conf.set(_SHUFFLE_PARTITIONS, "1" if few else configured)
    for name, value in (_FEW_ROWS if few else _MANY_ROWS).items():
        spark.conf.set(name, value)
    if not few:
        for name in _FEW_ROWS.keys() - _MANY_ROWS.keys():
            spark.conf.unset(name)


@contextlib.contextmanager
def spark_throughout(job: str, wanted: str | None, processed_uri: str | None = None) -> Iterator[None]:
    """Keep a job's session from before its work to its end, if ``wanted`` is ``true``.

    On Glue a script is the main program of a YARN application, and YARN fails one that has started no SparkContext
    within 100 seconds, or when it ends. The load, and an extract that finds nothing, need none; on a laptop, where
    nobody insists, they do not pay for one.
    """
    if wanted != "true":
        yield
        return
    from py4j.protocol import Py4JError  # noqa: PLC0415 - as above

    spark = spark_session(f"tidemark-{job}", processed_uri)
    try:
        yield
    finally:
        with contextlib.suppress(Py4JError, OSError):  # its Java may be gone: what the work says of it counts
            spark.stop()

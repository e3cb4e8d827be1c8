"""Landing files: Parquet or CSV, both exact round trips.

CSV promises the same as Parquet because nothing is left to a dialect: every value is its Spark text in quotes, NULL is
``%N``, the empty text ``%E``, and ``%``, double quotes and line ends are percent-encoded. So a line is a row, and every
text comes back as it was. Decoding is sequential replacement; ``%25`` comes last, hence a literal ``%0A`` survives.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Final

import pyarrow.parquet as pq

from tidemark.base import storage
from tidemark.base.errors import LandingError
from tidemark.base.quoting import spark as quoted
from tidemark.base.quoting import spark_columns

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pyarrow as pa
    from pyspark.sql import DataFrame, SparkSession

_CODES: Final = (("%", "%25"), ('"', "%22"), ("\\n", "%0A"), ("\\r", "%0D"))
_OPTIONS: Final[dict[str, str]] = {
    "header": "true",
    "escape": '"',
    "nullValue": "%Z",
    "columnNameOfCorruptRecord": "_" * 64,  # a name that no column has: theirs end at 63 bytes
    "ignoreLeadingWhiteSpace": "false",
    "ignoreTrailingWhiteSpace": "false",
    "encoding": "UTF-8",
}


# Parquet looks at the size of its buffers only after so many rows, 100 by default: too late where rows are wide.
# Whoever reads a group of rows holds it as a whole: 128 MB by default, for each core.
_GROUPS: Final = {
    "parquet.block.size.row.check.min": "8",
    "parquet.page.size.row.check.min": "8",
    "parquet.block.size": str(32 * 2**20),
}


# The name of a file of a few rows; Spark's own files have longer ones.
_FEW: Final = "part-00000.zstd.parquet"
# Up to this size, a file of a few rows becomes part of the query. A larger one is Spark's to read, with bounded memory.
_PART_OF_A_QUERY: Final = 2**20


# By this Spark knows that old days and moments stand in the calendar of today, not in one of its own earlier ones.
_AS_SPARK_WRITES: Final = {"org.apache.spark.version": "4.1.1"}


def write(frame: DataFrame, target: str, file_format: str) -> None:
    """Write a frame below ``target`` (``s3://…``) as ``parquet`` or ``csv``."""
    writer = frame.write.mode("overwrite")
    if file_format == "csv":
        texts = frame.selectExpr(*(_encode(name, kind) for name, kind in frame.dtypes))
        writer = texts.write.mode("overwrite").options(**_OPTIONS, quoteAll="true", compression="gzip")
        writer.csv(target)
    else:
        writer.options(compression="zstd", **_GROUPS).parquet(target)


def write_few(rows: pa.Table, target: str) -> str:
    """Write a few rows to one Parquet file below ``target``, as Spark would; return its name."""
    content, name = io.BytesIO(), f"{target}/{_FEW}"
    pq.write_table(rows.replace_schema_metadata(_AS_SPARK_WRITES), content, compression="zstd")
    storage.put(name, content.getvalue())
    return name


def read(spark: SparkSession, files: Sequence[str], columns: Mapping[str, str], file_format: str) -> DataFrame:
    """Read landed files back in the manifest's schema (column -> Spark type).

    Raises
    ------
    LandingError
        If a file of a few rows, which is read at once, is not there.
    """
    if file_format == "csv":
        schema = ", ".join(f"{quoted(name)} string" for name in columns)
        options = {**_OPTIONS, "mode": "FAILFAST", "maxCharsPerColumn": "-1"}
        raw = spark.read.schema(schema).options(**options).csv(list(files))
        return raw.selectExpr(*(_decode(name, kind) for name, kind in columns.items()))
    schema = spark_columns(columns)
    rows = few_rows(files)
    if rows is None:
        return spark.read.schema(schema).parquet(*files)
    # With its rows in the plan, a query over them lists no folder and opens no file.
    return spark.createDataFrame(rows.select(list(columns)), schema)


def few_rows(files: Sequence[str]) -> pa.Table | None:
    """Return the rows of a small file that :func:`write_few` wrote, or None if these are others.

    Raises
    ------
    LandingError
        If it is not there.
    """
    if len(files) != 1 or not files[0].endswith(f"/{_FEW}"):
        return None
    content = storage.get(files[0])
    if content is None:
        raise LandingError(
            f"the landing file {files[0]} is not there, and a manifest names it",
            do="restore the object from its bucket's versions",
        )
    return pq.read_table(io.BytesIO(content)) if len(content) <= _PART_OF_A_QUERY else None


def _encode(name: str, kind: str) -> str:
    text = f"base64({quoted(name)})" if kind == "binary" else f"CAST({quoted(name)} AS STRING)"
    for plain, code in _CODES:
        text = f"replace({text}, '{plain}', '{code}')"
    return f"CASE WHEN {quoted(name)} IS NULL THEN '%N' ELSE coalesce(nullif({text}, ''), '%E') END AS {quoted(name)}"


def _decode(name: str, kind: str) -> str:
    text = f"CASE WHEN {quoted(name)} = '%E' THEN '' ELSE {quoted(name)} END"
    for plain, code in reversed(_CODES):
        text = f"replace({text}, '{code}', '{plain}')"
    value = f"unbase64({text})" if kind == "binary" else f"CAST({text} AS {kind})"
    return f"CASE WHEN {quoted(name)} <> '%N' THEN {value} END AS {quoted(name)}"

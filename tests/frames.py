"""Frames of a test's own rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa
from pyspark.sql.pandas.types import to_arrow_schema
from pyspark.sql.types import StructType

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pyspark.sql import DataFrame, SparkSession


def frame_of(spark: SparkSession, rows: Iterable[Sequence[Any]], schema: str) -> DataFrame:
    """Return rows as a frame (schema: DDL); Spark has the rows of a Python list read by Python processes of its own."""
    struct = StructType.fromDDL(schema)
    assert isinstance(struct, StructType)
    lines = [dict(zip(struct.names, row, strict=True)) for row in rows]
    return spark.createDataFrame(pa.Table.from_pylist(lines, to_arrow_schema(struct)), struct)

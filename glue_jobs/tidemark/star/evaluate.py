"""A star table's SQL, run over the mirrors.

Promises: the SQL gives exactly the declared columns, and one row for each key, or an error says what it gives instead.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from pyspark.errors import AnalysisException, PySparkException
from pyspark.sql import functions as F  # noqa: N812

from tidemark.base import quoting as names
from tidemark.base.errors import ModelError
from tidemark.model.definition import Fact
from tidemark.star.contract import UPDATED

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pyspark.sql import DataFrame, SparkSession

    from tidemark.model.definition import StarTable


def evaluate(spark: SparkSession, table: StarTable, inputs: Mapping[str, DataFrame]) -> DataFrame:
    """Run a star table's SQL over the given frames, one per source table it names.

    A fact's SQL may give a further column ``_updated_at``: when the source itself says that the row last changed.

    Raises
    ------
    ModelError
        If the SQL does not run, or does not give exactly the declared columns.
    """
    parts = []
    for name, frame in inputs.items():
        view = f"_{table.name}-{name}"  # no name has a hyphen, so view names cannot collide
        frame.createOrReplaceTempView(names.spark(view))
        parts.append(f"{names.spark(name)} AS (SELECT * FROM {names.spark(view)})")  # noqa: S608 - quoted names
    try:
        found = spark.sql(f"WITH {', '.join(parts)} SELECT * FROM (\n{table.sql}\n)")  # noqa: S608 - the model's own SQL
    except AnalysisException as error:
        raise ModelError(
            f"{table.name}.sql: {str(error).strip().splitlines()[0]}",
            expected=f"a SELECT over {', '.join(inputs)}",
            do="fix the SQL, or name further tables under joins in star.yml",
        ) from None
    wanted = [column.name for column in table.columns]
    given = [name for name in found.columns if name != UPDATED or not isinstance(table, Fact)]
    if sorted(given) != sorted(wanted):
        missing = ", ".join(sorted(set(wanted) - set(given))) or "none"
        extra = ", ".join(sorted(set(given) - set(wanted))) or "none"
        raise ModelError(
            f"{table.name}.sql gives other columns than star.yml declares (missing: {missing}; not declared: {extra})",
            do="make the two agree",
        )
    return found


def check_one_row_per_key(rows: DataFrame, table: StarTable) -> None:
    """Raise if joins, or whatever else the SQL does, multiplied rows.

    Raises
    ------
    ModelError
        Naming a key that came out more than once.
    """
    quoted = [names.spark(name) for name in table.key]
    there = rows.dropna(subset=list(table.key))  # the others wait in quarantine
    twice = there.groupBy(*quoted).agg(F.count(F.lit(1)).alias("_rows")).where("_rows > 1").limit(1).collect()
    if twice:
        *key, count = twice[0]
        raise ModelError(
            f"{table.name}.sql gives {count} rows for {', '.join(table.key)} {', '.join(map(str, key))}",
            expected=f"one row per {table.driver}, each with a key of its own",
            do="join on the other tables' keys, and give the key as the source has it",
        )


@contextmanager
def values_that_fit(table: StarTable) -> Iterator[None]:
    """Turn a value that a function of the table's SQL does not take (ANSI mode) into an error that names the table.

    Raises
    ------
    ModelError
        With Spark's own sentence; SQLSTATE class 22 is the data exceptions, P0001 what the SQL raises itself.
    """
    try:
        yield
    except PySparkException as error:
        if not (error.getSqlState() or "").startswith(("22", "P0001")):
            raise
        raise ModelError(
            f"{table.name}.sql: {str(error).strip().splitlines()[0]}",
            expected="values that every function in it takes",
            do="use try_cast, try_divide and the like: what becomes NULL goes to quarantine, or passes if it may",
        ) from None

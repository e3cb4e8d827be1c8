"""Quoting, judged by Spark."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from tidemark.base.quoting import spark as quoted
from tidemark.base.quoting import spark_literal

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

texts = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20)
with_spark = settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@with_spark
@given(st.lists(texts, min_size=20, max_size=40))
@example(
    ["O'Hara\\' OR 1=1 --", "\\", "\\n", "a\nb\r\n\tc", "${env:HOME}", "${spark.app.name}", "%_\\%", "\\u0041", '"x"']
)
def test_any_text_comes_back_from_spark(spark: SparkSession, values: list[str]) -> None:
    (row,) = spark.sql("SELECT " + ", ".join(map(spark_literal, values))).collect()
    assert list(row) == values


@with_spark
@given(st.lists(texts.filter(bool), min_size=10, max_size=20, unique_by=str.casefold))
@example(["a.b", "a`b", "``", "select", "1", " ", "a b", "${env:HOME}"])
def test_any_identifier_comes_back_from_spark(spark: SparkSession, names: list[str]) -> None:
    found = spark.sql("SELECT " + ", ".join(f"1 AS {quoted(name)}" for name in names))
    assert found.columns == names

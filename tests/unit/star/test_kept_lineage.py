"""What is known of a star's SQL, kept with its table."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from unittest import mock

import pytest
from tidemark.star import kept_lineage, lineage

from tests.unit.star.test_lineage import INPUTS, KEYS, fact

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pyspark.sql import DataFrame, SparkSession
    from tidemark.model.definition import Fact

SQL = "SELECT o.id, c.name FROM orders o LEFT JOIN customer c ON c.id = o.buyer"


@pytest.fixture
def lake(spark: SparkSession) -> Any:
    """As much of a lake as keeps properties of a table that is there."""
    kept: dict[str, str] = {}
    table = SimpleNamespace(java=SimpleNamespace(properties=lambda: kept))
    return SimpleNamespace(
        spark=spark,
        star=lambda name: name,
        exists=lambda _: True,
        iceberg=lambda _: table,
        note=lambda _, properties: kept.update(properties),
    )


def test_it_is_read_once_and_again_for_whatever_else(lake: Any, spark: SparkSession) -> None:
    table, inputs = fact(SQL, ("id", "name")), {n: spark.createDataFrame([], kinds) for n, kinds in INPUTS.items()}
    wanted = lineage.lineage_of(spark, table, inputs, KEYS)
    assert wanted.columns["name"], "there is something to keep"
    others: dict[str, tuple[Fact, Mapping[str, DataFrame], Mapping[str, Sequence[str]]]] = {
        "other SQL": (replace(table, sql=SQL.replace("c.name", "upper(c.name) AS name")), inputs, KEYS),
        "another declaration": (replace(table, description="another"), inputs, KEYS),
        "other types": (table, {**inputs, "orders": inputs["orders"].withColumn("more", inputs["orders"][0])}, KEYS),
        "another key": (table, inputs, {**KEYS, "customer": ()}),
    }
    with mock.patch.object(lineage, "lineage_of", wraps=lineage.lineage_of) as reading:
        assert kept_lineage.lineage_of(lake, table, inputs, KEYS) == wanted
        assert reading.call_count == 1
        assert kept_lineage.lineage_of(lake, table, inputs, KEYS) == wanted
        assert reading.call_count == 1, "it was kept"
        for number, (name, asked) in enumerate(others.items(), 2):
            kept_lineage.lineage_of(lake, *asked)
            assert reading.call_count == number, name
        assert kept_lineage.lineage_of(lake, *asked) == lineage.lineage_of(spark, *asked), "the last one was kept"

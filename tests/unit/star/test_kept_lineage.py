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


class _Table:
    """As much of an Iceberg table as keeps properties."""

    def __init__(self) -> None:
        self.kept: dict[str, str] = {}

    def properties(self) -> dict[str, str]:
        return self.kept

    def updateProperties(self) -> Any:  # noqa: N802 - Iceberg's name
        return SimpleNamespace(set=self._set)

    def _set(self, name: str, value: str) -> Any:
        return SimpleNamespace(commit=lambda: self.kept.update({name: value}))


@pytest.fixture
def lake(spark: SparkSession) -> Any:
    table = SimpleNamespace(java=_Table())
    return SimpleNamespace(spark=spark, star=lambda name: name, iceberg=lambda _: table)


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

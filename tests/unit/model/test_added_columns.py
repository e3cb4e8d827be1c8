"""The columns that Tidemark adds, and what is made of them elsewhere."""

from __future__ import annotations

from typing import Any

import pytest
from pyiceberg.expressions import And, EqualTo
from pyiceberg.expressions.parser import parse
from tidemark.model import added_columns, names
from tidemark.model.definition import Fact
from tidemark.model.loader import load_model

from tests.shop import SHOP_MODEL

MODEL = load_model(str(SHOP_MODEL))


def test_present_rows_are_the_same_to_pyiceberg() -> None:
    """Spark and the warehouse evaluate the very text in each load's reconciliation."""
    equal: Any = EqualTo  # its stubs do not know its shorthand
    current, alive = equal("is_current", True), And(equal("is_deleted", False), equal("is_inferred", False))
    for table in MODEL.star_tables:
        assert parse(added_columns.present_rows(table)) == (current if isinstance(table, Fact) else alive)


@pytest.mark.parametrize("columns", [added_columns.FACT_COLUMNS, added_columns.DIMENSION_COLUMNS])
def test_a_model_cannot_give_their_names(columns: tuple[added_columns.AddedColumn, ...]) -> None:
    for column in columns:
        assert names.star_column_problem(column.name), column.name


def test_the_warehouse_has_all_but_the_lakes_own_notes() -> None:
    fact, dimension = MODEL.facts["fact_order"], MODEL.dimensions["dim_customer"]
    found = added_columns.warehouse_columns(MODEL, fact.name)
    assert found[: len(fact.columns)] == fact.columns
    assert [column.name for column in found[len(fact.columns) :]] == [
        *("version", "valid_from", "valid_to", "is_current", "is_deleted", "recorded_batch", "closed_batch")
    ]
    assert {column.name for column in added_columns.added_to(fact)} - {column.name for column in found} == {
        "_updated_at"
    }
    own = added_columns.warehouse_columns(MODEL, dimension.name)[len(dimension.columns) :]
    assert own == added_columns.DIMENSION_COLUMNS
    assert added_columns.warehouse_columns(MODEL, "dim_date") == added_columns.DATE_COLUMNS

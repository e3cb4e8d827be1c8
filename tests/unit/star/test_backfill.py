"""Up to which batch the stored values of a star table's columns are filled."""

from __future__ import annotations

from dataclasses import replace

from tidemark.lake.batches import BEFORE_FIRST, AppliedBatch
from tidemark.model.definition import Column, Dimension
from tidemark.model.types import PgType
from tidemark.star.backfill import FilledThrough


def table(name: str, *columns: str) -> Dimension:
    made = tuple(Column(name=column, type=PgType.parse("integer"), nullable=True, description="") for column in columns)
    own = {"key": ("id",), "from_key": ("id",), "driver": "source", "sql": "", "description": ""}
    return Dimension(name=name, columns=made, **own)  # type: ignore[arg-type]


def after(batch: int, columns: dict[str, dict[str, int]]) -> AppliedBatch:
    return replace(BEFORE_FIRST, batch=batch, columns=columns)


SHELF = table("shelf", "id", "place", "colour")


def test_a_table_without_rows_has_nothing_to_fill() -> None:
    assert FilledThrough(BEFORE_FIRST).missing(SHELF) == {}


def test_what_the_last_batch_did_not_fill_is_missing() -> None:
    """``place`` was out of the model for a while, ``colour`` is new."""
    filled = FilledThrough(after(7, {"shelf": {"id": 7, "place": 4, "away": 7}}))
    assert filled.missing(SHELF) == {"place": 4, "colour": 0}


def test_a_batch_fills_all_columns_that_it_knows() -> None:
    filled = FilledThrough(after(7, {"shelf": {"id": 7, "place": 4}}))
    assert filled.after(8, [SHELF], {"shelf": {"colour"}}, []) == {"shelf": {"id": 8, "place": 8}}


def test_what_a_batch_did_not_look_at_stays_as_full_as_it_was() -> None:
    filled = FilledThrough(after(7, {"shelf": {"id": 7, "place": 4}}))
    assert filled.after(8, [SHELF], {}, []) == {"shelf": {"id": 8, "place": 4}}


def test_a_column_that_was_taken_out_is_remembered() -> None:
    filled = FilledThrough(after(7, {"shelf": {"id": 7, "place": 7, "colour": 7, "away": 5}}))
    assert filled.after(8, [SHELF], {"shelf": ()}, [])["shelf"]["away"] == 5


def test_a_table_that_was_taken_out_is_remembered_while_it_is_there() -> None:
    filled = FilledThrough(after(7, {"shelf": {"id": 7}, "box": {"id": 6}}))
    assert filled.after(8, [], {}, ["box"]) == {"box": {"id": 6}}
    assert filled.after(8, [], {}, []) == {}

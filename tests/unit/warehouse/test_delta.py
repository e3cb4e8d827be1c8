"""What a load reads of the lake, and why it reads a table whole."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any, cast

import pyarrow as pa
import pytest
from tidemark.lake.batches import BEFORE_FIRST, AppliedBatch, TableChange
from tidemark.lake.reader import LakeReader
from tidemark.model.loader import load_model
from tidemark.warehouse.delta import StarDelta, reasons_to_read_whole

from tests.shop import SHOP_MODEL

MODEL = load_model(str(SHOP_MODEL))
ORDER, CUSTOMER = "fact_order", "dim_customer"


def run(batch: int, **changed: Any) -> AppliedBatch:
    """An applied run in whose state every table held its columns at that run, and has a snapshot of its own."""
    columns = {table.name: {column.name: batch for column in table.columns} for table in MODEL.star_tables}
    snapshots = dict.fromkeys(MODEL.star_names, batch)
    return replace(BEFORE_FIRST, batch=batch, model_digest="same", columns=columns, snapshots=snapshots, **changed)


class Lake:
    """Tables whose state differs where the runs' snapshots do; notes what is asked for."""

    def __init__(self, *changed: str) -> None:
        self.names, self.asked = set(changed), dict[str, int]()

    def changed(self, _run: AppliedBatch, _before: AppliedBatch) -> set[str]:
        return self.names

    def delta(self, name: str, _run: AppliedBatch, after: int) -> pa.Table | None:
        self.asked[name] = after
        return None if name == CUSTOMER else pa.table({"version": [1], "lost": [2], "lost before": [3]})


def delta(lake: Lake, runs: list[AppliedBatch], after: int, empty: frozenset[str] = frozenset()) -> StarDelta:
    return StarDelta(MODEL, cast("LakeReader", lake), runs, after, empty)


def test_only_what_changed_is_read_and_only_beyond_the_last_load() -> None:
    lake = Lake(CUSTOMER, ORDER)
    found = delta(lake, [run(4), run(5), run(6)], 4)
    assert (found.applied.batch, found.after) == (6, 4)
    assert found.tables() == [CUSTOMER, ORDER]
    assert found.rows(CUSTOMER) is None
    rows = found.rows(ORDER)
    assert rows is not None
    assert rows.read_all().to_pylist() == [{"version": 1}], "what the warehouse has columns for"
    assert lake.asked == {CUSTOMER: 4, ORDER: 4}
    assert not found.is_backfill(ORDER)


def test_everything_is_read_where_there_is_no_run_to_go_on_from() -> None:
    lake = Lake()
    found = delta(lake, [run(3)], 0)
    stars = [table.name for table in MODEL.star_tables]
    assert found.tables() == ["dim_date", *stars], "what is referred to comes first"
    assert found.rows(ORDER) is not None
    assert lake.asked == {ORDER: 0}
    assert found.is_backfill(ORDER), "it may have rows of former loads"
    assert not delta(lake, [run(3)], 0, frozenset([ORDER])).is_backfill(ORDER)


FILLED = {ORDER: TableChange(backfilled=2), CUSTOMER: TableChange(backfilled=2)}
WITHOUT_NOTE = {**run(4).columns, ORDER: {**run(4).columns[ORDER], "note": 3}}
LOST = {**run(5).columns, ORDER: {**run(5).columns[ORDER], "lost": 5, "lost before": 4}}
HELD = {**run(4).columns, ORDER: {**run(4).columns[ORDER], "lost": 4, "lost before": 4}}
OLDER = {name: columns for name, columns in run(4).columns.items() if name != CUSTOMER} | {ORDER: {"note": 3}}


@pytest.mark.parametrize(
    ("runs", "empty", "expected"),
    [
        ([run(4), run(5)], [], {}),
        ([run(4), run(5)], ["dim_date"], {"dim_date": "the warehouse has no rows of it"}),
        (
            [run(4), run(5, changes=FILLED), run(6)],
            [],
            {ORDER: "batch 5 filled in columns of stored versions"},
        ),
        ([run(4, changes=FILLED), run(5)], [], {}),
        (
            [replace(run(4), columns=OLDER), run(5)],
            [],
            dict.fromkeys((CUSTOMER, ORDER), "the model of batch 4, the last that was loaded, did not have it"),
        ),
        (
            [replace(run(4), columns=WITHOUT_NOTE), run(5)],
            [],
            {ORDER: "batch 4, the last that was loaded, did not hold note"},
        ),
        ([replace(run(4), columns=HELD), replace(run(5), columns=LOST)], [], {}),
        (
            [run(4), replace(run(5), columns=LOST)],
            [],
            {ORDER: "later batches than 4, the last that was loaded, had lost"},
        ),
        (
            [replace(run(4), model_digest="other"), run(5)],
            [],
            {"dim_date": "the model has changed since batch 4, the last that was loaded"},
        ),
    ],
    ids=[
        "none",
        "empty",
        "filled",
        "filled before",
        "new to the model",
        "a column not held",
        "had and lost",
        "got and lost",
        "another model",
    ],
)
def test_each_reason_to_read_a_table_whole(
    runs: list[AppliedBatch], empty: list[str], expected: dict[str, str]
) -> None:
    assert reasons_to_read_whole(MODEL, runs[0], runs[1:], empty) == expected


def test_a_column_that_the_model_has_lost_comes_with_what_was_written_since_the_last_load() -> None:
    """Between two loads, a column came, or was there, and was taken out of the model: no later load would bring it."""
    later = [replace(run(5), columns=LOST, model_digest="had it"), replace(run(6), columns=LOST)]
    found = delta(Lake(ORDER), [replace(run(4), columns=HELD), *later], 4)
    rows = found.rows(ORDER)
    assert rows is not None
    assert rows.read_all().to_pylist() == [{"version": 1, "lost": 2, "lost before": 3}]
    assert not found.is_backfill(ORDER)
    assert delta(Lake(ORDER), [run(4), *later], 4).is_backfill(ORDER)


def test_a_column_that_no_model_of_the_batches_had_stays_away() -> None:
    """What the warehouse has of it is what the lake had when it was last written."""
    later = [replace(run(5), columns=HELD), replace(run(6), columns=HELD)]
    rows = delta(Lake(ORDER), [replace(run(4), columns=HELD, model_digest="had it"), *later], 4).rows(ORDER)
    assert rows is not None
    assert rows.read_all().to_pylist() == [{"version": 1}]


def test_the_log_says_why(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "tidemark.load"):
        delta(Lake(ORDER), [run(4), run(5)], 4, frozenset([CUSTOMER]))
    (line,) = caplog.messages
    assert " ".join(line.split()) == "dim_customer is read whole: the warehouse has no rows of it"

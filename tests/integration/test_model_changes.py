"""The model changes at the worst moments: between the jobs, in the middle of one, and back again.

The changes themselves are in ``test_drift``. Here it is runs that die under one model and are done again under another,
manifests older than the model, and what a model's new references need.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

from tests.fuzz.sabotage import KilledError, Sabotage
from tests.integration.conftest import Pipeline

UPPER = ("fact_order.sql", "    note,", "    upper(note) AS note,")
NAME = ("dim_customer.sql", "c.name,", "upper(c.name) AS name,")


def turn(pipeline: Pipeline, *edits: tuple[str, str, str]) -> None:
    for edit in edits:
        pipeline.edit(*edit)


def back(pipeline: Pipeline, *edits: tuple[str, str, str]) -> None:
    turn(pipeline, *((file, new, old) for file, old, new in edits))


def dies(pipeline: Pipeline, boundary: str) -> None:
    sabotage = Sabotage(boundary, "before")
    with sabotage.armed(), suppress(KilledError):
        pipeline.transform()
    assert sabotage.fired, sabotage.reached


def lake_is_warehouse(pipeline: Pipeline) -> None:
    for table in pipeline.model.star_tables:
        columns = [column.name for column in table.columns]
        columns += ["version", "recorded_seq", "closed_seq"] if table.name in pipeline.model.facts else ["is_inferred"]
        listed = ", ".join(columns)
        rows = pipeline.query(f"SELECT {listed} FROM {pipeline.model.name}.{table.name}", pipeline.warehouse())
        there = [tuple(row[name] for name in columns) for row in pipeline.lake(table.name)]
        assert sorted(map(in_text, rows)) == sorted(map(in_text, there)), table.name


def in_text(row: tuple[Any, ...]) -> str:
    return " | ".join(str(value).removesuffix(".000000") for value in row)


def test_what_a_run_under_another_model_left_half_done_is_never_published(shop: Pipeline) -> None:
    shop.tick()
    shop.execute("UPDATE orders SET note = 'changed' WHERE order_id = 1", "UPDATE orders SET due = 'x' WHERE order_id = 2")
    shop.must_extract()
    # Everything of the run under the other model is written but its row in etl_runs; a year and a member besides.
    more = ("fact_order.sql", "    customer_id,", "    customer_id + 100 AS customer_id,")
    due = ("fact_order.sql", "due AS due_date", "replace(due, '2026', '2031') AS due_date")
    turn(shop, UPPER, NAME, more, due)
    dies(shop, "append etl_runs")
    assert {row["note"] for row in shop.versions(3)} == {"note 3", "NOTE 3"}
    back(shop, UPPER, NAME, more, due)
    shop.transform()
    shop.load()
    assert [row["note"] for row in shop.versions(3)] == ["note 3"]
    assert [row["note"] for row in shop.versions(1)] == [None, "changed"]
    assert len(shop.lake("fact_order")) == 3001
    assert {row["name"] for row in shop.lake("dim_customer")} == {f"customer {i}" for i in range(1, 21)}
    assert {row["year"] for row in shop.lake("dim_date")} == {2026}
    assert [(row["key"], row["reason"]) for row in shop.lake("quarantine")] == [("2", "due_date: 'x' is no date")]
    lake_is_warehouse(shop)


def test_a_table_that_only_a_dead_run_knew_is_made_anew(shop: Pipeline) -> None:
    """Also after a first run that died under another model: nothing was recorded then."""
    shop.must_extract()
    turn(shop, UPPER, NAME)
    dies(shop, "append etl_runs")
    back(shop, UPPER, NAME)
    shop.transform()
    shop.load()
    assert {row["version"] for row in shop.lake("fact_order")} == {1}
    assert {row["name"] for row in shop.lake("dim_customer")} == {f"customer {i}" for i in range(1, 21)}
    lake_is_warehouse(shop)


def test_a_star_table_is_taken_out_and_put_back_with_its_history(shop: Pipeline) -> None:
    shop.tick()
    shop.execute("UPDATE orders SET note = 'two' WHERE order_id = 1")
    shop.tick()
    star = (shop.folder / "star.yml").read_text()
    (shop.folder / "star.yml").write_text(star.split("facts:")[0])
    shop.execute("UPDATE orders SET note = 'not seen' WHERE order_id = 1", "DELETE FROM orders WHERE order_id = 2")
    shop.tick()
    (shop.folder / "star.yml").write_text(star)
    shop.execute("UPDATE orders SET note = 'three' WHERE order_id = 1")
    shop.tick()
    assert [row["note"] for row in shop.versions(1)] == [None, "two", "three"]
    assert [row["is_deleted"] for row in shop.versions(2)] == [True]
    lake_is_warehouse(shop)

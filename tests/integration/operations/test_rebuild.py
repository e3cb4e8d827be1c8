"""The same history from the landing area alone, contents compared row by row, and what only a full compare finds."""

from __future__ import annotations

from collections.abc import Callable

from tidemark.landing.area import Landing
from tidemark.operations.compare_rows import Difference, compare_mirrors
from tidemark.source.contents import SourceReader

from tests.integration.conftest import Harness


def deep(pipeline: Harness) -> list[Difference]:
    with pipeline.source.connect() as source:
        found = list(compare_mirrors(SourceReader(source), pipeline.model, pipeline.reader_of_the_lake()))
    return found + pipeline.differences()


def everything(pipeline: Harness) -> dict[str, list[str]]:
    """All rows of the warehouse's star and of the lake, as text, identity keys apart."""
    model, result = pipeline.model, {}
    for star in model.star_tables:
        rows = pipeline.query(f"SELECT * FROM {model.name}.{star.name}", pipeline.warehouse())
        first = 1 if star.name in model.facts else 0
        result[f"warehouse {star.name}"] = sorted(str(row[first:]) for row in rows)
        result[f"lake {star.name}"] = sorted(map(str, pipeline.lake(star.name)))
    for name in model.tables:
        result[f"mirror {name}"] = sorted(map(str, pipeline.lake(name, source=True)))
    result["quarantine"] = sorted(map(str, pipeline.lake("quarantine")))
    return result


def with_a_history(pipeline: Harness) -> None:
    pipeline.tick()
    pipeline.execute(
        "UPDATE orders SET note = 'silent' WHERE order_id = 5",
        "DELETE FROM orders WHERE order_id = 6",
        "UPDATE orders SET due = '2024-02-30' WHERE order_id = 7",
    )
    pipeline.tick()
    pipeline.execute(
        "INSERT INTO orders SELECT 6, customer_id, 1, due, 'again', created_at, last_updated FROM orders WHERE order_id = 8",
        "UPDATE orders SET due = '2024-02-29' WHERE order_id = 7",
        "UPDATE orders SET note = 'twice' WHERE order_id = 5",
    )
    pipeline.tick()


def test_lake_and_warehouse_come_out_the_same_from_landing_alone(new_pipeline: Callable[[], Harness]) -> None:
    pipeline = new_pipeline()
    with_a_history(pipeline)
    before, landed = everything(pipeline), pipeline.objects()
    assert deep(pipeline) == []

    pipeline.warehouse_in().forget()
    pipeline.forget_lake()
    assert pipeline.landing.published() == 0
    assert pipeline.extract() is None, "what was landed is all there is"
    assert pipeline.transform() == [1, 2, 3]
    assert pipeline.load() == 3
    assert everything(pipeline) == before
    assert pipeline.objects() - {"heartbeat.json"} == landed - {"heartbeat.json"}
    assert pipeline.pending() == []


def test_a_hidden_change_is_shown_by_contents_and_mended_by_a_full_compare(
    new_pipeline: Callable[[], Harness],
) -> None:
    pipeline = new_pipeline()
    pipeline.tick()
    mirror = f"lake.{pipeline.model.source_database}.orders"
    pipeline.spark.sql(f"UPDATE {mirror} SET note = 'as a restore left it' WHERE order_id = 11")
    pipeline.spark.sql(f"DELETE FROM {mirror} WHERE order_id = 12")
    (changed, lost) = deep(pipeline)
    assert (changed.table, changed.key) == ("orders", "11")
    assert changed.what.endswith("lake as a restore left it")
    assert (lost.key, lost.what) == ("12", "only in the source")
    assert pipeline.extract() is None, "no transaction id tells of it"
    pipeline.tick(full=True)
    assert deep(pipeline) == []


def test_contents_that_differ_in_the_warehouse_are_named(new_pipeline: Callable[[], Harness]) -> None:
    pipeline = new_pipeline()
    pipeline.tick()
    star = pipeline.model.name
    with pipeline.warehouse().connect() as warehouse:
        warehouse.execute(f"UPDATE {star}.fact_order SET amount = amount + 1 WHERE order_id = 3".encode())
        warehouse.execute(f"DELETE FROM {star}.fact_order WHERE order_id = 4".encode())
    found = {row.key: row.what for row in deep(pipeline)}
    assert found.keys() == {"3, 1", "4, 1"}
    assert found["4, 1"] == "only in the lake"
    assert found["3, 1"].startswith("amount: lake ")


def test_a_landing_area_without_a_manifest_has_nothing_to_forget(aws: None) -> None:
    landing = Landing("s3://lake/never-used")
    landing.forget_published()
    assert landing.latest() is None

"""The model changes at the worst moments: between the jobs, in the middle of one, and back again.

The changes themselves are in ``test_drift``. Here it is runs that die under one model and are done again under another,
manifests older than the model, and what a model's new references need.
"""

from __future__ import annotations

from contextlib import suppress

import pytest
from tidemark.base.errors import ModelError

from tests.fuzz.models import SELLER, SHELF
from tests.fuzz.sabotage import KilledError, Sabotage
from tests.integration.conftest import Harness

UPPER = ("fact_order.sql", "    note,", "    upper(note) AS note,")
NAME = ("dim_customer.sql", "c.name,", "upper(c.name) AS name,")


def dies(pipeline: Harness, boundary: str) -> None:
    sabotage = Sabotage(boundary, "before")
    with sabotage.armed(), suppress(KilledError):
        pipeline.transform()
    assert sabotage.fired, sabotage.reached


def lake_is_warehouse(pipeline: Harness) -> None:
    """Row by row, and none of them twice."""
    for table in pipeline.model.star_tables:
        query = f"SELECT count(*)::int FROM {pipeline.model.name}.{table.name}"
        assert pipeline.query(query, pipeline.warehouse()) == [(len(pipeline.lake(table.name)),)], table.name
    assert pipeline.differences() == []


def test_what_a_run_under_another_model_left_half_done_is_never_published(shop: Harness) -> None:
    shop.tick()
    shop.execute(
        "UPDATE orders SET note = 'changed' WHERE order_id = 1", "UPDATE orders SET due = 'x' WHERE order_id = 2"
    )
    shop.must_extract()
    # Everything of the run under the other model is written but its row in etl_batches; a year and a member besides.
    more = ("fact_order.sql", "    customer_id,", "    customer_id + 100 AS customer_id,")
    due = ("fact_order.sql", "due AS due_date", "replace(due, '2026', '2031') AS due_date")
    shop.turn(UPPER, NAME, more, due)
    dies(shop, "append etl_batches")
    assert {row["note"] for row in shop.versions(3)} == {"note 3", "NOTE 3"}
    shop.turn(UPPER, NAME, more, due, back=True)
    shop.transform()
    shop.load()
    assert [row["note"] for row in shop.versions(3)] == ["note 3"]
    assert [row["note"] for row in shop.versions(1)] == [None, "changed"]
    assert len(shop.lake("fact_order")) == 3001
    assert {row["name"] for row in shop.lake("dim_customer")} == {f"customer {i}" for i in range(1, 21)}
    assert {row["year"] for row in shop.lake("dim_date")} == {2026}
    assert [(row["key"], row["reason"]) for row in shop.lake("quarantine")] == [
        ("2", "due_date: 'x' is not a valid date")
    ]
    lake_is_warehouse(shop)
    # A compaction is no leftover of a run.
    fact = f"{shop.model.star_database}.fact_order"
    shop.spark.sql(f"CALL lake.system.rewrite_data_files(table => '{fact}', options => map('rewrite-all', 'true'))")
    shop.execute("UPDATE orders SET note = 'compacted' WHERE order_id = 1")
    shop.tick()
    operations = shop.spark.sql(
        f"SELECT operation FROM lake.{fact}.history h JOIN lake.{fact}.snapshots s USING (snapshot_id) "
        "WHERE is_current_ancestor ORDER BY made_current_at DESC"
    ).collect()
    assert [row[0] for row in operations][:2] == ["overwrite", "replace"]
    lake_is_warehouse(shop)


MODEL = ("source.yml", "star.yml", "fact_order.sql")
# A column and a table that the source had all the time, and that the model moves from now on: never NULL.
STAFF = (*SELLER, ("star.yml", "seller: {type: varchar, nullable: true", "seller: {type: varchar, nullable: false"))
WITHHELD = (
    "ALTER TABLE orders ADD COLUMN shelf text NOT NULL DEFAULT 'A'",
    "CREATE TABLE staff AS SELECT customer_id, 'seller ' || customer_id AS seller FROM customer",
    "ALTER TABLE staff ADD PRIMARY KEY (customer_id)",
    "GRANT SELECT ON staff TO PUBLIC",
)


def grown(pipeline: Harness) -> Harness:
    pipeline.execute("DELETE FROM orders WHERE order_id > 40", *WITHHELD)
    return pipeline


def change(pipeline: Harness, note: str) -> None:
    """A change, a delete, a bad row or its fixing, and a row of a customer who is not there."""
    number = 10 + len(note)
    pipeline.execute(
        f"UPDATE orders SET note = '{note}' WHERE order_id IN (1, 2)",
        f"UPDATE orders SET shelf = '{note}' WHERE order_id = 3",
        f"DELETE FROM orders WHERE order_id = {number}",
        f"UPDATE orders SET due = CASE WHEN due = 'x' THEN '2026-03-01' ELSE 'x' END WHERE order_id = {number + 10}",
        f"INSERT INTO orders SELECT 100 + {number}, 900, 1, '2026-03-01', NULL, created_at, last_updated FROM orders WHERE order_id = 1",
    )


def texts(pipeline: Harness) -> dict[str, str]:
    return {file: (pipeline.folder / file).read_text() for file in MODEL}


def write(pipeline: Harness, model: dict[str, str]) -> None:
    for file, text in model.items():
        (pipeline.folder / file).write_text(text)


def notes(pipeline: Harness, key: int, column: str = "note") -> list[object]:
    return [row[column] for row in pipeline.versions(key)]


def test_a_manifest_that_waited_while_the_model_grew_makes_no_false_versions(shop: Harness) -> None:
    grown(shop).tick()
    change(shop, "waits")
    shop.must_extract()
    shop.turn(*SHELF, *STAFF)
    shop.transform()
    # Only what happened: nothing is known of the new columns, and nothing was quarantined for that.
    assert [notes(shop, 1), notes(shop, 3), notes(shop, 4)] == [[None, "waits"], ["note 3"], [None]]
    assert [(row["key"], row["reason"]) for row in shop.lake("quarantine")] == [
        ("25", "due_date: 'x' is not a valid date")
    ]
    assert {(row["shelf"], row["seller"]) for row in shop.lake("fact_order")} == {(None, None)}
    change(shop, "landed")
    shop.tick()
    assert [notes(shop, 1), notes(shop, 3), notes(shop, 4)] == [[None, "waits", "landed"], ["note 3"], [None]]
    assert [(row["shelf"], row["seller"]) for row in shop.versions(1)] == [
        (None, None),
        (None, None),
        ("A", "seller 2"),
    ]
    assert [(row["shelf"], row["seller"]) for row in shop.versions(3)] == [("landed", "seller 4")]
    lake_is_warehouse(shop)
    # From now on a change of theirs is one like any other, and nothing else is.
    change(shop, "afterwards")
    shop.execute("UPDATE staff SET seller = 'S' WHERE customer_id = 5")
    shop.tick()
    assert notes(shop, 3, "shelf") == ["landed", "afterwards"]
    assert notes(shop, 4, "seller") == ["seller 5", "S"]
    assert [len(shop.versions(key)) for key in (5, 6, 23)] == [1, 1, 1]
    lake_is_warehouse(shop)
    # A rebuild, to which all but the last two manifests are older than the model, gives the same history.
    before = {name: contents(shop, name) for name in ("fact_order", "dim_customer", "quarantine")}
    shop.forget_lake()
    shop.transform()
    assert {name: contents(shop, name) for name in before} == before


def test_where_the_rows_depend_on_what_is_not_landed_the_table_waits(shop: Harness) -> None:
    grown(shop).tick()
    change(shop, "waits")
    shop.must_extract()
    shop.execute("UPDATE customer SET name = 'Z' WHERE customer_id = 3")  # nothing of orders: they wait on
    shop.must_extract()
    shop.turn(*SHELF, ("fact_order.sql", "FROM orders", "FROM orders WHERE shelf <> 'B'"))
    shop.transform()
    shop.load()
    assert [notes(shop, 1), notes(shop, 15)] == [[None], ["note 15"]]
    lake_is_warehouse(shop)
    change(shop, "landed")
    shop.tick()
    assert [notes(shop, 1), notes(shop, 3, "shelf")] == [[None, "landed"], ["landed"]]
    assert [row["is_deleted"] for row in shop.versions(15)] == [True]
    lake_is_warehouse(shop)


def test_what_was_landed_for_a_model_is_there_when_it_comes_back(shop: Harness) -> None:
    grown(shop).tick()
    model = texts(shop)
    shop.turn(*SHELF, *STAFF)
    change(shop, "landed")
    shop.must_extract()
    grew = texts(shop)
    write(shop, model)
    shop.transform()
    shop.load()
    write(shop, grew)
    change(shop, "afterwards")
    assert shop.tick().tables["orders"].mode == "delta"
    assert {row["shelf"] for row in shop.lake("fact_order") if row["is_current"]} == {"A", "afterwards"}
    assert [(row["note"], row["shelf"], row["seller"]) for row in shop.versions(1)] == [
        (None, None, None),
        ("landed", None, None),
        ("afterwards", "A", "seller 2"),
    ]
    assert [len(shop.versions(key)) for key in (3, 4, 5)] == [1, 1, 1]
    lake_is_warehouse(shop)
    # Bad rows were filled, too: fixed, they are what they were.
    shop.execute("UPDATE orders SET due = '2026-03-01' WHERE due = 'x'")
    shop.tick()
    assert [(row["version"], row["shelf"]) for key in (26, 30) for row in shop.versions(key)] == [(1, "A"), (1, "A")]


def contents(pipeline: Harness, name: str) -> list[str]:
    """Rows of a lake table, whatever the order of its columns."""
    return sorted(str(sorted(row.items())) for row in pipeline.lake(name))


NO_NOTE = (
    ("source.yml", "      note: {type: text, nullable: true, description: Note}\n", ""),
    ("star.yml", "      note: {type: varchar, nullable: true, description: Note}\n", ""),
    ("fact_order.sql", "    note,\n", ""),
)


def born(number: int, note: str) -> str:
    values = f"SELECT {number}, 3, 1, due, '{note}', created_at, last_updated FROM orders WHERE order_id = 1"
    return f"INSERT INTO orders (order_id, customer_id, amount, due, note, created_at, last_updated) {values}"


def test_a_column_that_comes_back_overwrites_nothing(shop: Harness) -> None:
    """Filled are versions that were written while it was away; to those that had it, another value is a change."""
    grown(shop).tick()
    model = texts(shop)
    shop.turn(*NO_NOTE)
    shop.execute("UPDATE orders SET note = 'changed while out' WHERE order_id = 3", born(500, "born"))
    shop.tick()
    shop.execute(born(501, "waits"))
    shop.must_extract()
    write(shop, model)
    shop.transform()
    shop.load()
    assert [notes(shop, key) for key in (3, 500, 501)] == [["note 3"], [None], [None]]
    shop.tick()
    assert [notes(shop, key) for key in (3, 500, 501)] == [["note 3", "changed while out"], ["born"], ["waits"]]
    lake_is_warehouse(shop)
    before = contents(shop, "fact_order")
    shop.forget_lake()
    shop.transform()
    assert contents(shop, "fact_order") == before


def test_trial_and_error_with_a_new_star_leaves_nothing(shop: Harness) -> None:
    grown(shop)
    star = (shop.folder / "star.yml").read_text()
    (shop.folder / "star.yml").write_text("{}\n")
    shop.tick()
    # The star comes, and its first run dies; corrected, it gets a column of a type that its values do not fit.
    (shop.folder / "star.yml").write_text(star)
    shop.turn(UPPER)
    shop.must_extract()
    dies(shop, "append etl_batches")
    shop.turn(UPPER, back=True)
    shop.turn(SHELF[0], ("fact_order.sql", "    note,", "    cast(shelf AS int) AS shelf,\n    note,"))
    shop.edit(
        "star.yml", "      note: {", "      shelf: {type: integer, nullable: true, description: Shelf}\n      note: {"
    )
    shop.must_extract()
    with pytest.raises(ModelError, match=r"fact_order\.sql: \[CAST_INVALID_INPUT"):
        shop.transform()
    shop.turn(
        ("star.yml", "shelf: {type: integer", "shelf: {type: varchar"),
        ("fact_order.sql", "cast(shelf AS int) AS", ""),
    )
    shop.transform()
    shop.load()
    assert [(row["note"], row["shelf"]) for row in shop.versions(3)] == [("note 3", "A")]
    lake_is_warehouse(shop)
    # Taken out, dropped by hand, put back: a table like any new one.
    star = (shop.folder / "star.yml").read_text()
    (shop.folder / "star.yml").write_text(star.split("facts:")[0])
    shop.tick()
    shop.spark.sql(f"DROP TABLE lake.{shop.model.star_database}.fact_order")
    with shop.warehouse().connect() as warehouse:
        warehouse.execute(f"DROP TABLE {shop.model.name}.fact_order CASCADE".encode())
    (shop.folder / "star.yml").write_text(star)
    shop.tick()
    assert [row["version"] for row in shop.versions(3)] == [1]
    lake_is_warehouse(shop)

"""What the load must bring that no batch tells of: a warehouse made anew, columns filled in, tables put back.

In the end of each test warehouse and lake are compared row by row, whatever loads were skipped on the way.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
from tidemark.base.errors import WarehouseError

from local_stack.postgres.server import Credentials as Database
from tests.integration.conftest import Harness

COLOUR = (
    ("source.yml", "      note: {", "      colour: {type: text, nullable: false, description: x}\n      note: {"),
    ("star.yml", "      note: {", "      colour: {type: varchar, nullable: false, description: x}\n      note: {"),
    ("fact_order.sql", "note,", "note, colour,"),
)
ADD_COLOUR = "ALTER TABLE orders ADD COLUMN colour text NOT NULL DEFAULT 'grey'"


def run(pipeline: Harness, *statements: str) -> None:
    """Do a tick without its load."""
    pipeline.execute(*statements)
    pipeline.must_extract()
    pipeline.transform()


def not_null(pipeline: Harness, table: str, database: Database) -> set[str]:
    relation = f"'{pipeline.model.name}.{table}'::regclass"
    query = f"SELECT attname::text FROM pg_attribute WHERE attrelid = {relation} AND attnum > 0 AND attnotnull"
    return {name for (name,) in pipeline.query(query, database)}


def test_a_warehouse_is_loaded_anew_though_old_rows_lack_new_columns(new_pipeline: Callable[[], Harness]) -> None:
    shop = new_pipeline()
    shop.tick()
    run(
        shop,
        "UPDATE orders SET note = 'second' WHERE order_id = 5",
        "DELETE FROM customer WHERE customer_id = 20",
        ADD_COLOUR,
        "ALTER TABLE customer ADD COLUMN level int NOT NULL DEFAULT 1",
    )
    shop.turn(*COLOUR)
    level = "      level: {type: integer, nullable: false, description: x}\n"
    shop.edit("source.yml", "      code: {", f"{level}      code: {{")
    shop.edit("star.yml", "      code: {", f"{level}      code: {{")
    shop.edit("dim_customer.sql", "c.code", "c.code, c.level")
    shop.tick()
    assert shop.differences() == []

    anew = shop.new_database("warehouse")
    shop.load(anew)
    assert shop.differences(anew) == []
    assert not_null(shop, "fact_order", anew) >= {"order_id", "amount", "due_date"}
    assert "colour" not in not_null(shop, "fact_order", anew), "the versions that had ended have none"
    assert not_null(shop, "dim_customer", anew) >= {"customer_id", "name"}
    assert "level" not in not_null(shop, "dim_customer", anew), "the customer who is gone has none"

    shop.edit("star.yml", "description: Orders, every version", "description: Orders")
    shop.execute("UPDATE orders SET colour = 'red' WHERE order_id = 5")
    shop.tick()
    shop.load(anew)
    assert shop.differences() == shop.differences(anew) == []


def test_a_column_that_was_filled_while_no_load_came_through_arrives_with_the_model_that_has_it_again(
    new_pipeline: Callable[[], Harness],
) -> None:
    shop = new_pipeline()
    shop.tick()
    shop.turn(*COLOUR)
    run(shop, ADD_COLOUR)
    shop.turn(*COLOUR, back=True)
    shop.tick()
    shop.turn(*COLOUR)
    shop.tick()
    assert {row["colour"] for row in shop.lake("fact_order")} == {"grey"}
    last = shop.reader_of_the_lake().last_batch()
    assert last is not None
    assert last.changes["fact_order"].backfilled == 0, "the lake had it all the time"
    assert shop.differences() == []


def test_a_quiet_table_is_loaded_anew_after_its_columns_were_widened(new_pipeline: Callable[[], Harness]) -> None:
    """Its last snapshot is older than the model, and so are the types of its rows."""
    shop = new_pipeline()
    shop.execute(
        "CREATE TABLE gauge (id int PRIMARY KEY, number int, share real, price numeric(6,2))",
        "INSERT INTO gauge VALUES (1, 7, 0.1, 1.25), (2, NULL, NULL, NULL)",
        "GRANT SELECT ON gauge TO PUBLIC",
    )
    columns = "".join(
        f"      {name}: {{type: '{kind}', description: x}}\n"
        for name, kind in {"id": "integer", "number": "integer", "share": "real", "price": "numeric(6,2)"}.items()
    )
    source = f"  gauge:\n    description: x\n    key: [id]\n    columns:\n{columns}"
    star = f"    description: x\n    key: id\n    from: gauge\n    columns:\n{columns}"
    shop.edit("source.yml", "tables:\n", f"tables:\n{source}")
    shop.edit("star.yml", "dimensions:\n", f"dimensions:\n  dim_gauge:\n{star}")
    shop.edit("star.yml", "facts:\n", f"facts:\n  fact_gauge:\n    surrogate_key: gauge_record_id\n{star}")
    for table in ("dim_gauge", "fact_gauge"):
        (shop.folder / f"{table}.sql").write_text("SELECT id, number, share, price FROM gauge")
    shop.tick()
    for file in ("source.yml", "star.yml"):
        shop.edit(file, "number: {type: 'integer'", "number: {type: 'bigint'")
        shop.edit(file, "share: {type: 'real'", "share: {type: 'double precision'")
        shop.edit(file, "price: {type: 'numeric(6,2)'", "price: {type: 'numeric(8,2)'")
    shop.tick()
    assert shop.lake_table("fact_gauge").scan().to_arrow().num_rows == 2
    anew = shop.new_database("warehouse")
    shop.load(anew)
    assert shop.differences() == shop.differences(anew) == []


def test_a_run_of_another_model_is_not_loaded(new_pipeline: Callable[[], Harness]) -> None:
    shop = new_pipeline()
    shop.tick()
    run(shop, "UPDATE orders SET note = 'second' WHERE order_id = 5")
    shop.edit("star.yml", "description: Orders, every version", "description: Orders")
    with pytest.raises(
        WarehouseError,
        match=r"^batch 2 of the lake was made with another model than this one, which was changed since; "
        r"expected: digest \w{12}, found \w{12}; to do: nothing: the next tick applies the new model; "
        r"nothing was committed\.$",
    ):
        shop.load()
    ledger = "SELECT max(batch) FROM etl.load_ledger"
    assert shop.query(ledger, shop.warehouse()) == [(1,)]
    assert shop.pending() == ["0000000002"]
    shop.tick()
    assert shop.query(ledger, shop.warehouse()) == [(3,)]
    assert shop.differences() == []

    shop.edit("star.yml", "description: Orders", "description: All orders")
    assert shop.load() == 3, "nothing is left to load, so nothing is wrong"
    assert shop.query(ledger, shop.warehouse()) == [(3,)]
    assert shop.pending() == []


def test_a_column_is_filled_though_the_load_of_that_run_was_skipped(new_pipeline: Callable[[], Harness]) -> None:
    shop = new_pipeline()
    shop.tick()
    shop.turn(*COLOUR)
    run(shop, ADD_COLOUR, "UPDATE orders SET note = 'x' WHERE order_id = 5")
    run(shop, "UPDATE orders SET colour = 'red' WHERE order_id = 7")
    with shop.warehouse().connect() as warehouse:  # as an earlier load of the same model leaves it
        warehouse.execute(f"ALTER TABLE {shop.model.name}.fact_order ADD COLUMN colour varchar".encode())
    shop.load()
    query = f"SELECT order_id, version, colour FROM {shop.model.name}.fact_order WHERE order_id IN (7, 8) ORDER BY 1, 2"
    assert shop.query(query, shop.warehouse()) == [(7, 1, "grey"), (7, 2, "red"), (8, 1, "grey")]
    assert shop.differences() == []

    # The warehouse has the column; it is taken out of the model, its values change, and it is put back.
    shop.turn(*COLOUR, back=True)
    run(shop, "UPDATE orders SET colour = 'blue' WHERE order_id = 7")
    shop.load()
    shop.turn(*COLOUR)
    run(shop, "UPDATE orders SET note = 'y' WHERE order_id = 9")
    run(shop, "UPDATE orders SET note = 'z' WHERE order_id = 9")
    shop.load()
    assert shop.differences() == []


@pytest.mark.parametrize("dropped", [False, True], ids=["kept", "dropped"])
def test_tables_that_are_taken_out_of_the_model_and_put_back(
    new_pipeline: Callable[[], Harness], dropped: bool
) -> None:
    shop = new_pipeline()
    shop.tick()
    # A run that is never loaded as such: versions closed and opened, a row gone, another year, a member renamed.
    run(
        shop,
        "UPDATE orders SET note = 'second' WHERE order_id IN (5, 6)",
        "UPDATE orders SET due = '2031-05-05' WHERE order_id = 7",
        "UPDATE customer SET name = 'other' WHERE customer_id = 3",
        "DELETE FROM orders WHERE order_id = 8",
    )
    whole = (shop.folder / "star.yml").read_text()
    country = (
        "dimensions:\n  dim_country:\n    description: x\n    key: country_id\n    from: country\n    columns:\n"
        "      country_id: {type: integer, nullable: false, description: x}\n"
    )
    (shop.folder / "star.yml").write_text(country)
    (shop.folder / "dim_country.sql").write_text("SELECT country_id FROM country")
    run(shop, "UPDATE orders SET note = 'third' WHERE order_id = 5", "DELETE FROM orders WHERE order_id = 9")
    shop.load()
    shop.execute("UPDATE orders SET note = 'fourth' WHERE order_id = 5", "DELETE FROM orders WHERE order_id = 6")
    shop.tick()
    star = shop.model.name
    if dropped:
        with shop.warehouse().connect() as warehouse:
            for table in ("fact_order", "dim_customer", "dim_date"):
                warehouse.execute(f"DROP TABLE {star}.{table} CASCADE".encode())
    (shop.folder / "star.yml").write_text(whole)
    shop.tick()
    assert shop.differences() == []
    years = f"SELECT DISTINCT year FROM {star}.dim_date ORDER BY year"
    assert shop.query(years, shop.warehouse()) == [(2026,), (2031,)]
    numbers = (
        f"SELECT order_id, max(version) FROM {star}.fact_order WHERE order_id IN (5, 6, 8, 9) GROUP BY 1 ORDER BY 1"
    )
    assert shop.query(numbers, shop.warehouse()) == [(5, 3), (6, 2), (8, 1), (9, 1)]
    current = f"SELECT order_id FROM {star}.fact_order_current WHERE order_id IN (5, 6, 8, 9)"
    assert shop.query(current, shop.warehouse()) == [(5,)]
    shop.execute("UPDATE orders SET note = 'fifth' WHERE order_id = 5")
    shop.tick()
    assert shop.differences() == []


def test_references_come_and_go_with_the_model(new_pipeline: Callable[[], Harness]) -> None:
    """A foreign key that the model no longer wants would refuse rows; one that it wants later, an old version's row."""
    shop = new_pipeline()
    references = (
        ("star.yml", "due_date: {type: date, nullable: false, references: dim_date", "due_date: {type: date"),
        ("star.yml", "references: dim_customer, description: Customer}", "description: Who bought}"),
    )
    shop.tick()
    shop.turn(*references)
    shop.execute("UPDATE orders SET due = '1999-09-09', customer_id = 777 WHERE order_id = 5")
    shop.tick()
    assert shop.differences() == []
    left = (
        f"SELECT conkey FROM pg_constraint WHERE contype = 'f' AND conrelid = '{shop.model.name}.fact_order'::regclass"
    )
    assert len(shop.query(left, shop.warehouse())) == 1, "the one that the model still has"

    shop.execute("UPDATE orders SET due = '2026-03-01' WHERE order_id = 5")
    shop.tick()
    shop.turn(*references, back=True)
    shop.tick()
    assert [row["customer_id"] for row in shop.lake("dim_customer") if row["is_inferred"]] == [777]
    anew = shop.new_database("warehouse")
    shop.load(anew)
    assert shop.differences() == shop.differences(anew) == []
    assert len(shop.query(left, anew)) == 3

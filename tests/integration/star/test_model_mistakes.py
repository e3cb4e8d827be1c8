"""Mistakes in a star's SQL that only its data shows: one sentence, nothing recorded, fixed by fixing the file."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tidemark.base.errors import ModelError

if TYPE_CHECKING:
    from tests.integration.conftest import Harness


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("    amount,", "    amount / (order_id - 7) AS amount,", r"fact_order\.sql: \[DIVIDE_BY_ZERO.*try_cast"),
        ("    note,", "    cast(note AS int) AS note,", r"fact_order\.sql: \[CAST_INVALID_INPUT.*try_cast"),
        (
            "    order_id,",
            "    order_id % 10 + 1 AS order_id,",
            r"fact_order\.sql gives 300 rows for order_id \d+; expected: one",
        ),
        (
            "    order_id,",
            "    greatest(order_id, 2) AS order_id,",
            r"fact_order\.sql gives 2 rows for order_id 2; expected",
        ),
    ],
)
def test_sql_that_only_the_data_refuses(shop: Harness, old: str, new: str, message: str) -> None:
    shop.edit("fact_order.sql", old, new)
    shop.must_extract()
    with pytest.raises(ModelError, match=message):
        shop.transform()
    assert shop.reader_of_the_lake().last_batch() is None
    shop.edit("fact_order.sql", new, old)
    shop.transform()
    assert shop.load() == 1
    assert shop.query(f"SELECT count(*) FROM {shop.model.name}.fact_order", shop.warehouse()) == [(3000,)]


def test_a_row_without_a_key_waits_in_quarantine_whatever_the_model_allows(shop: Harness) -> None:
    shop.edit("fact_order.sql", "    order_id,", "    nullif(order_id, 7) AS order_id,")
    shop.edit("star.yml", "order_id: {type: integer, nullable: false", "order_id: {type: integer, nullable: true")
    shop.tick()
    (entry,) = shop.reader_of_the_lake().quarantined()
    assert (entry["key"], entry["reason"]) == ("NULL", "order_id is NULL")
    shop.execute("UPDATE orders SET note = 'again' WHERE order_id IN (7, 8)")
    shop.tick()
    assert len(shop.lake("fact_order")) == 3000, "2,999 and the second version of order 8"


def test_rows_without_a_key_are_counted_and_come_and_go(shop: Harness) -> None:
    """Nobody can tell which of them a change meant, so the table is then looked at as a whole; every tick is loaded."""
    columns = "customer_id, amount, due, note, created_at, last_updated"
    shop.edit(
        "fact_order.sql", "    order_id,", "    CASE WHEN coalesce(note, '') <> 'lost' THEN order_id END AS order_id,"
    )
    shop.edit("star.yml", "order_id: {type: integer, nullable: false", "order_id: {type: integer, nullable: true")
    shop.execute(
        "DELETE FROM orders WHERE order_id > 20",
        "UPDATE orders SET note = 'lost' WHERE order_id IN (1, 3)",
        f"UPDATE orders SET ({columns}) = (SELECT {columns} FROM orders WHERE order_id = 1) WHERE order_id = 2",
    )
    shop.tick()
    assert keyless(shop) == [(1, 1, None), (1, 2, None)]
    assert len(shop.lake("fact_order")) == 17

    shop.execute("UPDATE orders SET note = 'another' WHERE order_id = 8")
    shop.tick()
    assert keyless(shop) == [(1, 1, None), (1, 2, None)], "they are as they were"
    assert len(shop.versions(8)) == 2

    shop.execute(
        "UPDATE orders SET note = NULL WHERE order_id = 2", "UPDATE orders SET note = 'lost' WHERE order_id = 9"
    )
    shop.tick()
    assert keyless(shop) == [(1, 1, None), (1, 2, 3), (3, 1, None), (3, 1, None)]
    assert [row["is_current"] for row in shop.versions(2)] == [True]
    assert [(row["is_current"], row["is_deleted"]) for row in shop.versions(9)] == [(False, True)]

    shop.execute("DELETE FROM orders WHERE order_id = 3", "UPDATE orders SET note = NULL WHERE note = 'lost'")
    shop.tick()
    assert {resolved for _, _, resolved in keyless(shop)} == {3, 4}
    assert shop.query(f"SELECT count(*) FROM {shop.model.name}.fact_order_current", shop.warehouse()) == [(19,)]


def test_a_row_that_loses_its_key_is_seen_where_only_changed_rows_are(shop: Harness) -> None:
    shop.edit("fact_order.sql", "    order_id,", "    nullif(order_id, length(note)) AS order_id,")
    shop.edit("star.yml", "order_id: {type: integer, nullable: false", "order_id: {type: integer, nullable: true")
    shop.execute("DELETE FROM orders WHERE order_id > 20", "UPDATE orders SET note = NULL")
    shop.tick()
    assert len(shop.lake("fact_order")) == 20
    shop.execute("UPDATE orders SET note = 'one' WHERE order_id = 3", "UPDATE orders SET amount = 1 WHERE order_id = 4")
    shop.tick()
    assert keyless(shop) == [(2, 1, None)]
    assert [row["is_current"] for row in shop.versions(3)] == [False]
    assert [row["is_current"] for row in shop.versions(4)] == [False, True]


def test_entries_of_a_lake_that_did_not_count_rows_without_a_key_are_resolved_too(shop: Harness) -> None:
    shop.edit("fact_order.sql", "    order_id,", "    nullif(order_id, length(note)) AS order_id,")
    shop.edit("star.yml", "order_id: {type: integer, nullable: false", "order_id: {type: integer, nullable: true")
    shop.execute(
        "DELETE FROM orders WHERE order_id > 20",
        "UPDATE orders SET note = CASE WHEN order_id = 3 THEN 'one' END",
        "UPDATE orders SET due = 'soon' WHERE order_id IN (5, 6)",
    )
    shop.tick()
    shop.spark.sql(f"ALTER TABLE lake.{shop.model.star_database}.quarantine DROP COLUMN keyless_rows")
    shop.execute("DELETE FROM orders WHERE order_id = 5", "UPDATE orders SET amount = 1 WHERE order_id = 4")
    shop.tick()
    found = {(row["key"], row["batch"], row["resolved_batch"]) for row in shop.lake("quarantine")}
    assert found == {("NULL", 1, None), ("5", 1, 2), ("6", 1, None)}
    shop.execute("DELETE FROM orders WHERE order_id IN (3, 6)")
    shop.tick(accept="*")
    assert shop.reader_of_the_lake().quarantined() == []


def keyless(shop: Harness) -> list[tuple[int, int, int | None]]:
    """Batch, number of rows and the batch that resolved them, of entries whose key is NULL."""
    rows = [row for row in shop.lake("quarantine") if row["key"] == "NULL"]
    assert {row["reason"] for row in rows} == {"order_id is NULL"}
    return sorted(((row["batch"], row["keyless_rows"], row["resolved_batch"]) for row in rows), key=str)


def test_keys_that_the_star_cannot_hold_wait_in_quarantine_each_by_itself(shop: Harness) -> None:
    shop.execute(
        "DELETE FROM orders WHERE order_id > 20",
        "ALTER TABLE orders ALTER COLUMN order_id TYPE bigint",
        "UPDATE orders SET order_id = order_id + 3000000000 WHERE order_id IN (7, 8)",
    )
    shop.tick()
    wait = {
        "3000000007": "order_id: '3000000007' is not a valid integer",
        "3000000008": "order_id: '3000000008' is not a valid integer",
    }
    assert {row["key"]: row["reason"] for row in shop.reader_of_the_lake().quarantined()} == wait
    shop.execute("UPDATE orders SET order_id = 7 WHERE order_id = 3000000007", "DELETE FROM orders WHERE order_id = 1")
    shop.tick()
    assert [row["key"] for row in shop.reader_of_the_lake().quarantined()] == ["3000000008"]
    shop.execute("DELETE FROM orders WHERE order_id = 3000000008", "UPDATE orders SET due = 'x' WHERE order_id = 9")
    shop.tick()
    assert [row["key"] for row in shop.reader_of_the_lake().quarantined()] == ["9"]
    assert len(shop.versions(9)) == 1


def test_sql_in_which_rows_of_the_driver_meet_is_evaluated_over_all_of_them(shop: Harness) -> None:
    """The number of a customer's orders, and the order before: a changed row changes what others say."""
    shop.execute("DELETE FROM orders WHERE order_id > 60")
    shop.edit(
        "fact_order.sql",
        "    note,",
        "    concat_ws(' ', count(*) OVER (PARTITION BY customer_id), "
        "(SELECT max(p.order_id) FROM orders p WHERE p.order_id < orders.order_id)) AS note,",
    )
    shop.tick()
    assert [row["note"] for row in shop.versions(21)] == ["3 20"]
    shop.execute("DELETE FROM orders WHERE order_id = 20", "UPDATE orders SET customer_id = 2 WHERE order_id = 50")
    shop.tick()
    assert {key: [row["note"] for row in shop.versions(key)] for key in (21, 41, 10, 30)} == {
        21: ["3 20", "4 19"],
        41: ["3 40", "4 40"],
        10: ["3 9", "2 9"],
        30: ["3 29", "2 29"],
    }
    assert len(shop.versions(5)) == 1


def test_a_key_that_the_sql_makes_is_refused_as_soon_as_the_source_has_no_such_key(shop: Harness) -> None:
    shop.edit("dim_customer.sql", "c.customer_id,", "cast(trim(c.customer_id) AS int) AS customer_id,")
    shop.tick()
    shop.edit("dim_customer.sql", "cast(trim(c.customer_id) AS int)", "c.customer_id + c.country_id * 0")
    shop.execute("UPDATE customer SET name = 'new' WHERE customer_id = 3")
    shop.tick()
    shop.edit("dim_customer.sql", "c.country_id * 0", "20 * (c.country_id - 1)")
    shop.execute("UPDATE customer SET name = 'newer' WHERE customer_id = 3")
    shop.must_extract()
    with pytest.raises(
        ModelError, match=r"dim_customer\.sql gives customer_id \d+, which is not a key of customer there"
    ):
        shop.transform()
    assert len(shop.lake("dim_customer")) == 20


def test_a_key_that_the_source_made_a_text_waits_if_it_is_no_number(shop: Harness) -> None:
    shop.execute("DELETE FROM orders WHERE order_id > 20")
    shop.tick()
    shop.execute("ALTER TABLE orders ALTER COLUMN order_id TYPE text")
    shop.edit("source.yml", "order_id: {type: integer", "order_id: {type: text")
    shop.tick()
    shop.execute(
        "INSERT INTO orders SELECT 'abc', customer_id, amount, due, note, created_at, last_updated FROM orders LIMIT 1",
        "UPDATE orders SET note = 'seen' WHERE order_id = '7'",
        "DELETE FROM orders WHERE order_id = '5'",
    )
    shop.tick()
    (entry,) = shop.reader_of_the_lake().quarantined()
    assert (entry["key"], entry["reason"]) == ("abc", "order_id: 'abc' is not a valid integer")
    assert [row["note"] for row in shop.versions(7)] == [None, "seen"]
    assert [len(shop.versions(key)) for key in (1, 5)] == [1, 1]
    assert shop.versions(5)[0]["is_deleted"]


def test_one_row_made_two_is_noticed_though_one_of_them_is_there_already(shop: Harness) -> None:
    shop.edit("fact_order.sql", "    note,", "    explode(split(coalesce(note, '-'), ',')) AS note,")
    shop.execute("DELETE FROM orders WHERE order_id > 20")
    shop.tick()
    shop.execute("UPDATE orders SET note = 'note 3,b' WHERE order_id = 3")
    shop.must_extract()
    with pytest.raises(ModelError, match=r"fact_order\.sql gives 2 rows for order_id 3"):
        shop.transform()

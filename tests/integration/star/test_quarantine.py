"""Rows that break the star's contract: kept aside with the reason, never in the way, resolved when the source fixes them."""

from __future__ import annotations

import json
from typing import Any

from tests.integration.conftest import Harness


def entries(shop: Harness) -> list[tuple[Any, ...]]:
    rows = sorted(shop.lake("quarantine"), key=lambda row: (row["batch"], row["table_name"], row["key"]))
    return [(row["table_name"], row["key"], row["batch"], row["reason"], row["resolved_batch"]) for row in rows]


def test_bad_rows_wait_and_pass_once_they_are_mended(shop: Harness) -> None:
    """Every tick is loaded, too: source, lake and warehouse reconcile with what is held back."""
    star = shop.model.name
    shop.execute(
        "UPDATE orders SET due = '2026-02-30' WHERE order_id = 1",
        "UPDATE customer SET code = 'no number' WHERE customer_id = 7",
    )
    shop.tick()
    bad_date = "due_date: '2026-02-30' is not a valid date"
    bad_code = "code: 'no number' is not a valid integer"
    assert entries(shop) == [("dim_customer", "7", 1, bad_code, None), ("fact_order", "1", 1, bad_date, None)]
    kept = {row["table_name"]: json.loads(row["row"]) for row in shop.lake("quarantine")}
    assert kept["fact_order"]["due_date"] == "2026-02-30"
    assert kept["dim_customer"] == {"customer_id": 7, "name": "customer 7", "country": "Erewhon", "code": "no number"}
    assert shop.versions(1) == []
    assert len(shop.lake("fact_order")) == 2999
    inferred = [row for row in shop.lake("dim_customer") if row["is_inferred"]]
    assert [(row["customer_id"], row["name"], row["country"], row["code"]) for row in inferred] == [
        (7, "Unknown", None, None)
    ]
    assert shop.query(
        f"SELECT customer_id, name, is_inferred FROM {star}.dim_customer WHERE is_inferred", shop.warehouse()
    ) == [(7, "Unknown", True)]

    # The same state again is no new entry; a good row that turns bad keeps its last good version; another reason is one.
    shop.execute(
        "UPDATE orders SET due = 'soon' WHERE order_id = 2",
        "UPDATE orders SET due = '2026-02-31' WHERE order_id = 1",
        "UPDATE customer SET code = '2147483648' WHERE customer_id = 8",
    )
    shop.tick(full=True)
    assert entries(shop) == [
        ("dim_customer", "7", 1, bad_code, None),
        ("fact_order", "1", 1, bad_date, 2),
        ("dim_customer", "8", 2, "code: '2147483648' is not a valid integer", None),
        ("fact_order", "1", 2, "due_date: '2026-02-31' is not a valid date", None),
        ("fact_order", "2", 2, "due_date: 'soon' is not a valid date", None),
    ]
    assert [(row["version"], row["is_current"]) for row in shop.versions(2)] == [(1, True)]
    assert [row["code"] for row in shop.lake("dim_customer") if row["customer_id"] == 8] == [8]

    # Mended, and gone: both resolve. Nothing is ever removed.
    shop.execute(
        "UPDATE orders SET due = '2026-02-28' WHERE order_id = 2",
        "DELETE FROM orders WHERE order_id = 1",
        "UPDATE customer SET code = '70' WHERE customer_id = 7",
    )
    shop.tick()
    assert [(table, key, batch, resolved) for table, key, batch, _, resolved in entries(shop)] == [
        ("dim_customer", "7", 1, 3),
        ("fact_order", "1", 1, 2),
        ("dim_customer", "8", 2, None),
        ("fact_order", "1", 2, 3),
        ("fact_order", "2", 2, 3),
    ]
    assert [(row["version"], str(row["due_date"])) for row in shop.versions(2)] == [
        (1, "2026-03-01"),
        (2, "2026-02-28"),
    ]
    (seven,) = [row for row in shop.lake("dim_customer") if row["customer_id"] == 7]
    assert (seven["name"], seven["code"], seven["is_inferred"], seven["recorded_batch"]) == ("customer 7", 70, False, 3)
    assert shop.query(
        f"SELECT name, code, is_inferred FROM {star}.dim_customer WHERE customer_id = 7", shop.warehouse()
    ) == [("customer 7", 70, False)]
    assert shop.query(f"SELECT count(*) FROM {star}.fact_order_current", shop.warehouse()) == [(2999,)]

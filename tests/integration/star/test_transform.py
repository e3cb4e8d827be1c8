"""The transform alone: pending manifests in order, each exactly once, and commits only where something changed."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
from tidemark.base import storage
from tidemark.base.errors import LandingError
from tidemark.lake.batches import TableChange
from tidemark.lake.reader import LakeReader

from tests.integration.conftest import PROCESSED, Harness


def changed(shop: Harness, before: dict[str, int | None]) -> set[str]:
    now = shop.snapshots()
    return {name for name in now if now[name] != before.get(name)}


@pytest.mark.usefixtures("either_way")
def test_a_lake_follows_its_source_tick_by_tick(shop: Harness) -> None:
    first = shop.must_extract()
    assert shop.transform() == [1]
    assert shop.transform() == []
    rows = shop.lake("fact_order")
    assert len(rows) == 3000
    assert {(row["version"], row["is_current"], row["is_deleted"], row["recorded_batch"]) for row in rows} == {
        (1, True, False, 1)
    }
    (row,) = shop.versions(9)
    assert row == {
        "order_id": 9,
        "created_date": date(2026, 1, 10),
        "created_time": "09:09:00.000000",
        "customer_id": 10,
        "amount": Decimal("11.25"),
        "due_date": date(2026, 3, 1),
        "note": "note 9",
        "version": 1,
        "valid_from": datetime(2026, 1, 10, 9, 9, tzinfo=UTC),
        "valid_to": None,
        "is_current": True,
        "is_deleted": False,
        "recorded_batch": 1,
        "closed_batch": None,
        "_updated_at": datetime(2026, 1, 10, 9, 9, tzinfo=UTC),
    }
    customers = {row["customer_id"]: row for row in shop.lake("dim_customer")}
    assert len(customers) == 20
    assert customers[2] == {
        "customer_id": 2,
        "name": "customer 2",
        "country": "Utopia",
        "code": 2,
        "is_deleted": False,
        "is_inferred": False,
        "recorded_batch": 1,
    }
    assert [row["date_id"] for row in shop.lake("dim_date")] == [
        date(2026, 1, 1) + timedelta(days=n) for n in range(365)
    ]
    for table in ("country", "customer", "orders"):
        assert {row["_batch"] for row in shop.lake(table, source=True)} == {1}

    # A manifest without any change (here: one asked for) commits nothing but its row in etl_batches.
    before = shop.snapshots()
    shop.must_extract(full=True)
    assert shop.transform() == [2]
    assert changed(shop, before) == {"star.etl_batches"}

    # One silent change: one mirror, one fact.
    before = shop.snapshots()
    shop.execute("UPDATE orders SET due = '2026-04-01' WHERE order_id = 9")
    third = shop.must_extract()
    assert shop.transform() == [3]
    assert changed(shop, before) == {"source.orders", "star.fact_order", "star.etl_batches"}
    one, two = shop.versions(9)
    cut = datetime.fromisoformat(third.cut.time)
    assert (one["valid_to"], one["is_current"], one["closed_batch"], one["is_deleted"]) == (cut, False, 3, False)
    assert (two["valid_from"], two["is_current"], two["recorded_batch"], two["version"]) == (cut, True, 3, 2)
    assert two["due_date"] == date(2026, 4, 1)

    # Two manifests that wait are applied one after the other: no version between is lost.
    shop.execute("UPDATE orders SET note = 'a' WHERE order_id = 9")
    shop.must_extract()
    shop.execute(
        "UPDATE orders SET note = 'b', due = '2027-01-01' WHERE order_id = 9", "DELETE FROM orders WHERE order_id = 10"
    )
    fifth = shop.must_extract()
    assert shop.transform() == [4, 5]
    assert [(row["note"], row["recorded_batch"], row["closed_batch"]) for row in shop.versions(9)] == [
        ("note 9", 1, 3),
        ("note 9", 3, 4),
        ("a", 4, 5),
        ("b", 5, None),
    ]
    (gone,) = shop.versions(10)
    assert (gone["valid_to"], gone["is_deleted"], gone["closed_batch"]) == (
        datetime.fromisoformat(fifth.cut.time),
        True,
        5,
    )
    assert len(shop.lake("dim_date")) == 730, "the years that the facts touch"
    assert len(shop.lake("orders", source=True)) == 2999

    # What a dimension joins changes it; a row that is gone stays, flagged; a key that changes is one of each.
    before = shop.snapshots()
    shop.execute(
        "UPDATE country SET label = 'Nowhere' WHERE country_id = 2", "DELETE FROM customer WHERE customer_id = 20"
    )
    shop.execute(
        "UPDATE orders SET order_id = 9999 WHERE order_id = 11",
        "INSERT INTO orders SELECT 10, 1, 1, due, NULL, created_at, last_updated FROM orders WHERE order_id = 12",
    )
    shop.must_extract()
    shop.transform()
    assert changed(shop, before) == {
        *("source.country", "source.customer", "source.orders"),
        *("star.dim_customer", "star.fact_order", "star.etl_batches"),
    }
    customers = {row["customer_id"]: row for row in shop.lake("dim_customer")}
    assert {(row["country"], row["recorded_batch"]) for key, row in customers.items() if key % 2} == {("Nowhere", 6)}
    assert {row["recorded_batch"] for key, row in customers.items() if not key % 2 and key != 20} == {1}
    assert (customers[20]["is_deleted"], customers[20]["name"], customers[20]["recorded_batch"]) == (
        True,
        "customer 20",
        6,
    )
    assert [row["is_deleted"] for row in shop.versions(11)] == [True]
    assert [row["version"] for row in shop.versions(9999)] == [1]
    old, back = shop.versions(10)
    assert (old["is_deleted"], back["version"], back["is_current"]) == (True, 2, True)
    assert back["valid_from"] >= old["valid_to"]

    runs = LakeReader(shop.model, PROCESSED).batches()
    assert [run.batch for run in runs] == [1, 2, 3, 4, 5, 6]
    assert {run.lake_id for run in runs} == {first.lake_id}
    assert runs[-1].changes["fact_order"] == TableChange(new=2, deleted=1)
    assert {name: number for name, number in runs[-1].snapshots.items() if number} == {
        name.removeprefix("star."): number
        for name, number in shop.snapshots().items()
        if name in ("star.dim_customer", "star.dim_date", "star.fact_order")
    }

    # A lake takes no manifest of another landing area.
    shop.execute("UPDATE orders SET note = 'x' WHERE order_id = 12")
    other = replace(shop.must_extract(), lake_id="other")
    storage.put(f"{shop.landing.uri}/manifests/0000000007.json", other.to_json())
    before = shop.snapshots()
    with pytest.raises(
        LandingError, match=r"^manifest 7 in s3://lake/landing-\d+ belongs to another landing area than"
    ):
        shop.transform()
    assert changed(shop, before) == set()


class KilledError(Exception):
    """The process dies here."""


def killed(*_: object) -> None:
    raise KilledError


def test_a_run_killed_anywhere_is_simply_done_again(shop: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    shop.tick()
    shop.execute(
        "INSERT INTO orders VALUES (4001, 77, 1, '2031-05-05', 'unknown customer, new year', '2026-02-02', '2026-02-02')",
        "INSERT INTO orders VALUES (4002, 1, 1, '2026-02-30', 'bad', '2026-02-02', '2026-02-02')",
        "UPDATE orders SET note = 'x' WHERE order_id = 5",
        "DELETE FROM orders WHERE order_id = 6",
    )
    shop.must_extract()
    for step in (
        "star.refresh.refresh",
        "star.inferred_members.add_missing",
        "star.quarantine.record",
        "jobs.transform.commit_batch",
    ):
        with monkeypatch.context() as patched:
            patched.setattr(f"tidemark.{step}", killed)
            with pytest.raises(KilledError):
                shop.transform()
    assert shop.transform() == [2]
    assert shop.load() == 2
    assert [(row["note"], row["recorded_batch"], row["closed_batch"]) for row in shop.versions(5)] == [
        (None, 1, 2),
        ("x", 2, None),
    ]
    assert [(row["is_deleted"], row["closed_batch"]) for row in shop.versions(6)] == [(True, 2)]
    inferred = [row for row in shop.lake("dim_customer") if row["is_inferred"]]
    assert [(row["customer_id"], row["name"]) for row in inferred] == [(77, "Unknown")]
    assert {row["year"] for row in shop.lake("dim_date")} == {2026, 2031}
    assert [(row["key"], row["batch"], row["resolved_batch"]) for row in shop.lake("quarantine")] == [("4002", 2, None)]


def test_a_model_that_grew_while_a_manifest_was_waiting(shop: Harness) -> None:
    """The waiting manifest knows neither the new column nor the new table; the next one brings both."""
    shop.execute(
        "ALTER TABLE customer ADD COLUMN phone text DEFAULT '0'",
        "CREATE TABLE colour (colour_id int PRIMARY KEY, label text NOT NULL)",
        "INSERT INTO colour VALUES (1, 'red')",
        "GRANT SELECT ON colour TO shop_reader",
    )
    shop.tick()
    shop.execute("UPDATE customer SET name = 'Ann' WHERE customer_id = 1")
    shop.must_extract()
    shop.edit(
        "source.yml",
        "      code: {",
        "      phone: {type: text, nullable: true, description: Telephone}\n      code: {",
    )
    shop.edit(
        "source.yml",
        "tables:\n",
        "tables:\n  colour:\n    description: Colours\n    key: [colour_id]\n    columns:\n"
        "      colour_id: {type: integer, nullable: false, description: Key}\n"
        "      label: {type: text, nullable: false, description: Name}\n",
    )
    shop.edit(
        "star.yml", "      code: {", "      phone: {type: varchar, nullable: true, description: Phone}\n      code: {"
    )
    shop.edit(
        "star.yml",
        "dimensions:\n",
        "dimensions:\n  dim_colour:\n    description: Colours\n    key: colour_id\n    from: colour\n    columns:\n"
        "      colour_id: {type: integer, nullable: false, description: Colour}\n"
        "      label: {type: varchar, nullable: false, description: Name}\n",
    )
    (shop.folder / "dim_colour.sql").write_text("SELECT colour_id, label FROM colour")
    shop.edit("dim_customer.sql", "c.code", "c.code, c.phone")
    shop.must_extract()
    assert shop.transform() == [2, 3]
    assert shop.load() == 3
    customers = {row["customer_id"]: row for row in shop.lake("dim_customer")}
    assert (customers[1]["name"], customers[1]["phone"], customers[2]["phone"]) == ("Ann", "0", "0")
    assert [(row["colour_id"], row["label"]) for row in shop.lake("dim_colour")] == [(1, "red")]
    assert shop.query(
        f"SELECT name, phone FROM {shop.model.name}.dim_customer WHERE customer_id = 1", shop.warehouse()
    ) == [("Ann", "0")]


def test_csv_and_a_facts_sql_that_filters(shop: Harness) -> None:
    """A row that the SQL no longer lets through ends; texts that CSV could break pass unharmed."""
    shop.edit(
        "star.yml", "    surrogate_key: order_record_id", "    surrogate_key: order_record_id\n    filtered: true"
    )
    shop.edit("fact_order.sql", "FROM orders", "FROM orders WHERE amount < 100")
    shop.tick(landing_format="csv")
    assert len(shop.lake("fact_order")) == 79
    shop.execute(
        "UPDATE orders SET amount = 200 WHERE order_id = 5",
        "UPDATE orders SET amount = 20 WHERE order_id = 90",
        "UPDATE orders SET note = E'%N, \"x\"\\n' WHERE order_id = 7",
        "DELETE FROM orders WHERE order_id = 6",
    )
    shop.tick(landing_format="csv")
    assert [(row["is_deleted"], row["closed_batch"]) for row in shop.versions(5)] == [(True, 2)]
    assert [(row["is_deleted"], row["closed_batch"]) for row in shop.versions(6)] == [(True, 2)]
    assert [row["note"] for row in shop.versions(7)] == [None, '%N, "x"\n']
    assert [(row["version"], row["is_current"]) for row in shop.versions(90)] == [(1, True)]
    assert len(shop.lake("orders", source=True)) == 2999


def test_a_key_that_became_wider_and_then_only_deletes(shop: Harness) -> None:
    shop.tick()
    shop.execute("ALTER TABLE orders ALTER COLUMN order_id TYPE bigint")
    shop.must_extract()
    shop.execute("DELETE FROM orders WHERE order_id = 6")
    shop.must_extract()
    assert shop.transform() == [2, 3]
    assert shop.load() == 3
    assert [(row["is_deleted"], row["closed_batch"]) for row in shop.versions(6)] == [(True, 3)]
    assert len(shop.lake("fact_order")) == 3000, "identical rows make no versions"

"""The source's past: determinism, volumes and relations of the simulated history; the real snapshot."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Callable
from datetime import date, datetime
from pathlib import Path
from typing import Any, LiteralString

import psycopg
import pytest
from psycopg import sql

from local_stack.postgres.server import Credentials
from local_stack.simulator.day import (
    BusinessDay,
    SnapshotError,
    create_schema,
    latest_moment,
    load_snapshot,
    seed_history,
)
from local_stack.simulator.schema import TABLES

NewDatabase = Callable[..., Credentials]
SNAPSHOT = Path(__file__).parents[4] / "shared/data/totesys/2024-08-22"


def value(conn: psycopg.Connection, query: LiteralString, *arguments: object) -> Any:
    row = conn.execute(query, arguments or None).fetchone()
    assert row is not None
    return row[0]


def rows_of(conn: psycopg.Connection) -> dict[str, int]:
    return {table: conn.execute(sql.SQL("SELECT * FROM {}").format(sql.Identifier(table))).rowcount for table in TABLES}


def digest(conn: psycopg.Connection) -> str:
    """Hash all rows of all tables."""
    total = hashlib.sha256()
    for table in TABLES:
        query = sql.SQL("SELECT t::text FROM {} t ORDER BY 1").format(sql.Identifier(table))
        total.update("\n".join(row[0] for row in conn.execute(query)).encode())
    return total.hexdigest()


def test_same_seed_same_history_other_seed_another(seeded: Credentials, new_database: NewDatabase) -> None:
    found = {}
    until = date(2023, 1, 31)
    for name, seed in (("a", 7), ("b", 7), ("c", 8)):
        with new_database(name).connect() as conn:
            create_schema(conn)
            seed_history(conn, seed=seed, until=until)
            found[name] = digest(conn)
            assert latest_moment(conn).date() == until
    assert found["a"] == found["b"] != found["c"]


def test_volumes(seeded: Credentials) -> None:
    with seeded.connect() as conn:
        counts = rows_of(conn)
    exact = {"address": 30, "counterparty": 20, "currency": 3, "department": 8, "staff": 20, "payment_type": 4}
    assert {table: counts[table] for table in exact} == exact
    assert counts["sales_order"] == pytest.approx(9845, rel=0.05)
    assert counts["purchase_order"] == pytest.approx(4114, rel=0.05)
    assert counts["design"] == pytest.approx(424, rel=0.15)
    assert counts["transaction"] == counts["payment"] == counts["sales_order"] + counts["purchase_order"]


def test_exact_relations_and_ties(seeded: Credentials) -> None:
    with seeded.connect() as conn:
        broken = value(
            conn,
            "SELECT count(*) FROM payment p JOIN transaction t USING (transaction_id)"
            " LEFT JOIN sales_order s USING (sales_order_id) LEFT JOIN purchase_order o USING (purchase_order_id)"
            " WHERE (t.transaction_type = 'SALE') IS DISTINCT FROM (s.sales_order_id IS NOT NULL)"
            " OR p.payment_amount IS DISTINCT FROM"
            "    coalesce(s.units_sold * s.unit_price, o.item_quantity * o.item_unit_price)"
            " OR p.counterparty_id <> coalesce(s.counterparty_id, o.counterparty_id)"
            " OR p.currency_id <> coalesce(s.currency_id, o.currency_id)"
            " OR p.payment_date <> coalesce(s.agreed_payment_date, o.agreed_payment_date)"
            " OR p.created_at <> t.created_at OR t.created_at <> t.last_updated"
            " OR p.created_at <> coalesce(s.created_at, o.created_at)"
            " OR p.payment_type_id <> CASE t.transaction_type WHEN 'SALE' THEN 1 ELSE 3 END",
        )
        assert broken == 0
        assert 2 < value(conn, "SELECT count(*) FROM payment WHERE payment_id <> transaction_id") < 100
        assert value(conn, "SELECT count(*) - count(DISTINCT created_at) FROM payment") > 50


def test_payments_are_booked_on_weekdays_at_0755(seeded: Credentials) -> None:
    due = "extract(isodow FROM payment_date::date) < 6 AND payment_date::date > created_at::date"
    with seeded.connect() as conn:
        assert value(conn, f"SELECT count(*) FROM payment WHERE paid <> ({due} AND payment_date <= '2024-08-22')") == 0
        odd = "last_updated::date::text <> payment_date OR date_trunc('second', last_updated)::time <> '07:55:11'"
        assert value(conn, f"SELECT count(*) FROM payment WHERE paid AND ({odd})") == 0
        assert value(conn, "SELECT count(*) FROM payment WHERE NOT paid AND last_updated <> created_at") == 0
        moments = "SELECT max(n) FROM (SELECT count(DISTINCT last_updated) n FROM payment WHERE paid"
        assert value(conn, moments + " GROUP BY payment_date) d") == 1


def test_calendar_and_ranges(seeded: Credentials) -> None:
    with seeded.connect() as conn:
        for table in ("sales_order", "purchase_order", "payment"):
            odd = sql.SQL(
                "SELECT 1 FROM {} WHERE extract(isodow FROM created_at) > 5"
                " OR created_at::time < '08:00' OR created_at::time >= '19:00'"
            ).format(sql.Identifier(table))
            assert conn.execute(odd).rowcount == 0
        first, last = conn.execute("SELECT min(created_at), max(created_at) FROM payment").fetchone() or (None, None)
        assert (first.date(), last.date()) == (date(2022, 11, 3), date(2024, 8, 22))
        whole = value(conn, "SELECT count(*) FROM payment WHERE created_at = date_trunc('second', created_at)")
        assert 10 < whole < 60
        assert value(conn, "SELECT bool_and(units_sold BETWEEN 1001 AND 99973) FROM sales_order")
        assert value(conn, "SELECT bool_and(unit_price BETWEEN 2 AND 4) FROM sales_order")
        assert value(conn, "SELECT bool_and(item_unit_price BETWEEN 3.32 AND 999.07) FROM purchase_order")
        assert value(conn, "SELECT bool_and(item_code ~ '^[A-Z0-9]{7}$') FROM purchase_order")
        assert value(conn, "SELECT bool_and(company_ac_number::text ~ '^[0-9]{8}$') FROM payment")


@pytest.mark.parametrize(
    "query",
    [
        "SELECT count(*) FROM address WHERE postal_code LIKE '0%'",
        "SELECT count(*) FROM address WHERE district = ''",
        "SELECT count(*) FROM address WHERE address_line_2 IS NULL",
        "SELECT count(*) FROM address WHERE address_line_1 LIKE '%O''Hara%'",
        "SELECT count(*) FROM address WHERE address_line_1 LIKE '%(%,%&%'",
        "SELECT count(*) FROM purchase_order WHERE item_code ~ '^[0-9]+$'",
        "SELECT count(*) FROM purchase_order WHERE item_code ~ '^0[0-9]+$'",
        "SELECT count(*) FROM purchase_order WHERE item_code ~ '^[0-9]E[0-9]+$'",
        "SELECT count(*) FROM counterparty WHERE counterparty_legal_name ~ '[^ -~]'",
        "SELECT count(*) FROM counterparty WHERE strpos(counterparty_legal_name, chr(92)) > 0",
        "SELECT count(*) FROM department WHERE location IS NULL",
        "SELECT count(*) FROM sales_order WHERE agreed_delivery_date::date > created_at::date + 7",
    ],
)
def test_text_traps(seeded: Credentials, query: LiteralString) -> None:
    with seeded.connect() as conn:
        assert value(conn, query) >= 1


@pytest.mark.skipif(not SNAPSHOT.is_dir(), reason=f"the real snapshot is not at {SNAPSHOT}")
def test_real_snapshot_loads_value_by_value(new_database: NewDatabase) -> None:
    with new_database("snapshot").connect() as conn:
        create_schema(conn)
        counts = load_snapshot(conn, SNAPSHOT)
        assert counts == rows_of(conn)
        for table in TABLES:
            with (SNAPSHOT / f"{table}.csv").open(newline="", encoding="utf-8") as handle:
                expected = {int(row[f"{table}_id"]): row for row in csv.DictReader(handle)}
            found = conn.execute(
                sql.SQL("SELECT {}, t.* FROM {} t").format(sql.Identifier(f"{table}_id"), sql.Identifier(table))
            )
            names = [column.name for column in found.description or []][1:]
            seen = {key: dict(zip(names, map(as_pandas, row), strict=True)) for key, *row in found}
            for row in expected.values():
                for name in ("sales_order_id", "purchase_order_id"):
                    if name in row:
                        row[name] = row[name].removesuffix(".0")
            assert seen == expected
        (order,) = BusinessDay(conn).new_orders(1, 0)
        assert order.order_id == counts["sales_order"] + 1
        assert order.payment_id == counts["payment"] + 1


def as_pandas(found: object) -> str:
    if found is None:
        return ""
    return found.isoformat(" ", "milliseconds") if isinstance(found, datetime) else str(found)


def test_snapshot_values_and_errors(new_database: NewDatabase, tmp_path: Path) -> None:
    with new_database("bad").connect() as conn:
        create_schema(conn)
        with pytest.raises(SnapshotError, match=r"has no address\.csv"):
            load_snapshot(conn, tmp_path)
        header = (
            "address_id,address_line_1,address_line_2,district,city,postal_code,country,phone,created_at,last_updated"
        )
        path = tmp_path / "address.csv"
        good = '1.0,,,"a, ""b""",c,007,d,e,2024-01-01 00:00:00.000,2024-01-01 00:00:00.000\n'
        path.write_text(f"{header}\n{good}")
        with pytest.raises(SnapshotError, match=r"has no counterparty\.csv"):
            load_snapshot(conn, tmp_path)
        assert value(conn, "SELECT count(*) FROM address") == 0
        path.write_text(f"{header},surplus\n")
        with pytest.raises(SnapshotError, match="differ from those of table address: surplus"):
            load_snapshot(conn, tmp_path)
        path.write_text(f"{header}\n{good}{good.replace('1.0,', 'one,')}")
        with pytest.raises(SnapshotError, match=r"invalid input syntax.*line 2"):
            load_snapshot(conn, tmp_path)


def test_empty_cells_are_null_only_where_null_is_allowed(new_database: NewDatabase, tmp_path: Path) -> None:
    with new_database("cells").connect() as conn:
        create_schema(conn)
        for table in TABLES:
            found = conn.execute(sql.SQL("SELECT * FROM {}").format(sql.Identifier(table))).description or []
            (tmp_path / f"{table}.csv").write_text(",".join(column.name for column in found) + "\n")
        stamps = "2024-01-01 00:00:00.000,2024-01-01 00:00:00.000"
        with (tmp_path / "address.csv").open("a") as handle:
            handle.write(f"1,,,,c,007,d,e,{stamps}\n")
        assert load_snapshot(conn, tmp_path)["address"] == 1
        cells = conn.execute("SELECT address_line_1, address_line_2, postal_code FROM address").fetchall()
        assert cells == [("", None, "007")]
        assert value(conn, "SELECT nextval('address_address_id_seq')") == 2
        assert value(conn, "SELECT nextval('payment_payment_id_seq')") == 1

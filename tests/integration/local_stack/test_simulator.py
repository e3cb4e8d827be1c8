"""The source simulator on live data: each kind of event, the clock, the late order, day after day."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import date, datetime, timedelta
from itertools import islice
from typing import Any, LiteralString

import psycopg
import pytest
from psycopg import sql

from local_stack.postgres.server import Credentials
from local_stack.simulator.day import (
    BusinessDay,
    SimulationError,
    create_schema,
    latest_moment,
    open_late_order,
    run,
)
from local_stack.simulator.events import Deleted, OrderPlaced, PaymentsBooked, SilentUpdate
from local_stack.simulator.schema import TABLES

NewDatabase = Callable[..., Credentials]


@pytest.fixture
def source(seeded: Credentials, new_database: NewDatabase) -> Credentials:
    """A copy of the seeded database to work in."""
    return new_database("source", template=seeded.dbname)


@pytest.fixture
def conn(source: Credentials) -> Iterator[psycopg.Connection]:
    with source.connect() as connection:
        yield connection


def value(conn: psycopg.Connection, query: LiteralString, *arguments: object) -> Any:
    row = conn.execute(query, arguments or None).fetchone()
    assert row is not None
    return row[0]


def rows_of(conn: psycopg.Connection) -> dict[str, int]:
    return {table: conn.execute(sql.SQL("SELECT * FROM {}").format(sql.Identifier(table))).rowcount for table in TABLES}


def row_of(conn: psycopg.Connection, table: str, key: int) -> dict[str, Any]:
    query = sql.SQL("SELECT to_jsonb(t) FROM {} t WHERE {} = %s").format(
        sql.Identifier(table), sql.Identifier(f"{table}_id")
    )
    row = conn.execute(query, [key]).fetchone()
    return dict(row[0]) if row else {}


def test_new_orders_are_three_rows_at_one_moment(conn: psycopg.Connection) -> None:
    before = rows_of(conn)
    at = datetime(2024, 8, 23, 9, 30, 0, 123000)
    placed = BusinessDay(conn).new_orders(3, 2, at)
    after = rows_of(conn)
    grown = {table: after[table] - before[table] for table in TABLES if after[table] != before[table]}
    assert grown == {"sales_order": 3, "purchase_order": 2, "transaction": 5, "payment": 5}
    assert placed[0].at == at
    assert [order.at for order in placed] == sorted(order.at for order in placed)
    for order in placed:
        rows = [
            row_of(conn, f"{order.kind}_order", order.order_id),
            row_of(conn, "transaction", order.transaction_id),
            row_of(conn, "payment", order.payment_id),
        ]
        stamps = {row["created_at"] for row in rows} | {row["last_updated"] for row in rows}
        assert {datetime.fromisoformat(stamp) for stamp in stamps} == {order.at}
        assert str(order).startswith("2024-08-23 09:")


def test_the_clock_continues_and_never_passes_the_database(conn: psycopg.Connection) -> None:
    day = BusinessDay(conn)
    assert day.day == date(2024, 8, 23)
    first, second = day.new_orders(1, 1)
    assert datetime(2024, 8, 23, 8) < first.at < second.at == latest_moment(conn)
    with pytest.raises(SimulationError, match="would pass the database's own"):
        day.new_orders(1, 0, datetime.now() + timedelta(days=3))
    with (
        pytest.raises(SimulationError, match="autocommit"),
        psycopg.connect(
            host=conn.info.host,
            port=conn.info.port,
            dbname=conn.info.dbname,
            user="postgres",
            password=conn.info.password,
        ) as careful,
    ):
        BusinessDay(careful)


def test_payment_batch(conn: psycopg.Connection) -> None:
    day = BusinessDay(conn)
    due = "SELECT array_agg(payment_id ORDER BY 1) FROM payment WHERE NOT paid AND payment_date = '2024-08-23'"
    expected = value(conn, due)
    day.new_orders(5, 5)  # some of them may be due today: they are never paid
    booked = day.payment_batch()
    assert list(booked.payment_ids) == expected
    rows = [row_of(conn, "payment", key) for key in expected]
    assert {(row["paid"], datetime.fromisoformat(row["last_updated"])) for row in rows} == {(True, booked.at)}
    assert booked.at.strftime("%F %T") == "2024-08-23 07:55:11"
    assert day.payment_batch().payment_ids == ()
    assert day.payment_batch(date(2024, 8, 24)).payment_ids == ()


@pytest.mark.parametrize(
    ("table", "column"),
    [
        ("sales_order", "design_id"),
        ("sales_order", "agreed_delivery_date"),
        ("purchase_order", "item_code"),
        ("purchase_order", "agreed_delivery_location_id"),
        ("design", None),
    ],
)
def test_silent_update_changes_one_column_and_no_timestamp(
    conn: psycopg.Connection, table: str, column: str | None
) -> None:
    query = sql.SQL("SELECT {}, to_jsonb(t) FROM {} t").format(sql.Identifier(f"{table}_id"), sql.Identifier(table))
    before: dict[int, Any] = dict(conn.execute(query).fetchall())
    done = BusinessDay(conn).silent_update(table, column)
    after: dict[int, Any] = dict(conn.execute(query).fetchall())
    changed = {
        (key, name): (before[key][name], row[name])
        for key, row in after.items()
        for name in row
        if row[name] != before[key][name]
    }
    assert changed == {(done.key, done.column): (done.old, done.new)}
    assert column in {None, done.column}


def test_silent_update_refuses_what_it_does_not_know(conn: psycopg.Connection) -> None:
    with pytest.raises(SimulationError, match="not to staff"):
        BusinessDay(conn).silent_update("staff")
    with pytest.raises(SimulationError, match="no row 0"):
        BusinessDay(conn).silent_update("design", key=0)


def test_deletes(conn: psycopg.Connection) -> None:
    day = BusinessDay(conn)
    gone = day.delete_order()
    assert gone.order_id is not None
    assert gone.transaction_id is not None
    assert gone.payment_id is not None
    assert row_of(conn, "sales_order", gone.order_id) == row_of(conn, "transaction", gone.transaction_id) == {}
    assert row_of(conn, "payment", gone.payment_id) == {}
    kept = value(conn, "SELECT transaction_id FROM transaction WHERE purchase_order_id = 100")
    day.delete_order("purchase", 100, keep_transaction=True)
    assert row_of(conn, "transaction", kept)["purchase_order_id"] is None
    payment = day.delete_payment()
    assert payment.payment_id is not None
    assert row_of(conn, "payment", payment.payment_id) == {}
    with pytest.raises(SimulationError, match="no sales order"):
        day.delete_order("sales", gone.order_id)
    with pytest.raises(SimulationError, match="no payment"):
        day.delete_payment(payment.payment_id)


def test_late_order_is_invisible_until_it_commits(source: Credentials, conn: psycopg.Connection) -> None:
    late = open_late_order(source)
    (later,) = BusinessDay(conn).new_orders(1, 0)
    assert row_of(conn, "sales_order", late.order.order_id) == {}
    assert late.order.order_id < later.order_id
    assert late.order.at < later.at
    assert late.commit() == late.order
    assert row_of(conn, "payment", late.order.payment_id)["transaction_id"] == late.order.transaction_id
    with open_late_order(source, kind="purchase") as dropped:
        pass
    assert row_of(conn, "purchase_order", dropped.order.order_id) == {}
    with pytest.raises(SimulationError, match="would pass"):
        open_late_order(source, at=datetime.now() + timedelta(days=3))


def test_new_designs(conn: psycopg.Connection) -> None:
    added = BusinessDay(conn).new_designs(2)
    assert len(added.design_ids) == 2
    assert datetime.fromisoformat(row_of(conn, "design", added.design_ids[0])["created_at"]) == added.at


def test_run_works_day_after_day_and_repeats_itself(seeded: Credentials, new_database: NewDatabase) -> None:
    found = []
    for _ in range(2):
        with new_database("run", template=seeded.dbname).connect() as conn:
            events = list(run(conn, seed=3, events=150))
            found.append((events, conn.execute("SELECT p::text FROM payment p ORDER BY 1").fetchall()))
    assert found[0] == found[1]
    events = found[0][0]
    assert len(events) == 150
    kinds = {type(event) for event in events}
    assert {OrderPlaced, PaymentsBooked, SilentUpdate} <= kinds
    assert all(str(event).startswith("2024-0") and "\n" not in str(event) for event in events)
    stamps = [event.at for event in events if isinstance(event, OrderPlaced)]
    assert stamps == sorted(stamps)
    assert {stamp.weekday() for stamp in stamps} <= {0, 1, 2, 3, 4}


def test_run_commits_each_event_and_stops_in_time(source: Credentials, conn: psycopg.Connection) -> None:
    with source.connect() as other:
        for event in islice(run(conn), 5):
            if isinstance(event, OrderPlaced):
                assert row_of(other, f"{event.kind}_order", event.order_id)
    begin = time.monotonic()
    assert list(run(conn, seconds=0.3, pause=0.05))
    assert time.monotonic() - begin < 5


def test_run_ends_at_the_present(conn: psycopg.Connection) -> None:
    conn.execute("UPDATE payment SET created_at = (now() AT TIME ZONE 'UTC') - interval '1 hour' WHERE payment_id = 1")
    assert list(run(conn)) == []


def test_an_empty_source_is_explained(new_database: NewDatabase) -> None:
    with new_database("empty").connect() as conn:
        create_schema(conn)
        with pytest.raises(SimulationError, match="seed it or load a snapshot"):
            BusinessDay(conn)


def test_deleted_in_one_line() -> None:
    gone = Deleted(date(2024, 8, 23), "sales", None, None, 4)
    assert str(gone) == "2024-08-23 deleted: payment 4"

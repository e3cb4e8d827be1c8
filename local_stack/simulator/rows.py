"""What the simulator reads from and writes to the live source: its clock, its ids, one order in three tables."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import psycopg
from psycopg import sql

from local_stack.simulator.business import Order, Population
from local_stack.simulator.events import OrderPlaced


class SimulationError(RuntimeError):
    """The simulated business cannot do what was asked; the message says why."""


def latest_moment(conn: psycopg.Connection) -> datetime:
    """Return the simulated present: the latest created_at of orders, payments and designs.

    Raises
    ------
    SimulationError
        When the database holds no history.
    """
    query = (
        "SELECT greatest((SELECT max(created_at) FROM public.payment), (SELECT max(created_at) FROM public.design),"
        " (SELECT max(created_at) FROM public.sales_order), (SELECT max(created_at) FROM public.purchase_order))"
    )
    found = conn.execute(query).fetchone()
    if found is None or found[0] is None:
        raise SimulationError("The source holds no history yet; seed it or load a snapshot first.")
    moment: datetime = found[0]
    return moment


def check_clock(conn: psycopg.Connection, at: datetime) -> None:
    """Refuse a moment that has not come yet.

    Raises
    ------
    SimulationError
        When `at` is later than the database's own clock.
    """
    if at > now(conn):
        raise SimulationError(f"The simulated clock ({at}) would pass the database's own; the simulation ends here.")


def now(conn: psycopg.Connection) -> datetime:
    """Return the database's own present in UTC."""
    found = conn.execute("SELECT clock_timestamp() AT TIME ZONE 'UTC'").fetchone()
    assert found is not None  # noqa: S101 - a SELECT without FROM has one row
    moment: datetime = found[0]
    return moment


def population(conn: psycopg.Connection) -> Population:
    """Return the ids that orders may refer to."""

    def ids(table: str) -> list[int]:
        parts = {"table": sql.Identifier("public", table), "id": sql.Identifier(f"{table}_id")}
        return [key for (key,) in conn.execute(sql.SQL("SELECT {id} FROM {table} ORDER BY 1").format(**parts))]

    types: dict[str, int] = {
        name: key for key, name in conn.execute("SELECT payment_type_id, payment_type_name FROM public.payment_type")
    }
    return Population(
        designs=ids("design"),
        staff=ids("staff"),
        counterparties=ids("counterparty"),
        currencies=ids("currency"),
        addresses=ids("address"),
        payment_types={"sales": types["SALES_RECEIPT"], "purchase": types["PURCHASE_PAYMENT"]},
    )


def insert_order(conn: psycopg.Connection, event: Order) -> OrderPlaced:
    """Insert an order, its transaction and its payment."""
    order_id = insert(conn, event.table, event.order)
    stamps = {"created_at": event.at, "last_updated": event.at}
    link = {"transaction_type": event.transaction_type, f"{event.table}_id": order_id}
    transaction_id = insert(conn, "transaction", link | stamps)
    payment_id = insert(conn, "payment", {"transaction_id": transaction_id, **event.payment})
    amount = event.payment["payment_amount"]
    return OrderPlaced(event.kind, order_id, transaction_id, payment_id, event.at, amount)


def insert(conn: psycopg.Connection, table: str, row: dict[str, Any]) -> int:
    """Insert one row and return its key."""
    statement = sql.SQL("INSERT INTO {} ({}) VALUES ({}) RETURNING {}").format(
        sql.Identifier("public", table),
        sql.SQL(", ").join(map(sql.Identifier, row)),
        sql.SQL(", ").join(sql.Placeholder() * len(row)),
        sql.Identifier(f"{table}_id"),
    )
    found = conn.execute(statement, list(row.values())).fetchone()
    assert found is not None  # noqa: S101 - INSERT ... RETURNING gives one row or raises
    key: int = found[0]
    return key

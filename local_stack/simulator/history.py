"""The simulated source's past: a real-size history, written by COPY in one transaction.

About 21 sales and 9 purchases each weekday from 2022-11-03 on, each one event: order, transaction and payment at the
same millisecond. Payments due on a later weekday are booked by that day's 07:55:11 batch; those due at a weekend or on
the day of the order never are. Once in a few hundred orders two payments came in each other's place, so that payment_id
is only almost always transaction_id, and some delivery dates were moved far away later without a trace in last_updated.
"""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Any, Final

import psycopg
from psycopg import sql

from local_stack.simulator.business import (
    DESIGNS_A_DAY,
    FIRST_DAY,
    PURCHASES_A_DAY,
    SALES_A_DAY,
    Dice,
    Kind,
    Order,
    Population,
    batch_moment,
    make_design,
    make_order,
    next_weekday,
)
from local_stack.simulator.reference import Rows, reference_rows
from local_stack.simulator.schema import TABLES, set_sequences

DEFAULT_UNTIL: Final = date(2024, 8, 22)
_FIRST_DESIGNS: Final = 9
_SWAP: Final = 1 / 870
_TIE: Final = 1 / 100
_FAR_DELIVERY: Final = 1 / 200


def seed_history(conn: psycopg.Connection, seed: int = 1, until: date = DEFAULT_UNTIL) -> dict[str, int]:
    """Fill the empty totesys tables with everything up to the evening of `until`.

    Parameters
    ----------
    conn
        Connection to a database made by :func:`local_stack.simulator.schema.create_schema`.
    seed
        The same seed and `until` give the same rows.
    until
        The last simulated day.

    Returns
    -------
    dict
        Rows written, by table.
    """
    rows = history_rows(seed, until)
    with conn.transaction(), conn.cursor() as cursor:
        for table in TABLES:
            columns = list(rows[table][0])
            statement = sql.SQL("COPY {} ({}) FROM STDIN").format(
                sql.Identifier("public", table), sql.SQL(", ").join(map(sql.Identifier, columns))
            )
            with cursor.copy(statement) as copy:
                for row in rows[table]:
                    copy.write_row(list(row.values()))
        set_sequences(conn)
    conn.execute("ANALYZE")
    return {table: len(rows[table]) for table in TABLES}


def history_rows(seed: int, until: date) -> Rows:
    """Return all rows of the history, by table, in the order of their ids."""
    dice = Dice(f"history {seed}")
    rows = reference_rows(dice)
    rows |= {table: [] for table in TABLES if table not in rows}
    founded: datetime = rows["address"][0]["created_at"]
    for _ in range(_FIRST_DESIGNS):
        _append(rows, "design", make_design(dice, founded))
    batches: dict[str, datetime] = {}
    day = FIRST_DAY
    while day <= until:
        batches[day.isoformat()] = batch_moment(dice, day)
        _work(dice, day, rows)
        day = next_weekday(day)
    for payment in rows["payment"]:
        booked = batches.get(payment["payment_date"])
        if booked is not None and booked > payment["created_at"]:
            payment |= {"paid": True, "last_updated": booked}
    return rows


def _work(dice: Dice, day: date, rows: Rows) -> None:
    """Add one day's designs and orders."""
    for moment in sorted(dice.moment(day) for _ in range(dice.count(DESIGNS_A_DAY))):
        _append(rows, "design", make_design(dice, moment))
    kinds: list[Kind] = ["sales"] * dice.count(SALES_A_DAY)
    kinds += ["purchase"] * dice.count(PURCHASES_A_DAY)
    plan = sorted((dice.moment(day), kind) for kind in kinds)
    population = population_of(rows)
    previous: datetime | None = None
    for at, kind in plan:
        moment = previous if previous is not None and dice.chance(_TIE) else at
        _place(dice, make_order(dice, kind, moment, population), rows)
        previous = moment


def population_of(rows: Rows) -> Population:
    """Return the ids that orders may refer to."""
    return Population(
        designs=range(1, len(rows["design"]) + 1),
        staff=range(1, len(rows["staff"]) + 1),
        counterparties=range(1, len(rows["counterparty"]) + 1),
        currencies=range(1, len(rows["currency"]) + 1),
        addresses=range(1, len(rows["address"]) + 1),
        payment_types={"sales": 1, "purchase": 3},
    )


def _place(dice: Dice, event: Order, rows: Rows) -> None:
    order = event.order
    if dice.chance(_FAR_DELIVERY):
        far = date.fromisoformat(order["agreed_delivery_date"]) + timedelta(days=dice.integer(5, 400))
        order = order | {"agreed_delivery_date": far.isoformat()}
    order_id = _append(rows, event.table, order)
    transaction_id = _append(
        rows,
        "transaction",
        {
            "transaction_type": event.transaction_type,
            "sales_order_id": order_id if event.kind == "sales" else None,
            "purchase_order_id": order_id if event.kind == "purchase" else None,
            "created_at": event.at,
            "last_updated": event.at,
        },
    )
    _append(rows, "payment", {"transaction_id": transaction_id, **event.payment})
    payments = rows["payment"]
    if len(payments) > 1 and dice.chance(_SWAP):
        last, before = payments[-1], payments[-2]
        last["payment_id"], before["payment_id"] = before["payment_id"], last["payment_id"]
        payments[-1], payments[-2] = before, last


def _append(rows: Rows, table: str, row: dict[str, Any]) -> int:
    key = len(rows[table]) + 1
    rows[table].append({f"{table}_id": key, **row})
    return key

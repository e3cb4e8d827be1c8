"""The demo's business day: what happens in the source, and what must therefore be in the warehouse.

A late order is inserted first and stays uncommitted; everything else comes after it, so that a reader of timestamps
would have passed it by when it appears at last.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, time
from typing import Any, LiteralString

import psycopg
from tidemark.base.database_url import Credentials

from local_stack.simulator.day import BusinessDay, LateOrder, open_late_order
from local_stack.simulator.events import Deleted, OrderPlaced, PaymentsBooked, SilentUpdate
from tidemark_cli.demo.figures import one

SEED = 823
_LATE_AT, _ORDERS_AT = time(9, 15), time(10)


@dataclass(frozen=True, kw_only=True)
class Day:
    """What happened, as the simulator tells it, and what the source said before.

    Parameters
    ----------
    late
        The order whose transaction is still open.
    due
        Payments that were due and not paid before the batch, and their ``last_updated`` then.
    silent_before
        The silently changed order's row before.
    started
        The source's clock when the day began.
    """

    late: LateOrder
    orders: tuple[OrderPlaced, ...]
    booked: PaymentsBooked
    silent: SilentUpdate
    deleted: Deleted
    due: dict[int, datetime]
    silent_before: dict[str, Any]
    started: datetime

    @property
    def sales(self) -> int:
        """Number of new sales orders."""
        return sum(order.kind == "sales" for order in self.orders)

    def expected_changes(self) -> dict[str, dict[str, int]]:
        """Rows that the star must show as new, changed and deleted after the day."""
        everything = len(self.orders)
        return {
            "fact_sales_order": {"new": self.sales, "changed": 1, "deleted": 1},
            "fact_purchase_order": {"new": everything - self.sales},
            "fact_payment": {"new": everything, "changed": len(self.due), "deleted": 1},
            "dim_transaction": {"new": everything, "deleted": 1},
        }

    def happened(self) -> list[str]:
        """Say it in one line each."""
        late = self.late.order
        placed = [f"{order.kind} {order.order_id}" for order in self.orders]
        return [
            f"{late.at:%H:%M:%S}  sales order {late.order_id} is entered, but its transaction stays open",
            f"{self.booked.at:%H:%M:%S}  one statement books {len(self.booked.payment_ids)} payments as paid",
            f"{self.orders[0].at:%H:%M:%S}  {len(placed)} new orders: {', '.join(placed)}",
            f"no trace  sales order {self.silent.key}: {self.silent.column} {self.silent.old} -> {self.silent.new}, "
            "last_updated left as it was",
            f"no trace  sales order {self.deleted.order_id} is deleted, with payment {self.deleted.payment_id}",
        ]


def live_a_day(owner: Credentials, connection: psycopg.Connection) -> Day:
    """Let everything happen; the caller commits or drops ``late``."""
    started: datetime = one(connection, "SELECT clock_timestamp()")
    day = BusinessDay(connection, seed=SEED)
    late = open_late_order(owner, kind="sales", seed=SEED, at=datetime.combine(day.day, _LATE_AT))
    try:
        due: dict[int, datetime] = dict(
            connection.execute(
                "SELECT payment_id, last_updated FROM public.payment WHERE payment_date = %s AND NOT paid",
                [day.day.isoformat()],
            ).fetchall()
        )
        booked = day.payment_batch()
        orders = tuple(day.new_orders(3, 2, at=datetime.combine(day.day, _ORDERS_AT)))
        deleted = day.delete_order("sales")
        key = _untouched_order(connection, datetime.combine(day.day, time(0)))
        before = source_row(connection, key)
        silent = day.silent_update("sales_order", "design_id", key)
    except BaseException:
        late.rollback()
        raise
    return Day(
        late=late,
        orders=orders,
        booked=booked,
        silent=silent,
        deleted=deleted,
        due=due,
        silent_before=before,
        started=started,
    )


def _untouched_order(connection: psycopg.Connection, before: datetime) -> int:
    """Pick an old order."""
    query = "SELECT sales_order_id FROM public.sales_order WHERE created_at < %s ORDER BY 1 LIMIT 1 OFFSET 4321"
    return int(one(connection, query, before))


def source_row(connection: psycopg.Connection, key: int) -> dict[str, Any]:
    """Read what matters of a sales order's row."""
    query: LiteralString = (
        "SELECT design_id, staff_id, units_sold, unit_price, last_updated FROM public.sales_order"
        " WHERE sales_order_id = %s"
    )
    names = ("design_id", "sales_staff_id", "units_sold", "unit_price", "last_updated")
    return dict(zip(names, one(connection, query, key), strict=True))


def utc(moment: datetime) -> datetime:
    """Give a source timestamp, which has no zone, the zone that it is meant in."""
    return moment.replace(tzinfo=UTC)

"""A late order: its transaction begins before a tick's snapshot and is committed after it."""

from __future__ import annotations

from datetime import datetime, timedelta
from types import TracebackType

import psycopg
from tidemark.base.database_url import Credentials

from local_stack.simulator.business import Dice, Kind, make_order
from local_stack.simulator.events import OrderPlaced
from local_stack.simulator.rows import check_clock, insert_order, latest_moment, population


class LateOrder:
    """An order whose transaction stays open: inserted, visible to nobody until :meth:`commit`."""

    def __init__(self, conn: psycopg.Connection, order: OrderPlaced) -> None:
        self._conn = conn
        self.order = order

    def commit(self) -> OrderPlaced:
        """Make the order visible; return it."""
        self._conn.commit()
        self._conn.close()
        return self.order

    def rollback(self) -> None:
        """Drop the order."""
        self._conn.close()

    def __enter__(self) -> LateOrder:
        """Return the handle; leaving the block without :meth:`commit` drops the order."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Drop the order unless it was committed."""
        self.rollback()


def open_late_order(
    database: Credentials, *, kind: Kind = "sales", seed: int = 1, at: datetime | None = None
) -> LateOrder:
    """Insert an order in a transaction of its own and leave it open.

    Parameters
    ----------
    database
        The source, by a role that may write.
    kind, seed
        What to order, and its chance.
    at
        Its timestamp; by default a millisecond after the latest event.
    """
    conn = database.connect(autocommit=False)
    try:
        moment = at or latest_moment(conn) + timedelta(milliseconds=1)
        check_clock(conn, moment)
        order = make_order(Dice(f"late {seed} {moment}"), kind, moment, population(conn))
        return LateOrder(conn, insert_order(conn, order))
    except BaseException:
        conn.close()
        raise

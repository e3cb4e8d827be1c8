"""The source simulator: a tote-bag maker at work in a live totesys database.

The past comes from :func:`seed_history` (or a real snapshot by :func:`load_snapshot`); from there on a
:class:`BusinessDay` acts, one committed transaction for each event, on a simulated clock that continues from the
latest ``created_at`` and never passes the database's own clock. The same seed on the same database does the same.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from datetime import date, datetime, timedelta
from typing import Final

import psycopg
from psycopg import sql

from local_stack.simulator.business import (
    DESIGNS_A_DAY,
    FILE_LOCATIONS,
    OPEN_SECONDS,
    PURCHASES_A_DAY,
    SALES_A_DAY,
    Dice,
    Kind,
    batch_moment,
    is_weekday,
    item_code,
    make_design,
    make_order,
    next_weekday,
)
from local_stack.simulator.events import (
    Deleted,
    DesignsAdded,
    Event,
    OrderPlaced,
    PaymentsBooked,
    SilentUpdate,
)
from local_stack.simulator.history import seed_history
from local_stack.simulator.late_order import LateOrder, open_late_order
from local_stack.simulator.rows import (
    SimulationError,
    check_clock,
    insert,
    insert_order,
    latest_moment,
    now,
    population,
)
from local_stack.simulator.schema import SnapshotError, create_schema, load_snapshot

__all__ = [
    "BusinessDay",
    "LateOrder",
    "SimulationError",
    "SnapshotError",
    "create_schema",
    "latest_moment",
    "load_snapshot",
    "open_late_order",
    "run",
    "seed_history",
]

SILENT_COLUMNS: Final[dict[str, tuple[str, ...]]] = {
    "sales_order": ("design_id", "staff_id", "agreed_delivery_date", "agreed_delivery_location_id"),
    "purchase_order": ("staff_id", "item_code", "agreed_delivery_date", "agreed_delivery_location_id"),
    "design": ("file_location",),
}
_SILENT_A_DAY: Final = 0.3
_DELETES_A_DAY: Final = 0.05
_OLD: Final = timedelta(days=7)


class BusinessDay:
    """One simulated day in a live source; each method commits and returns what it did.

    Parameters
    ----------
    conn
        Autocommit connection to a totesys database that holds a history.
    seed
        Chance of this day, together with the day itself and the number of orders so far.
    day
        The day; by default the first working day after the latest event.
    """

    def __init__(self, conn: psycopg.Connection, *, seed: int = 1, day: date | None = None) -> None:
        if not conn.autocommit:
            raise SimulationError(
                "The simulator needs an autocommit connection, or its events would never be committed."
            )
        self._conn = conn
        latest = latest_moment(conn)
        self.day = day or next_weekday(latest.date())
        self.clock = max(latest, datetime.combine(self.day, datetime.min.time()).replace(hour=8))
        self._dice = Dice(f"day {seed} {self.day} {latest}")
        self._population = population(conn)

    def new_orders(self, n_sales: int, n_purchases: int, at: datetime | None = None) -> list[OrderPlaced]:
        """Place orders one after the other, seconds apart, the first one at `at` (by default soon)."""
        kinds: list[Kind] = ["sales"] * n_sales
        kinds += ["purchase"] * n_purchases
        if at is not None:
            self.clock = at.replace(microsecond=at.microsecond // 1000 * 1000)
        placed = []
        for number, kind in enumerate(kinds):
            if number or at is None:
                self._tick(60)
            placed.append(self.place(kind, self.clock))
        return placed

    def place(self, kind: Kind, at: datetime) -> OrderPlaced:
        """Place one order at the exact moment `at`."""
        check_clock(self._conn, at)
        order = make_order(self._dice, kind, at, self._population)
        with self._conn.transaction():
            return insert_order(self._conn, order)

    def payment_batch(self, day: date | None = None) -> PaymentsBooked:
        """Book the payments due on `day` (default: this day) in one statement at 07:55:11; none at a weekend."""
        day = day or self.day
        at = batch_moment(self._dice, day)
        check_clock(self._conn, at)
        if not is_weekday(day):
            return PaymentsBooked(at, ())
        found = self._conn.execute(
            "UPDATE public.payment SET paid = true, last_updated = %s"
            " WHERE payment_date = %s AND NOT paid AND created_at < %s RETURNING payment_id",
            [at, day.isoformat(), at],
        ).fetchall()
        return PaymentsBooked(at, tuple(sorted(key for (key,) in found)))

    def silent_update(self, table: str, column: str | None = None, key: int | None = None) -> SilentUpdate:
        """Change one column of a row at least a week old and leave its last_updated alone.

        Parameters
        ----------
        table, column
            ``sales_order``, ``purchase_order`` or ``design`` and one of `SILENT_COLUMNS`; any of them by default.
        key
            The row; an old one by chance by default.
        """
        if table not in SILENT_COLUMNS or (column is not None and column not in SILENT_COLUMNS[table]):
            raise SimulationError(f"Silent updates happen to {SILENT_COLUMNS}, not to {table}.{column or '*'}.")
        column = column or self._dice.pick(SILENT_COLUMNS[table])
        key = key if key is not None else self._old_key(table)
        parts = {
            "table": sql.Identifier("public", table),
            "column": sql.Identifier(column),
            "id": sql.Identifier(f"{table}_id"),
        }
        found = self._conn.execute(
            sql.SQL("SELECT {column} FROM {table} WHERE {id} = %s").format(**parts), [key]
        ).fetchone()
        if found is None:
            raise SimulationError(f"Table {table} has no row {key}.")
        new = self._other_value(column, found[0])
        self._conn.execute(sql.SQL("UPDATE {table} SET {column} = %s WHERE {id} = %s").format(**parts), [new, key])
        return SilentUpdate(self.day, table, key, column, found[0], new)

    def delete_order(self, kind: Kind = "sales", key: int | None = None, *, keep_transaction: bool = False) -> Deleted:
        """Delete an old order with its payment and transaction, in one database transaction.

        With `keep_transaction` the order alone goes and the database empties the transaction's reference (SET NULL).
        """
        key = key if key is not None else self._old_key(f"{kind}_order")
        order_id = sql.Identifier(f"{kind}_order_id")
        with self._conn.transaction():
            query = sql.SQL("SELECT transaction_id FROM public.transaction WHERE {} = %s").format(order_id)
            found = self._conn.execute(query, [key]).fetchone()
            transaction_id = found[0] if found and not keep_transaction else None
            payment = self._conn.execute(
                "DELETE FROM public.payment WHERE transaction_id = %s RETURNING payment_id", [transaction_id]
            ).fetchone()
            self._conn.execute("DELETE FROM public.transaction WHERE transaction_id = %s", [transaction_id])
            table = sql.Identifier("public", f"{kind}_order")
            gone = self._conn.execute(sql.SQL("DELETE FROM {} WHERE {} = %s").format(table, order_id), [key]).rowcount
        if not gone:
            raise SimulationError(f"There is no {kind} order {key} to delete.")
        return Deleted(self.day, kind, key, transaction_id, payment[0] if payment else None)

    def delete_payment(self, key: int | None = None) -> Deleted:
        """Delete one payment and leave its order and transaction."""
        key = key if key is not None else self._old_key("payment")
        found = self._conn.execute(
            "DELETE FROM public.payment WHERE payment_id = %s RETURNING payment_type_id", [key]
        ).fetchone()
        if found is None:
            raise SimulationError(f"There is no payment {key} to delete.")
        kind: Kind = "sales" if found[0] == self._population.payment_types["sales"] else "purchase"
        return Deleted(self.day, kind, None, None, key)

    def new_designs(self, count: int, at: datetime | None = None) -> DesignsAdded:
        """Add designs, all at the same moment; orders may use them from now on."""
        if at is None:
            self._tick(600)
        moment = at or self.clock
        check_clock(self._conn, moment)
        with self._conn.transaction():
            keys = tuple(insert(self._conn, "design", make_design(self._dice, moment)) for _ in range(count))
        self._population = population(self._conn)
        return DesignsAdded(moment, keys)

    def work(self) -> Iterator[Event]:
        """Do the whole day: batch, silent updates, a rare delete, designs and orders until 18:59."""
        start = max(0.0, (self.clock - self.clock.replace(hour=8, minute=0, second=0, microsecond=0)).total_seconds())
        share = max(0.0, 1 - start / OPEN_SECONDS)
        booked = self.payment_batch()
        if booked.payment_ids:
            yield booked
        for table in SILENT_COLUMNS:
            for _ in range(self._dice.count(_SILENT_A_DAY * share)):
                yield self.silent_update(table)
        for _ in range(self._dice.count(_DELETES_A_DAY * share)):
            yield self.delete_order(self._dice.pick(("sales", "purchase")))
        plan: list[tuple[datetime, Kind | None]] = []
        kinds: tuple[tuple[Kind | None, float], ...] = (
            *(("sales", SALES_A_DAY), ("purchase", PURCHASES_A_DAY)),
            (None, DESIGNS_A_DAY),
        )
        for kind, mean in kinds:
            plan += [(self._dice.moment(self.day, start), kind) for _ in range(self._dice.count(mean * share))]
        for at, kind in sorted(plan, key=lambda step: (step[0], str(step[1]))):
            yield self.new_designs(1, at) if kind is None else self.place(kind, at)

    def _tick(self, seconds: int) -> None:
        """Advance the clock by a chance number of milliseconds below `seconds`, staying within the day."""
        later = self.clock + timedelta(milliseconds=self._dice.integer(1, seconds * 1000))
        self.clock = min(later, self.clock.replace(hour=18, minute=59, second=59, microsecond=999_000))

    def _old_key(self, table: str) -> int:
        before = self.clock - _OLD
        parts = {"table": sql.Identifier("public", table), "id": sql.Identifier(f"{table}_id")}
        query = sql.SQL("SELECT {id} FROM {table} WHERE created_at < %s ORDER BY {id}").format(**parts)
        keys: list[int] = [key for (key,) in self._conn.execute(query, [before])]
        if not keys:
            raise SimulationError(f"Table {table} has no row older than a week ({before}).")
        return self._dice.pick(keys)

    def _other_value(self, column: str, old: str | int) -> str | int:
        """Invent a value for `column` that differs from `old`."""
        people = self._population
        choices: dict[str, Sequence[str | int]] = {
            "design_id": people.designs,
            "staff_id": people.staff,
            "agreed_delivery_location_id": people.addresses,
            "file_location": FILE_LOCATIONS,
        }
        if column in choices:
            return self._dice.pick([value for value in choices[column] if value != old])
        if column == "item_code":
            return item_code(self._dice)
        return (date.fromisoformat(str(old)) + timedelta(days=self._dice.integer(1, 400))).isoformat()


def run(
    conn: psycopg.Connection,
    *,
    seed: int = 1,
    events: int | None = None,
    seconds: float | None = None,
    pause: float = 0.0,
) -> Iterator[Event]:
    """Let the business work day after day, and yield each event once it is committed.

    Parameters
    ----------
    conn
        Autocommit connection to a totesys database that holds a history.
    seed
        Chance.
    events, seconds
        Stop after so many events or so much real time; without either, when the simulated clock reaches the present.
    pause
        Real seconds between two events.
    """
    deadline = None if seconds is None else time.monotonic() + seconds
    done = 0
    latest = latest_moment(conn)
    day = latest.date() if is_weekday(latest.date()) else next_weekday(latest.date())
    while datetime.combine(next_weekday(day), datetime.min.time()) < now(conn):
        for event in BusinessDay(conn, seed=seed, day=day).work():
            yield event
            done += 1
            if (events is not None and done >= events) or (deadline is not None and time.monotonic() >= deadline):
                return
            time.sleep(pause)
        day = next_weekday(day)

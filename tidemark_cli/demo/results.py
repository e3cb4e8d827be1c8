"""The demo's last chapter: what the warehouse can tell after the day, each figure beside its expectation."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import psycopg
from rich.console import Console
from rich.markup import escape
from tidemark.operations.history import Version, read_versions
from tidemark.operations.reconcile import reconcile

from local_stack.stack import Stack
from tidemark_cli import show
from tidemark_cli.demo.day import Day, source_row, utc
from tidemark_cli.demo.figures import (
    CONTENTS,
    CURRENCY,
    REVENUE,
    REVENUE_STAR,
    Checks,
    contents,
    one,
    revenue,
    top,
)

_BEFORE_BATCH = timedelta(seconds=5)


@dataclass(frozen=True)
class Results:
    """Shows, checks and notes everything; see :mod:`tidemark_cli.demo.story`."""

    stack: Stack
    out: Console
    checks: Checks
    figures: dict[str, Any]

    def show(self, source: psycopg.Connection, day: Day) -> None:
        """Tell all of it."""
        with self.stack.warehouse.connect() as warehouse:
            warehouse.execute("SET timezone = 'UTC'")
            known: datetime = one(source, "SELECT clock_timestamp()")
            self._payment(day)
            self._silent(source, day, known)
            self._deleted(day, known)
            self._late(day)
            self._as_of(warehouse, day)
            self._revenue(source, warehouse)
            self._reconciliation(source, warehouse)

    def _versions(self, fact: str, key: int, why: str) -> list[Version]:
        with self.stack.pipeline.warehouse.reader() as warehouse:
            found = read_versions(warehouse, self.stack.model, self.stack.model.facts[fact], [str(key)])
        self.out.print(show.version_list(f"{fact} {key}: {why}", found))
        self.figures.setdefault("versions", {})[f"{fact} {key}"] = [
            {
                "version": version.number,
                "valid_from": version.valid_from,
                "valid_to": version.valid_to,
                "recorded_batch": version.recorded_batch,
                "closed_batch": version.closed_batch,
                "is_deleted": version.is_deleted,
                "changed": {name: version.values[name] for name in version.changed},
            }
            for version in found
        ]
        return found

    def _payment(self, day: Day) -> None:
        key = day.booked.payment_ids[0]
        found = self._versions("fact_payment", key, "due, then paid")
        self.figures["payment"] = key
        paid_at = utc(day.booked.at)
        self.checks.equal(
            f"versions of payment {key}",
            [(v.values["paid"], v.valid_from, v.valid_to, v.recorded_batch, v.closed_batch) for v in found],
            [(False, utc(day.due[key]), paid_at, 1, 2), (True, paid_at, None, 2, None)],
        )

    def _silent(self, source: psycopg.Connection, day: Day, known: datetime) -> None:
        key, before, now = day.silent.key, day.silent_before, source_row(source, day.silent.key)
        found = self._versions("fact_sales_order", key, "changed without a trace in last_updated")
        self.figures["silent_order"] = key
        names = ("design_id", "sales_staff_id", "units_sold", "unit_price")
        self.checks.equal(
            f"versions of sales order {key}",
            [tuple(version.values[name] for name in names) for version in found],
            [tuple(row[name] for name in names) for row in (before, now)],
        )
        self.checks.equal(f"last_updated of sales order {key}", now["last_updated"], before["last_updated"])
        self.checks.equal(f"what changed in sales order {key}", found[-1].changed, (day.silent.column,))
        self.checks.equal(f"begin of sales order {key}", found[0].valid_from, utc(before["last_updated"]))
        self.checks.equal(f"no gap in sales order {key}", found[0].valid_to, found[-1].valid_from)
        self.checks.between(f"sales order {key} changed", found[-1].valid_from, day.started, known)

    def _deleted(self, day: Day, known: datetime) -> None:
        key = int(day.deleted.order_id or 0)
        found = self._versions("fact_sales_order", key, "deleted, and still there to be asked for")
        self.figures["deleted_order"] = key
        states = [(version.is_deleted, version.closed_batch) for version in found]
        self.checks.equal(f"versions of deleted order {key}", states, [(True, 2)])
        self.checks.between(f"sales order {key} deleted", found[0].valid_to, day.started, known)

    def _late(self, day: Day) -> None:
        order = day.late.order
        found = self._versions("fact_sales_order", order.order_id, "committed after the second tick")
        latest = max(placed.at for placed in day.orders)
        self.out.print(
            f"  A watermark would have lost it: its last_updated {order.at:%H:%M:%S} lies before {latest:%H:%M:%S}, "
            "the latest that the second tick saw."
        )
        self.checks.equal(
            f"late order {order.order_id}",
            [(v.recorded_batch, v.valid_from, v.valid_to) for v in found],
            [(3, utc(order.at), None)],
        )
        self.checks.equal("late order is older than what came before it", order.at < latest, True)
        self.figures["late_order"] = {"order": order.order_id, "recorded_batch": [v.recorded_batch for v in found]}

    def _as_of(self, warehouse: psycopg.Connection, day: Day) -> None:
        shown = show.table("As of: what was true when, and what was known", "question", "answer", "expected")
        keys, booked, late, gone = (
            list(day.booked.payment_ids),
            utc(day.booked.at),
            day.late.order,
            day.deleted.order_id,
        )
        paid = "SELECT count(*) FROM totesys.fact_payment_as_of(%s) WHERE payment_id = ANY(%s) AND paid"
        order = "SELECT count(*) FROM totesys.fact_sales_order_as_of(%s) WHERE sales_order_id = %s"
        known = "SELECT count(*) FROM totesys.fact_sales_order_as_of(%s, %s) WHERE sales_order_id = %s"
        before, of = booked - _BEFORE_BATCH, f"of today's {len(keys)} payments paid"
        soon = utc(late.at) + timedelta(minutes=1)
        asked: list[tuple[str, Any, int]] = [
            (f"{of} as of {before:%Y-%m-%d %H:%M:%S}", one(warehouse, paid, before, keys), 0),
            (f"{of} as of {booked + _BEFORE_BATCH:%Y-%m-%d %H:%M:%S}", one(warehouse, paid, booked, keys), len(keys)),
            (f"deleted order {gone} as of {before:%Y-%m-%d %H:%M:%S}", one(warehouse, order, before, gone), 1),
            (f"deleted order {gone} as of now", one(warehouse, order, "now", gone), 0),
            (
                f"late order {late.order_id} as of {soon:%H:%M:%S}, as batch 2 knew it",
                one(warehouse, known, soon, 2, late.order_id),
                0,
            ),
            (
                f"late order {late.order_id} as of {soon:%H:%M:%S}, as batch 3 knows it",
                one(warehouse, known, soon, 3, late.order_id),
                1,
            ),
        ]
        for question, answer, expected in asked:
            shown.add_row(escape(question), str(answer), str(expected))
            self.checks.equal(question, answer, expected)
        self.out.print(shown)
        self.figures["as_of"] = [{"question": q, "answer": a, "expected": e} for q, a, e in asked]

    def _revenue(self, source: psycopg.Connection, warehouse: psycopg.Connection) -> None:
        found = revenue(warehouse, REVENUE_STAR)
        self.checks.equal("revenue by country, month and currency", found, revenue(source, REVENUE))
        months, rows = top(found)
        title = f"Sales in {CURRENCY} by the customer's country (top {len(rows)}) and month, from the star"
        shown = show.table(title, "country", *months, right=months)
        for country, *amounts in rows:
            shown.add_row(escape(country), *(f"{amount:,.2f}" for amount in amounts))
        self.out.print(shown)
        self.figures["revenue"] = {"currency": CURRENCY, "months": months, "rows": rows}

    def _reconciliation(self, source: psycopg.Connection, warehouse: psycopg.Connection) -> None:
        found = reconcile(self.stack.pipeline)
        self.out.print(show.reconciliation(found))
        for line in found.lines:
            name = line.source + (f" -> {line.star}" if line.star else "")
            counts = {line.source_now, line.at_cut, line.mirror}
            counts |= {line.star_lake, line.warehouse} if line.star else set()
            self.checks.equal(f"rows of {name}", sorted(map(str, counts)), [str(line.source_now)])
            self.checks.equal(f"differences of {name}", line.difference, "")
        hashes = {}
        for fact, (theirs, ours) in CONTENTS.items():
            expected, got = contents(source, theirs), contents(warehouse, ours)
            self.checks.equal(f"contents of {fact}", got, expected)
            hashes[fact] = {"source": expected, "warehouse": got}
        same = [fact for fact, pair in hashes.items() if pair["source"] == pair["warehouse"]]
        self.out.print(
            f"  Contents, by a hash over the published columns of all current rows: {len(same)} of {len(hashes)} facts "
            "are equal in source and warehouse.",
            soft_wrap=True,
        )
        self.figures["contents"] = hashes
        self.figures["reconciliation"] = [
            {
                "source": line.source,
                "star": line.star,
                "part_of": line.part_of,
                "source_now": line.source_now,
                "lake": line.mirror,
                "star_lake": line.star_lake,
                "warehouse": line.warehouse,
                "held": line.held,
                "equal": line.agrees,
            }
            for line in found.lines
        ]

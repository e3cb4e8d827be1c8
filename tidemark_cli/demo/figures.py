"""What the demo compares with: plain SQL on the source, written without the model and without Tidemark's code.

Promises: every expectation comes from the source database itself or from what the simulator said it did, and every
figure from the warehouse as a user of the star would ask for it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any, Final, LiteralString

import psycopg

from local_stack.simulator.schema import TABLES

CURRENCY: Final = "GBP"

_SALES: Final = """
    SELECT sales_order_id, created_at::date, created_at::time, last_updated::date, last_updated::time, staff_id,
           counterparty_id, units_sold, unit_price, currency_id, design_id, agreed_payment_date::date,
           agreed_delivery_date::date, agreed_delivery_location_id
    FROM public.sales_order"""
_PURCHASES: Final = """
    SELECT purchase_order_id, created_at::date, created_at::time, last_updated::date, last_updated::time, staff_id,
           counterparty_id, item_code::varchar, item_quantity, item_unit_price, currency_id, agreed_delivery_date::date,
           agreed_payment_date::date, agreed_delivery_location_id
    FROM public.purchase_order"""
_PAYMENTS: Final = """
    SELECT payment_id, created_at::date, created_at::time, last_updated::date, last_updated::time, transaction_id,
           counterparty_id, payment_amount, currency_id, payment_type_id, paid, payment_date::date
    FROM public.payment"""
_SALES_STAR: Final = """
    SELECT sales_order_id, created_date, created_time, last_updated_date, last_updated_time, sales_staff_id,
           counterparty_id, units_sold, unit_price, currency_id, design_id, agreed_payment_date, agreed_delivery_date,
           agreed_delivery_location_id
    FROM totesys.fact_sales_order_current"""
_PURCHASES_STAR: Final = """
    SELECT purchase_order_id, created_date, created_time, last_updated_date, last_updated_time, staff_id,
           counterparty_id, item_code, item_quantity, item_unit_price, currency_id, agreed_delivery_date,
           agreed_payment_date, agreed_delivery_location_id
    FROM totesys.fact_purchase_order_current"""
_PAYMENTS_STAR: Final = """
    SELECT payment_id, created_date, created_time, last_updated_date, last_updated_time, transaction_id,
           counterparty_id, payment_amount, currency_id, payment_type_id, paid, payment_date
    FROM totesys.fact_payment_current"""
CONTENTS: Final[dict[str, tuple[LiteralString, LiteralString]]] = {
    "fact_sales_order": (_SALES, _SALES_STAR),
    "fact_purchase_order": (_PURCHASES, _PURCHASES_STAR),
    "fact_payment": (_PAYMENTS, _PAYMENTS_STAR),
}
REVENUE: Final = """
    SELECT a.country, to_char(o.created_at, 'YYYY-MM') AS month, c.currency_code, sum(o.units_sold * o.unit_price)
    FROM public.sales_order o
    JOIN public.counterparty p ON p.counterparty_id = o.counterparty_id
    JOIN public.address a ON a.address_id = p.legal_address_id
    JOIN public.currency c ON c.currency_id = o.currency_id
    GROUP BY 1, 2, 3"""
REVENUE_STAR: Final = """
    SELECT p.counterparty_legal_country, d.year || '-' || lpad(d.month::text, 2, '0'), c.currency_code,
           sum(f.units_sold * f.unit_price)
    FROM totesys.fact_sales_order_current f
    JOIN totesys.dim_counterparty p USING (counterparty_id)
    JOIN totesys.dim_date d ON d.date_id = f.created_date
    JOIN totesys.dim_currency c USING (currency_id)
    GROUP BY 1, 2, 3"""

Revenue = dict[tuple[str, str, str], Decimal]


@dataclass(frozen=True, kw_only=True)
class Check:
    """One figure and what it had to be."""

    name: str
    found: Any
    expected: Any

    @property
    def agrees(self) -> bool:
        """Whether they are equal."""
        return bool(self.found == self.expected)

    def __str__(self) -> str:
        """Return one line."""
        return f"{self.name}: {self.found} where {self.expected} was expected"


@dataclass
class Checks:
    """All figures that were checked so far."""

    made: list[Check] = field(default_factory=list)

    def equal(self, name: str, found: Any, expected: Any) -> None:
        """Note a figure and its expectation."""
        self.made.append(Check(name=name, found=found, expected=expected))

    def between(self, name: str, found: datetime | None, low: datetime, high: datetime) -> None:
        """Note a time and the bounds that it must not pass."""
        inside = found is not None and low <= found <= high
        self.equal(f"{name} between {low:%H:%M:%S} and {high:%H:%M:%S}", str(found), str(found) if inside else "inside")

    @property
    def disagreeing(self) -> list[Check]:
        """Those that do not agree."""
        return [check for check in self.made if not check.agrees]


def source_counts(source: psycopg.Connection) -> dict[str, int]:
    """Count the rows of all eleven tables."""
    query = " UNION ALL ".join(f"SELECT '{table}', count(*) FROM public.{table}" for table in TABLES)  # noqa: S608
    return dict(source.execute(query.encode()).fetchall())


def contents(connection: psycopg.Connection, query: LiteralString) -> tuple[int, str]:
    """Count a query's rows and add up a 64 bit hash of each: equal sets of rows give equal figures, in any order."""
    whole = f"SELECT count(*), coalesce(sum(hashtextextended(r::text, 0)::numeric), 0)::text FROM ({query}) r"  # noqa: S608
    found = connection.execute(whole).fetchone()
    return (int(found[0]), str(found[1])) if found else (0, "0")


def revenue(connection: psycopg.Connection, query: LiteralString) -> Revenue:
    """Sum up sales by country, month and currency."""
    rows = connection.execute(query).fetchall()
    return {(country, month, currency): amount for country, month, currency, amount in rows}


def top(
    found: Revenue, currency: str = CURRENCY, countries: int = 5, months: int = 4
) -> tuple[list[str], list[list[Any]]]:
    """Pick the last months and the countries that bought most in them; amounts are of one currency, never a mix."""
    mine = {(country, month): amount for (country, month, code), amount in found.items() if code == currency}
    shown = sorted({month for _, month in mine})[-months:]
    totals: dict[str, Decimal] = {}
    for (country, month), amount in mine.items():
        if month in shown:
            totals[country] = totals.get(country, Decimal(0)) + amount
    best = sorted(totals, key=lambda country: (-totals[country], country))[:countries]
    return shown, [[country, *(mine.get((country, month), Decimal(0)) for month in shown)] for country in best]


def one(connection: psycopg.Connection, query: LiteralString, *values: Any) -> Any:
    """Return the first row of a query: its only value, or all of them."""
    found = connection.execute(query, values).fetchone()
    if found is None:
        return None
    return found[0] if len(found) == 1 else tuple(found)

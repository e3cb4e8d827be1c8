"""The rules of the simulated tote-bag maker: its dice, its calendar, its rows. Nothing here touches a database.

The same seed gives the same rows on every Python version: all chance comes from ``random.Random(seed).random()``, and
no wall clock is read. All names are invented. The texts hold what breaks careless pipelines: leading zeros, codes of
digits only, apostrophes, quotes, commas, parentheses, ampersands, a backslash, an empty text that is not NULL, emoji.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, Final, Literal, TypeVar

Kind = Literal["sales", "purchase"]
T = TypeVar("T")

FIRST_DAY: Final = date(2022, 11, 3)
SALES_A_DAY: Final = 20.9
PURCHASES_A_DAY: Final = 8.74
DESIGNS_A_DAY: Final = 0.88
BATCH_TIME: Final = time(7, 55, 11)
OPENING: Final = time(8)
OPEN_SECONDS: Final = 11 * 3600
_FRIDAY: Final = 4
_CODE: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
_PAYMENT_OFFSETS: Final = (7, 16, 16, 16, 16, 17, 10)
_DELIVERY_OFFSETS: Final = (6, 14, 14, 14, 14, 14, 14, 8)


class Dice:
    """Reproducible chance.

    Parameters
    ----------
    seed
        Anything whose ``str`` names the sequence.
    """

    def __init__(self, seed: object) -> None:
        self._random = random.Random(str(seed))  # noqa: S311 - a simulation, not cryptography

    def chance(self, probability: float) -> bool:
        """Return True with `probability`."""
        return self._random.random() < probability

    def integer(self, low: int, high: int) -> int:
        """Return an integer from `low` to `high`, both included."""
        return low + int(self._random.random() * (high - low + 1))

    def pick(self, values: Sequence[T]) -> T:
        """Return one of `values`."""
        return values[self.integer(0, len(values) - 1)]

    def weighted(self, weights: Sequence[int]) -> int:
        """Return an index, each as likely as its weight."""
        left = self.integer(1, sum(weights))
        for index, weight in enumerate(weights):
            left -= weight
            if left <= 0:
                return index
        raise AssertionError("weights must be positive")

    def count(self, mean: float) -> int:
        """Return a Poisson-distributed count (Knuth's method)."""
        limit, product, count = math.exp(-mean), self._random.random(), 0
        while product > limit:
            product *= self._random.random()
            count += 1
        return count

    def code(self, length: int, alphabet: str = _CODE) -> str:
        """Return `length` characters of `alphabet`."""
        return "".join(self.pick(alphabet) for _ in range(length))

    def moment(self, day: date, low: float = 0, high: float = OPEN_SECONDS) -> datetime:
        """Return a millisecond `low` to `high` seconds after opening; every 500th or so is a whole second."""
        millis = self.integer(int(low * 1000), int(high * 1000) - 1)
        if self.chance(1 / 1000):  # and 1 in 1000 is whole anyway
            millis -= millis % 1000
        return datetime.combine(day, OPENING) + timedelta(milliseconds=millis)


@dataclass(frozen=True)
class Population:
    """The ids an order may refer to."""

    designs: Sequence[int]
    staff: Sequence[int]
    counterparties: Sequence[int]
    currencies: Sequence[int]
    addresses: Sequence[int]
    payment_types: dict[Kind, int]


@dataclass(frozen=True)
class Order:
    """One business event: an order with its transaction and payment, still without their ids."""

    kind: Kind
    at: datetime
    order: dict[str, Any]
    payment: dict[str, Any]

    @property
    def table(self) -> str:
        """The order's table."""
        return f"{self.kind}_order"

    @property
    def transaction_type(self) -> str:
        """The transaction's type."""
        return "SALE" if self.kind == "sales" else "PURCHASE"


def is_weekday(day: date) -> bool:
    """Tell whether the business works on `day`."""
    return day.weekday() <= _FRIDAY


def next_weekday(day: date) -> date:
    """Return the first working day after `day`."""
    day += timedelta(days=1)
    while not is_weekday(day):
        day += timedelta(days=1)
    return day


def batch_moment(dice: Dice, day: date) -> datetime:
    """Return when `day`'s payments are booked: 07:55:11 and some milliseconds, the same for all of them."""
    return datetime.combine(day, BATCH_TIME) + timedelta(milliseconds=dice.integer(600, 999))


def make_order(dice: Dice, kind: Kind, at: datetime, population: Population) -> Order:
    """Invent one order and its payment: the same moment, amount, counterparty, currency and date."""
    stamps = {"created_at": at, "last_updated": at}
    delivery = at.date() + timedelta(days=dice.weighted(_DELIVERY_OFFSETS))
    due = at.date() + timedelta(days=dice.weighted(_PAYMENT_OFFSETS))
    if kind == "sales":
        quantity, price = dice.integer(1001, 99973), Decimal(dice.integer(200, 400)) / 100
        what = {"units_sold": quantity, "unit_price": price, "design_id": dice.pick(population.designs)}
    else:
        quantity, price = dice.integer(1, 999), Decimal(dice.integer(332, 99907)) / 100
        what = {"item_quantity": quantity, "item_unit_price": price, "item_code": item_code(dice)}
    order = {
        **stamps,
        **what,
        "staff_id": dice.pick(population.staff),
        "counterparty_id": dice.pick(population.counterparties),
        "currency_id": dice.pick(population.currencies),
        "agreed_delivery_date": delivery.isoformat(),
        "agreed_payment_date": due.isoformat(),
        "agreed_delivery_location_id": dice.pick(population.addresses),
    }
    payment = {
        **stamps,
        "counterparty_id": order["counterparty_id"],
        "payment_amount": quantity * price,
        "currency_id": order["currency_id"],
        "payment_type_id": population.payment_types[kind],
        "paid": False,
        "payment_date": due.isoformat(),
        "company_ac_number": dice.integer(10_000_000, 99_999_999),
        "counterparty_ac_number": dice.integer(10_000_000, 99_999_999),
    }
    return Order(kind, at, order, payment)


def item_code(dice: Dice) -> str:
    """Invent an item code; a few are digits only (also with leading zeros) or look like a float."""
    if dice.chance(1 / 150):
        return dice.pick(("0", "00", "")).ljust(2, "7") + dice.code(5, "0123456789")
    if dice.chance(1 / 500):
        return f"{dice.integer(1, 9)}E{dice.code(5, '0123456789')}"
    return dice.code(7)


def make_design(dice: Dice, at: datetime) -> dict[str, Any]:
    """Invent one design."""
    name = dice.pick(DESIGN_NAMES)
    slug = "".join(letter for letter in name.lower() if letter.isascii() and letter.isalnum()) or "design"
    drawn = at.date() - timedelta(days=dice.integer(2, 200))
    return {
        "created_at": at,
        "design_name": name,
        "file_location": dice.pick(FILE_LOCATIONS),
        "file_name": f"{slug}-{drawn:%Y%m%d}-{dice.code(4).lower()}.json",
        "last_updated": at,
    }


DESIGN_NAMES: Final = (
    *("Linen", "Willow", "Harbour", "Marram", "Shingle", "Copper", "Larkspur", "Indigo", "Kelp & Salt", "Café crème"),
    *("O'Hara Stripe", "Tide 🌊", "Plain (undyed)", "Oak, Ash, Elm", "Åland", "007", "Night Ferry", "Lighthouse"),
)
FILE_LOCATIONS: Final = (
    *("/designs/spring", "/designs/autumn", "/designs/old", "/srv/art", "/srv/art/press", "/studio/a", "/studio/b"),
    *(
        "/studio/c (archive)",
        "/mnt/proofs",
        "/mnt/proofs/2nd edition",
        "/proofs/tote",
        "/exports/final",
        "/exports/für Köln",
    ),
)

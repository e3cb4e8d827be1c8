"""One random write to the shop as SQL: made of literals, so that the log of a fuzz can be run by hand."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any, Final

Keys = Callable[[str], list[Any]]

NOW: Final = "clock_timestamp() AT TIME ZONE 'UTC'"
_DUE: Final = ("2026-03-01", "2026-12-31", "2027-02-28", "2024-02-29")
_NO_DATE: Final = ("2026-02-30", "soon", "2026-3-1", "", "2027-02-29")
_TEXTS: Final = (
    "plain",
    "",
    "O'Hara",
    '"quoted", with comma',
    "two\nlines",
    "tab\there",
    "back\\slash",
    "ümlaut 🌊",
    " ",
)
_CODES: Final = ("7", "12", "-3", "no number", "2147483648", "1.5")
_SHELVES: Final = ("A", "B", "b", "", "two\nlines", "O'Hara")
_PLACES: Final = ("north", "south", "O'Hara", "", "ümlaut", "A", "a")


def literal(value: object) -> str:
    """Quote a value."""
    if value is None:
        return "NULL"
    if isinstance(value, int):
        return str(value)
    return "'" + str(value).replace("'", "''") + "'"


def random_write(rng: random.Random, keys: Keys) -> str:
    """Choose a table, and what becomes of one or a few of its rows."""
    (table,) = rng.choices([_orders, _customer, _country, _stock, _tag, _staff], [10, 4, 1, 2, 2, 2])
    return table(rng, keys)


def _orders(rng: random.Random, keys: Keys) -> str:
    if rng.random() < 0.04:
        return _batch(rng)
    there = keys("SELECT order_id FROM orders ORDER BY 1")
    if not there or rng.random() < 0.25:
        # Small numbers, so that deleted keys come back; sometimes one from another range.
        key = rng.randint(1, 90) if rng.random() < 0.8 else rng.randint(1, 9) * 100_000
        return _order(rng, key)
    key = rng.choice(there)
    where = f"WHERE order_id = {key}"
    new = rng.choice([*(k for k in range(60, 95)), 700_001])
    amount = rng.randint(0, 999_999) / 100
    note, shelf = literal(rng.choice([None, *_TEXTS])), literal(rng.choice(_SHELVES))
    return rng.choice(
        [
            f"UPDATE orders SET amount = {amount}, last_updated = {NOW} {where}",
            f"UPDATE orders SET note = {note}, last_updated = {NOW} {where}",
            f"UPDATE orders SET amount = {amount} {where}",  # silent
            f"UPDATE orders SET note = {note} {where}",  # silent
            f"UPDATE orders SET shelf = {shelf}, last_updated = {NOW} {where}",
            f"UPDATE orders SET shelf = {shelf} {where}",  # silent
            f"UPDATE orders SET note = note, amount = amount {where}",  # written, and as before
            f"UPDATE orders SET last_updated = {NOW} {where}",  # touched, and as before
            f"UPDATE orders SET amount = {amount}, last_updated = last_updated - interval '1 day' {where}",
            f"UPDATE orders SET amount = {amount}, last_updated = {NOW} + interval '1 hour' {where}",
            f"UPDATE orders SET customer_id = {rng.randint(1, 33)}, last_updated = {NOW} {where}",
            f"UPDATE orders SET due = '{rng.choice(_NO_DATE)}' {where}",
            f"UPDATE orders SET due = '{rng.choice(_DUE)}', last_updated = {NOW} {where}",
            f"UPDATE orders SET due = '2026-05-05', last_updated = {NOW} WHERE due !~ '^20\\d\\d-\\d\\d-\\d\\d$'",
            f"UPDATE orders SET order_id = {new} {where}",
            f"UPDATE orders SET note = 'batch', last_updated = {NOW} WHERE order_id % 7 = {key % 7}",
            f"DELETE FROM orders {where}",
            f"DELETE FROM orders {where}",
            f"DELETE FROM orders {where} OR order_id = {key + 1}",
        ]
    )


def _order(rng: random.Random, key: int) -> str:
    due = rng.choice(_NO_DATE) if rng.random() < 0.15 else rng.choice(_DUE)
    updated = rng.choice([NOW, "'2026-02-02 10:00'", f"{NOW} - interval '3 hours'"])
    values = (
        key,
        rng.randint(1, 33),
        rng.randint(0, 99_999),
        due,
        rng.choice([None, *_TEXTS]),
        rng.choice(_SHELVES),
        "2026-02-02 09:30:00.123",
    )
    return f"INSERT INTO orders (order_id, customer_id, amount, due, note, shelf, created_at, last_updated) VALUES ({', '.join(map(literal, values))}, {updated})"


def _batch(rng: random.Random) -> str:
    """More rows than what the jobs handle key by key."""
    return rng.choice(
        [
            "INSERT INTO orders (order_id, customer_id, amount, due, note, created_at, last_updated) SELECT i, 1 + i % 33, i,"
            f" '{rng.choice(_DUE)}', NULL, '2025-12-31 23:59:59.999', {NOW} FROM generate_series(2001, 3500) i"
            " ON CONFLICT DO NOTHING",
            f"UPDATE orders SET amount = amount + 1, last_updated = {NOW} WHERE order_id > 2000",
            f"DELETE FROM orders WHERE order_id BETWEEN {rng.randint(2001, 3500)} AND 3500",
        ]
    )


def _customer(rng: random.Random, keys: Keys) -> str:
    there = keys("SELECT customer_id FROM customer ORDER BY 1")
    code = literal(rng.choice([None, *_CODES]))
    name, country = literal(rng.choice(_TEXTS)), literal(rng.choice([None, 1, 2, 3, 4]))
    if not there or rng.random() < 0.35:
        return f"INSERT INTO customer (customer_id, name, country_id, code) VALUES ({rng.randint(1, 33)}, {name}, {country}, {code})"
    where = f"WHERE customer_id = {rng.choice(there)}"
    return rng.choice(
        [
            f"UPDATE customer SET name = {name} {where}",
            f"UPDATE customer SET country_id = {country} {where}",
            f"UPDATE customer SET code = {code} {where}",
            "UPDATE customer SET code = '5' WHERE code !~ '^-?\\d{1,9}$'",
            f"UPDATE customer SET customer_id = {rng.randint(20, 33)} {where}",
            f"DELETE FROM customer {where}",
        ]
    )


def _country(rng: random.Random, keys: Keys) -> str:
    key, label = rng.randint(1, 4), literal(rng.choice(_TEXTS))
    if key in keys("SELECT country_id FROM country"):
        return rng.choice(
            [f"UPDATE country SET label = {label} WHERE country_id = {key}"] * 2
            + [f"DELETE FROM country WHERE country_id = {key}"]
        )
    return f"INSERT INTO country (country_id, label) VALUES ({key}, {label})"


def _stock(rng: random.Random, keys: Keys) -> str:
    place, item = literal(rng.choice(_PLACES)), rng.randint(1, 12)
    where = f"WHERE place = {place} AND item = {item}"
    if not keys(f"SELECT 1 FROM stock {where}"):
        return f"INSERT INTO stock (place, item, units) VALUES ({place}, {item}, {rng.randint(0, 99)})"
    return rng.choice(
        [
            f"UPDATE stock SET units = {rng.randint(0, 99)} {where}",
            f"UPDATE stock SET item = {rng.randint(1, 40)} {where}",
            f"UPDATE stock SET place = {literal(rng.choice(_PLACES))} {where}",
            f"DELETE FROM stock {where}",
            f"DELETE FROM stock WHERE place = {place}",
        ]
    )


def _tag(rng: random.Random, keys: Keys) -> str:
    tag, meaning = literal(rng.choice(_TEXTS)), literal(rng.choice([None, *_TEXTS]))
    if not keys(f"SELECT 1 FROM tag WHERE tag = {tag}"):
        return f"INSERT INTO tag (tag, meaning) VALUES ({tag}, {meaning})"
    return rng.choice(
        [
            f"UPDATE tag SET meaning = {meaning} WHERE tag = {tag}",
            f"UPDATE tag SET tag = tag || 'x' WHERE tag = {tag}",
            f"DELETE FROM tag WHERE tag = {tag}",
        ]
    )


def _staff(rng: random.Random, keys: Keys) -> str:
    key, seller = rng.randint(1, 33), literal(rng.choice(_TEXTS))
    if rng.random() < 0.03:
        return "DELETE FROM staff"
    if not keys(f"SELECT 1 FROM staff WHERE customer_id = {key}"):
        return f"INSERT INTO staff (customer_id, seller) VALUES ({key}, {seller})"
    return rng.choice(
        [
            f"UPDATE staff SET seller = {seller} WHERE customer_id = {key}",
            f"UPDATE staff SET seller = seller WHERE customer_id = {key}",  # written, and as before
            f"UPDATE staff SET customer_id = {rng.randint(25, 36)} WHERE customer_id = {key}",
            f"DELETE FROM staff WHERE customer_id = {key}",
        ]
    )

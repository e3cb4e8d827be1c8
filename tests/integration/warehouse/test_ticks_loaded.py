"""Ticks, each loaded into warehouses of every kind at once, on both ends of PostgreSQL's range: the lake is one for all."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from itertools import count
from typing import Any

import pytest
from tidemark.base.credentials import Credentials
from tidemark.base.errors import ReconcileError

from local_stack.postgres.server import EmbeddedPostgres
from tests.integration.conftest import Harness, credentials_of
from tests.integration.warehouse import test_duckdb, test_load
from tests.integration.warehouse.load_suite import LoadSuite, NewPlace

COLOUR = (
    ("source.yml", "      note: {", "      colour: {type: text, nullable: true, description: Colour}\n      note: {"),
    (
        "star.yml",
        "      note: {",
        "      colour: {type: varchar, nullable: true, description: Its colour}\n      note: {",
    ),
    ("fact_order.sql", "note,", "note, colour,"),
    ("star.yml", "numeric(10,2)", "numeric(12,2)"),
    ("source.yml", "numeric(10,2)", "numeric(12,2)"),
)


@dataclass(frozen=True)
class Place:
    """A shop's warehouse: what the suite of its kind asks, of this one."""

    kind: LoadSuite
    shop: Harness
    credentials: Credentials

    def load(self) -> int:
        return self.kind.load(self.shop, self.credentials)

    def ask(self, statement: str) -> list[tuple[Any, ...]]:
        return self.kind.ask(self.credentials, statement.replace("STAR", self.shop.model.name))

    def ledger(self) -> list[tuple[Any, ...]]:
        return self.kind.ledger(self.credentials)

    def differences(self) -> list[Any]:
        return self.kind.differences(self.shop, self.credentials)

    def contents(self) -> dict[str, Any]:
        return {name: self.kind.rows(self.shop, self.credentials, name) for name in self.shop.model.star_names}

    def colours(self) -> list[tuple[int, int, str | None, Decimal]]:
        return [
            (order, version.number, version.values["colour"], version.values["amount"])
            for order in (5, 7, 9)
            for version in self.kind.versions(self.shop, self.credentials, str(order))
        ]

    def stored_colours(self) -> list[str | None]:
        """Of order 7, sorted; whatever the model says."""
        return in_order(row[0] for row in self.ask("SELECT colour FROM STAR.fact_order WHERE order_id = 7"))


@dataclass(frozen=True)
class Shop:
    """A shop, and one warehouse of each kind."""

    shop: Harness
    kinds: dict[str, tuple[LoadSuite, NewPlace]]

    def new_places(self) -> dict[str, Place]:
        return {name: Place(kind, self.shop, new_place()) for name, (kind, new_place) in self.kinds.items()}

    def tick(self, places: dict[str, Place]) -> None:
        manifest = self.shop.must_extract()
        self.shop.transform()
        assert {name: place.load() for name, place in places.items()} == dict.fromkeys(places, manifest.batch)

    def stored_colours(self) -> list[str | None]:
        """Of order 7 in the lake, sorted."""
        return in_order(row["colour"] for row in self.shop.lake("fact_order") if row["order_id"] == 7)


def in_order(colours: Iterator[str | None]) -> list[str | None]:
    return sorted(colours, key=lambda colour: (colour is None, colour))


def of_each(places: dict[str, Place], what: Callable[[Place], Any]) -> list[Any]:
    """What all of them answer: one entry if they answer the same."""
    found: list[Any] = []
    for place in places.values():
        answer = what(place)
        found += [] if answer in found else [answer]
    return found


@pytest.fixture(scope="module")
def kinds(
    both_ends: list[EmbeddedPostgres], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, tuple[LoadSuite, NewPlace]]:
    numbers = count(1)

    def on(server: EmbeddedPostgres) -> NewPlace:
        return lambda: credentials_of(server.create_database(f"ticks_{next(numbers)}"))

    found: dict[str, tuple[LoadSuite, NewPlace]] = {
        f"postgres {number}": (test_load.TestPostgres(), on(server)) for number, server in enumerate(both_ends)
    }
    return found | {"duckdb": (test_duckdb.TestDuckDb(), lambda: test_duckdb.new_file(tmp_path_factory))}


@pytest.fixture
def everywhere(shop: Harness, kinds: dict[str, tuple[LoadSuite, NewPlace]]) -> Shop:
    return Shop(shop, kinds)


def test_loaded_run_by_run_or_all_at_once_is_the_same(everywhere: Shop) -> None:
    shop, steadily, late = everywhere.shop, everywhere.new_places(), everywhere.new_places()
    everywhere.tick(steadily)
    for number in (1, 2):
        shop.execute(
            f"UPDATE orders SET note = 'n{number}' WHERE order_id < 4",
            f"DELETE FROM orders WHERE order_id = {90 + number}",
        )
        everywhere.tick(steadily)
    assert of_each(late, Place.load) == [3]
    assert len(of_each(steadily | {f"late {name}": place for name, place in late.items()}, Place.contents)) == 1
    assert of_each(steadily, Place.ledger) == [[(1, 0), (2, 1), (3, 2)]]
    assert of_each(late, Place.ledger) == [[(3, 0)]]
    assert of_each(late, Place.differences) == [[]]
    assert shop.pending() == []

    # A warehouse that somebody took a row from is noticed, and left as it was.
    shop.execute("UPDATE orders SET note = 'x' WHERE order_id = 5")
    shop.must_extract()
    shop.transform()
    for place in late.values():
        place.ask("DELETE FROM STAR.fact_order WHERE order_id = 17")
        with pytest.raises(
            ReconcileError, match=r"fact_order: source 2998 less 0 held back, lake 2998, warehouse 2997"
        ):
            place.load()
        assert place.ledger() == [(3, 0)]
        assert [version.number for version in place.kind.versions(shop, place.credentials, "5")] == [1]
    assert shop.pending() == ["0000000004"]
    assert of_each(steadily, Place.load) == [4]


def test_what_no_tick_touches_is_counted_at_the_next_full_compare(everywhere: Shop) -> None:
    shop, places = everywhere.shop, everywhere.new_places()
    del places["duckdb"]  # which counts every table with every load
    everywhere.tick(places)
    for place in places.values():
        place.ask("UPDATE STAR.dim_customer SET is_deleted = true WHERE customer_id = 1")
    shop.execute("UPDATE orders SET note = 'x' WHERE order_id = 5")
    everywhere.tick(places)
    shop.must_extract(full=True)
    shop.transform()
    for place in places.values():
        with pytest.raises(ReconcileError, match=r"dim_customer: source 20 less 0 held back, lake 20, warehouse 19"):
            place.load()
        assert place.ledger() == [(1, 0), (2, 1)]
        place.ask("UPDATE STAR.dim_customer SET is_deleted = false WHERE customer_id = 1")
        assert place.load() == 3


def test_a_ledger_without_counts_gets_them(everywhere: Shop) -> None:
    shop, places = everywhere.shop, everywhere.new_places()
    del places["duckdb"]
    everywhere.tick(places)
    for place in places.values():
        place.ask("ALTER TABLE etl.load_ledger DROP COLUMN present_rows")
        place.ask("UPDATE STAR.dim_customer SET is_deleted = true WHERE customer_id = 1")
    shop.execute("UPDATE orders SET note = 'x' WHERE order_id = 5")
    shop.must_extract()
    shop.transform()
    for place in places.values():
        with pytest.raises(ReconcileError, match=r"dim_customer: .* warehouse 19"):
            place.load()
        place.ask("UPDATE STAR.dim_customer SET is_deleted = false WHERE customer_id = 1")
        assert place.load() == 2
        counts = "SELECT present_rows->>'dim_customer' FROM etl.load_ledger ORDER BY batch"
        assert place.ask(counts) == [(None,), ("20",)]


def test_the_star_grows_with_its_model(everywhere: Shop) -> None:
    shop, places, late = everywhere.shop, everywhere.new_places(), everywhere.new_places()
    shop.execute(
        "ALTER TABLE orders ADD COLUMN colour text", "ALTER TABLE orders ALTER COLUMN amount TYPE numeric(12,2)"
    )
    everywhere.tick(places)
    shop.turn(*COLOUR)
    shop.execute(
        "UPDATE orders SET colour = 'red', amount = 9999999999.99 WHERE order_id = 5",
        "UPDATE orders SET colour = 'blue' WHERE order_id = 7",
    )
    everywhere.tick(places)
    filled = [
        (5, 1, None, Decimal("6.25")),
        (5, 2, "red", Decimal("9999999999.99")),
        (7, 1, "blue", Decimal("8.75")),
        (9, 1, None, Decimal("11.25")),
    ]
    assert of_each(places, Place.colours) == [filled], "a value in a new column is filled in and makes no version"
    assert of_each(places, Place.differences) == [[]]
    shop.execute("UPDATE orders SET colour = 'green' WHERE order_id IN (7, 9)")
    everywhere.tick(places)
    filled[3:] = [
        (7, 2, "green", Decimal("8.75")),
        (9, 1, None, Decimal("11.25")),
        (9, 2, "green", Decimal("11.25")),
    ]
    assert of_each(places, Place.colours) == [filled], "from then on the column has a history"
    assert of_each(late, Place.load) == [3]
    assert of_each(places, Place.differences) == of_each(late, Place.differences) == [[]]
    for place in places.values():
        place.kind.grown(shop, place.credentials)


def test_a_column_taken_out_of_the_model_loses_no_history(everywhere: Shop) -> None:
    """What batches wrote in it that were not loaded before it was taken out: seldom loads, or loads that failed."""
    shop, places = everywhere.shop, everywhere.new_places()
    shop.execute("ALTER TABLE orders ADD COLUMN colour text DEFAULT 'white'")
    shop.turn(*COLOUR[:3])
    everywhere.tick(places)
    two_batches_not_loaded(shop, "red", "green")
    shop.turn(*COLOUR[:3], back=True)
    shop.execute("UPDATE orders SET note = 'x' WHERE order_id = 7")
    everywhere.tick(places)
    assert everywhere.stored_colours() == ["green", "red", "white", None]
    assert of_each(places, Place.stored_colours) == [everywhere.stored_colours()]

    # Loaded without the column, then filled in by batches that were not loaded before it was taken out again.
    shop.turn(*COLOUR[:3])
    two_batches_not_loaded(shop, "blue", "black")
    shop.turn(*COLOUR[:3], back=True)
    shop.execute("UPDATE orders SET note = 'y' WHERE order_id = 9")
    everywhere.tick(places)
    assert everywhere.stored_colours() == ["black", "blue", "green", "red", "white"], "blue is filled in"
    assert of_each(places, Place.stored_colours) == [everywhere.stored_colours()]

    # Landed without the column, applied with it, loaded without it: a version has what the one before it had.
    shop.turn(*COLOUR[:3])
    everywhere.tick(places)
    shop.turn(*COLOUR[:3], back=True)
    shop.execute("UPDATE orders SET note = 'z' WHERE order_id = 7")
    shop.must_extract()
    shop.turn(*COLOUR[:3])
    shop.transform()
    shop.turn(*COLOUR[:3], back=True)
    shop.execute("UPDATE orders SET note = 'y' WHERE order_id = 7")
    everywhere.tick(places)
    assert everywhere.stored_colours() == ["black", "black", "blue", "green", "red", "white", None]
    assert of_each(places, Place.stored_colours) == [everywhere.stored_colours()]


def two_batches_not_loaded(shop: Harness, *colours: str) -> None:
    for colour in colours:
        shop.execute(f"UPDATE orders SET colour = '{colour}' WHERE order_id = 7")
        shop.must_extract()
        shop.transform()

"""Whoever waits for a table that is only being compared does not wait long."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest
from tidemark.base.errors import GaveWayError
from tidemark.source.contents import open_source
from tidemark.warehouse.postgres.reader import PostgresReader

if TYPE_CHECKING:
    from tests.integration.conftest import Harness


@pytest.mark.servers
def test_a_migration_of_the_source_goes_on_though_its_tables_are_being_compared(shop: Harness) -> None:
    migration = threading.Thread(target=shop.execute, args=("ALTER TABLE country ADD COLUMN later int",), daemon=True)

    def compare() -> None:
        with open_source(shop.reader) as source:
            for found in source.contents(shop.model):
                assert list(found.rows)
                if not migration.ident:
                    migration.start()
                    migration.join(60)
                    assert not migration.is_alive()

    with pytest.raises(GaveWayError, match="waited for the comparison's locks, so it was given up"):
        compare()
    with open_source(shop.reader) as source:
        assert [len(list(found.rows)) for found in source.contents(shop.model)] == [2, 20, 3000]


def test_a_change_of_the_warehouse_goes_on_though_its_tables_are_being_read(shop: Harness) -> None:
    shop.must_extract()
    shop.transform()
    shop.load()
    name = f"{shop.model.name}.fact_order"
    fact = shop.model.facts["fact_order"]

    def read() -> None:
        with shop.warehouse_in().reader() as reader:
            assert isinstance(reader, PostgresReader)
            assert reader.present_rows(fact) == 3000
            reader._connection.execute(f"BEGIN; LOCK TABLE {name} IN ACCESS SHARE MODE")  # as a long query would
            with shop.warehouse().connect() as migration:
                migration.execute(f"ALTER TABLE {name} ADD COLUMN theirs int")
            reader.present_rows(fact)

    with pytest.raises(GaveWayError, match="waited for the comparison's locks, so it was given up"):
        read()
    assert shop.differences() == []

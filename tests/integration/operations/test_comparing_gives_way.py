"""Whoever waits for a table that is only being compared does not wait long."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest
from tidemark.base.errors import GaveWayError
from tidemark.source.contents import open_source

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

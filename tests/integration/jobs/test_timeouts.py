"""Roles whose sessions may neither idle in a transaction nor take long: the jobs' own transactions are theirs to time."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from tidemark.lake.reader import LakeReader
from tidemark.landing.writer import read_all
from tidemark.warehouse.postgres.load import PostgresLoad

if TYPE_CHECKING:
    from tests.integration.conftest import Harness

IDLE = ("idle_in_transaction_session_timeout", "transaction_timeout")
SECONDS = 0.5
SLOWER = 2 * SECONDS


def impatient(pipeline: Harness, dbname: str, role: str, *settings: str) -> None:
    """Let the role's sessions in this database end early, as an administrator may."""
    for setting in settings:
        pipeline.execute(f"ALTER ROLE {role} IN DATABASE {dbname} SET {setting} = '{SECONDS * 1000:.0f}ms'")


def test_a_load_takes_the_time_that_it_needs(
    new_pipeline: Callable[[], Harness], monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = new_pipeline()
    shop.must_extract()
    shop.transform()
    warehouse = shop.warehouse()
    impatient(shop, warehouse.dbname, warehouse.username, *IDLE, "statement_timeout")
    assert shop.query("SHOW statement_timeout", warehouse) == [("500ms",)]
    delta, present_rows = LakeReader.delta, PostgresLoad.present_rows

    def slow_lake(*arguments: Any) -> Any:
        time.sleep(SLOWER)
        return delta(*arguments)

    def slow_count(self: PostgresLoad, table: Any) -> int:
        self._fetch(f"SELECT pg_sleep({SLOWER})")
        return present_rows(self, table)

    monkeypatch.setattr(LakeReader, "delta", slow_lake)
    monkeypatch.setattr(PostgresLoad, "present_rows", slow_count)
    assert shop.load() == 1


def test_an_extract_holds_its_snapshot_and_reads_as_long_as_it_takes(
    new_pipeline: Callable[[], Harness], monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = new_pipeline()
    impatient(shop, shop.source.dbname, shop.reader.username, *IDLE)
    # A reader that needs longer than its role may take: the rows of a view that wait.
    shop.execute(
        "ALTER TABLE country RENAME TO country_rows",
        f"CREATE VIEW country AS SELECT country_id, label FROM country_rows, pg_sleep({SLOWER})",
        "GRANT SELECT ON country TO PUBLIC",
    )
    shop.edit("source.yml", "    description: Countries\n", "    description: Countries\n    incremental: full\n")

    def slow_readers(*arguments: Any) -> Any:
        time.sleep(SLOWER)
        return read_all(*arguments)

    monkeypatch.setattr("tidemark.jobs.extract.read_all", slow_readers)
    assert shop.must_extract().tables["orders"].rows == 3000

"""Versions begin at the moment that a wall clock means, wherever it hangs, and never after their cut."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from tidemark.base.errors import ModelError
from tidemark.lake.batches import TableChange

if TYPE_CHECKING:
    from tests.integration.conftest import Harness

pytestmark = pytest.mark.servers

UPDATED = "last_updated AS _updated_at"


def test_valid_from_is_the_moment_and_the_columns_stay_as_they_are(
    shop: Harness, caplog: pytest.LogCaptureFixture
) -> None:
    shop.edit("source.yml", "time_zone: UTC", "time_zone: America/New_York")
    shop.execute("DELETE FROM orders WHERE order_id > 2")
    shop.tick()
    (first,) = shop.versions(1)
    assert first["valid_from"] == datetime(2026, 1, 10, 14, 1, tzinfo=UTC)
    assert str(first["created_time"]).startswith("09:01:00"), "what is published is what the clock showed"
    now = "clock_timestamp() AT TIME ZONE 'America/New_York'"
    shop.execute(f"UPDATE orders SET amount = 7, last_updated = {now} - interval '1 minute' WHERE order_id = 1")
    manifest = shop.tick()
    cut = datetime.fromisoformat(manifest.cut.time)
    ended, begun = shop.versions(1)
    assert ended["valid_to"] == begun["valid_from"]
    assert timedelta(0) < cut - begun["valid_from"] < timedelta(minutes=10)
    run = shop.reader_of_the_lake().last_batch()
    assert run is not None
    assert run.changes["fact_order"] == TableChange(changed=1)
    assert "changed after the cut" not in caplog.text

    shop.edit("source.yml", "time_zone: America/New_York", "time_zone: America/Los_Angeles")
    shop.execute(
        f"UPDATE orders SET amount = 8, last_updated = {now} WHERE order_id = 1",
        f"UPDATE orders SET amount = 9, last_updated = {now} - interval '4 hours' WHERE order_id = 2",
    )
    manifest = shop.tick()
    cut = datetime.fromisoformat(manifest.cut.time)
    *_, ended, begun = shop.versions(1)
    assert ended["valid_to"] == begun["valid_from"] == cut, "three hours ahead: it begins at its cut"
    assert shop.versions(2)[-1]["valid_from"] < cut - timedelta(minutes=30)
    run = shop.reader_of_the_lake().last_batch()
    assert run is not None
    assert run.changes["fact_order"] == TableChange(changed=2, ahead=1)
    assert "fact_order             1 new versions say that they changed after the cut" in caplog.text
    assert len(shop.versions(2)) == 2, "another zone alone makes no version"
    assert not shop.differences()


@pytest.mark.parametrize(
    ("zones", "updated", "said"),
    [
        ("", "greatest(last_updated, created_at)", "_updated_at comes from orders.created_at, orders.last_updated, which"),
        ("", "coalesce(last_updated, timestamp_ntz '2024-01-01')", "_updated_at comes from orders.last_updated, which"),
        ("time_zone: UTC\n", "greatest(last_updated, created_at)",
         "_updated_at is made of orders.created_at, orders.last_updated, of different time zones: Asia/Tokyo, UTC"),
    ],
)  # fmt: skip
def test_whatever_is_made_of_wall_clocks_needs_one_zone(shop: Harness, zones: str, updated: str, said: str) -> None:
    shop.edit("source.yml", "time_zone: UTC\n", zones)
    if zones:
        shop.edit("source.yml", "created_at: {", "created_at: {time_zone: Asia/Tokyo, ")
    shop.edit("fact_order.sql", UPDATED, f"{updated} AS _updated_at")
    shop.must_extract()
    with pytest.raises(ModelError) as caught:
        shop.transform()
    assert f"fact_order.sql: {said}" in str(caught.value)
    shop.edit("fact_order.sql", updated, f"to_utc_timestamp({updated}, 'Asia/Tokyo')")
    shop.transform()
    assert shop.versions(1)[0]["valid_from"] == datetime(2026, 1, 10, 0, 1, tzinfo=UTC)

"""Rows of a megabyte go all the way, a few at a time."""

from __future__ import annotations

import random

from tidemark.base.spark import rows_at_a_time

from tests.integration.conftest import Harness

ROWS, WIDTH = 24, 10**6


def write(shop: Harness, *orders: int) -> None:
    """Give orders notes of a megabyte that cannot be made smaller."""
    with shop.source.connect() as connection:
        for order in orders:
            note = random.randbytes(WIDTH // 2).hex()  # noqa: S311 - no secret
            connection.execute("UPDATE orders SET note = %s WHERE order_id = %s", (note, order))


def test_wide_rows_go_all_the_way(shop: Harness) -> None:
    shop.execute(f"DELETE FROM orders WHERE order_id > {ROWS}")
    write(shop, *range(1, ROWS + 1))
    for _ in range(2):
        manifest = shop.tick()
        width = manifest.tables["orders"].widest
        assert WIDTH <= width < WIDTH + 1000
        batch = int(shop.spark.conf.get("spark.sql.parquet.columnarReaderBatchSize") or 0)
        assert batch == rows_at_a_time(width) < rows_at_a_time(0)
        notes = "SELECT order_id, md5(note) FROM"
        loaded = shop.query(
            f"{notes} {shop.model.name}.fact_order WHERE is_current ORDER BY order_id", shop.warehouse()
        )
        assert loaded == shop.query(f"{notes} orders ORDER BY order_id")
        write(shop, 7)
    groups = shop.lake_table("orders", source=True).inspect.files().column("split_offsets").to_pylist()
    assert max(len(found or ()) for found in groups) >= ROWS // 8, "of a few rows each"

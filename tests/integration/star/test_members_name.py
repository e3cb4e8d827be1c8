"""A star table may be called like the program's own words."""

from __future__ import annotations

import pytest

from tests.integration.conftest import Harness


@pytest.mark.parametrize("name", ["fact_order", "members"])
def test_a_fact_called_members_gets_its_new_column(shop: Harness, name: str) -> None:
    """Its counts once stood in one dict with those of the inferred members, which overwrote them."""
    star, sql = shop.folder / "star.yml", shop.folder / f"{name}.sql"
    star.write_text(star.read_text().replace("  fact_order:", f"  {name}:"))
    (shop.folder / "fact_order.sql").rename(sql)
    note = (
        ("star.yml", "      note: {type: varchar, nullable: true, description: Note}\n", ""),
        (f"{name}.sql", "    note,\n", ""),
    )
    shop.turn(*note)
    shop.tick()
    text, full = star.read_text(), sql.read_text()
    star.write_text(text + "      note: {type: varchar, nullable: true, description: Note}\n")
    sql.write_text(full.replace("    last_updated", "    note,\n    last_updated"))
    shop.execute("UPDATE customer SET name = 'x' WHERE customer_id = 1")
    shop.tick()
    run = shop.reader_of_the_lake().last_batch()
    assert run is not None
    assert run.changes[name].backfilled == 1000
    assert run.inferred_members == {}
    assert sum(row["note"] is not None for row in shop.lake(name)) == 1000
    loaded = shop.query(f"SELECT count(note) FROM {shop.model.name}.{name}", shop.warehouse())
    assert loaded == [(1000,)]
    assert shop.differences() == []

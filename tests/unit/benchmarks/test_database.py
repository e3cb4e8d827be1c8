"""The database of many tables: the same for the same seed, and all that its tables are to have."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks import database

if TYPE_CHECKING:
    from tests.conftest import NewDatabase


def test_a_seed_makes_the_same_tables_and_they_hold_what_they_say(new_database: NewDatabase) -> None:
    tables = database.draw(60, 3)
    assert tables == database.draw(60, 3) != database.draw(60, 4)
    with new_database("many").connect() as connection:
        database.create(connection, tables)
        for table in tables:
            assert connection.execute(f"SELECT count(*) FROM {table.name}".encode()).fetchone() == (table.rows,)
        kinds = "SELECT contype::text, count(*) FROM pg_constraint WHERE contype IN ('f', 'p') AND conparentid = 0 GROUP BY 1"
        found: dict[str, int] = dict(connection.execute(kinds.encode()).fetchall())
        assert found["p"] >= 60
        assert found["f"] > 20
        partitioned = connection.execute(b"SELECT count(*) FROM pg_class WHERE relkind = 'p'").fetchone()
        assert partitioned is not None
        assert partitioned[0] > 0
        database.change(connection, tables[:2], 5)
        changed = f"SELECT count(*) FROM {tables[1].name} WHERE note LIKE '%.'"
        assert connection.execute(changed.encode()).fetchone() == (5,)

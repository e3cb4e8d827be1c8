"""A fact whose key has several columns: the same history as with one, and no two keys are taken for each other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from tidemark.base.errors import TidemarkError
from tidemark.operations.history import read_versions

if TYPE_CHECKING:
    from tests.integration.conftest import Harness

SOURCE = """  line:
    description: Lines of orders
    key: [sku, place]
    columns:
      place: {type: bigint, nullable: false, description: Order and place}
      sku: {type: text, nullable: false, description: What}
      amount: {type: text, nullable: true, description: How many}
"""
STAR = """  fact_line:
    description: Lines of orders, every version
    surrogate_key: line_record_id
    key: [order_place, item]
    from_key: [place, sku]
    from: line
    columns:
      item: {type: varchar, nullable: false, description: What}
      order_place: {type: bigint, nullable: false, description: Order and place}
      amount: {type: integer, nullable: false, description: How many}
  dim"""
DIMENSION = """dimensions:
  dim_line:
    description: Lines of orders, as they are
    key: [place, sku]
    from: line
    columns:
      place: {type: bigint, nullable: false, description: Order and place}
      sku: {type: varchar, nullable: false, description: What}
      amount: {type: integer, nullable: true, description: How many}
"""


@pytest.fixture
def lines(shop: Harness) -> Harness:
    shop.execute(
        "CREATE TABLE line (place bigint, sku text, amount text, PRIMARY KEY (sku, place))",
        "GRANT SELECT ON line TO PUBLIC",
        "INSERT INTO line SELECT i % 7, 'sku ' || i / 7, i::text FROM generate_series(1, 60) i",
        """INSERT INTO line VALUES (1, '2", "3', '1'), (1, '2', '2'), (12, '3', '3'), (1, '23', '4'), (1, '', '5')""",
    )
    shop.edit("source.yml", "tables:\n", f"tables:\n{SOURCE}")
    shop.edit("star.yml", "dimensions:\n", DIMENSION)
    shop.edit("star.yml", "facts:\n", "facts:\n" + STAR.removesuffix("  dim"))
    (shop.folder / "fact_line.sql").write_text("SELECT place AS order_place, sku AS item, amount FROM line")
    (shop.folder / "dim_line.sql").write_text("SELECT place, sku, amount FROM line WHERE try_cast(amount AS int) >= 0")
    shop.edit("star.yml", "  dim_line:\n", "  dim_line:\n    filtered: true\n")
    return shop


def history(lines: Harness, place: int, item: str) -> list[tuple[Any, ...]]:
    query = (
        "SELECT version, amount, is_current, is_deleted, recorded_batch, closed_batch FROM {}.fact_line"
        " WHERE order_place = {} AND item = '{}' ORDER BY version"
    )
    return lines.query(query.format(lines.model.name, place, item), lines.warehouse())


def test_versions_deletes_returns_and_quarantine(lines: Harness) -> None:
    lines.tick()
    assert lines.query(f"SELECT count(*) FROM {lines.model.name}.fact_line_current", lines.warehouse()) == [(65,)]
    lines.execute(
        "UPDATE line SET amount = '20' WHERE (place, sku) = (1, '2')",
        "DELETE FROM line WHERE (place, sku) = (12, '3')",
        "UPDATE line SET amount = 'none' WHERE (place, sku) = (1, '23')",
        """UPDATE line SET sku = '4' WHERE sku = '2", "3'""",
    )
    lines.tick()
    lines.execute("INSERT INTO line VALUES (12, '3', '3')", "UPDATE line SET amount = '40' WHERE sku = '23'")
    waiting = [(entry["table_name"], entry["key"]) for entry in lines.reader_of_the_lake().quarantined()]
    assert waiting == [("fact_line", '["1","23"]')]
    lines.tick()
    assert history(lines, 1, "2") == [(1, 2, False, False, 1, 2), (2, 20, True, False, 2, None)]
    assert history(lines, 12, "3") == [(1, 3, False, True, 1, 2), (2, 3, True, False, 3, None)]
    assert history(lines, 1, "23") == [(1, 4, False, False, 1, 3), (2, 40, True, False, 3, None)]
    assert history(lines, 1, '2", "3') == [(1, 1, False, True, 1, 2)]
    assert history(lines, 1, "4") == [(1, 1, True, False, 2, None)]
    assert history(lines, 1, "") == [(1, 5, True, False, 1, None)]
    assert not lines.reader_of_the_lake().quarantined()
    alive = f"SELECT place, sku, amount FROM {lines.model.name}.dim_line WHERE NOT is_deleted"
    assert sorted(lines.query(alive, lines.warehouse())) == sorted(
        lines.query("SELECT place, sku, amount::int FROM line")
    )
    assert lines.differences() == []
    with lines.warehouse_in().reader() as warehouse:
        fact = lines.model.facts["fact_line"]
        assert [version.changed for version in read_versions(warehouse, lines.model, fact, ["1", "2"])] == [
            (),
            ("amount",),
        ]
        for key in (["1"], ["1", "2", "3"], ["one", "2"]):
            with pytest.raises(
                TidemarkError, match="is not a key of fact_line; expected: order_place, of type bigint, item"
            ):
                read_versions(warehouse, lines.model, fact, key)
    assert lines.extract() is None

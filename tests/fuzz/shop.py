"""The source of the fuzz: the tests' small shop made smaller, with a composite key and a text key beside it.

``orders.shelf`` and ``staff`` are what the model leaves out at first, and takes in when it is changed
(``tests/fuzz/models.py``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

    import psycopg

# Where a table's key and columns are; the oracle and the source work know the source by this alone.
COLUMNS: Final = {
    "country": ("country_id", "label"),
    "customer": ("customer_id", "name", "country_id", "code"),
    "orders": ("order_id", "customer_id", "amount", "due", "note", "created_at", "last_updated", "shelf"),
    "staff": ("customer_id", "seller"),
    "stock": ("place", "item", "units"),
    "tag": ("tag", "meaning"),
}
_SCHEMA: Final = """
DELETE FROM orders WHERE order_id > 60;
ALTER TABLE orders ADD COLUMN shelf text NOT NULL DEFAULT 'A';
CREATE TABLE staff (customer_id int PRIMARY KEY, seller text NOT NULL);
INSERT INTO staff SELECT i, 'seller ' || i % 5 FROM generate_series(1, 25) i;
CREATE TABLE stock (place text, item int, units int NOT NULL, PRIMARY KEY (place, item));
INSERT INTO stock SELECT p, i, i FROM unnest(ARRAY['north', 'south']) p, generate_series(1, 10) i;
CREATE TABLE tag (tag text PRIMARY KEY, meaning text);
INSERT INTO tag VALUES ('new', 'just arrived'), ('', 'nothing'), ('O''Hara', NULL);
"""
_MODEL: Final = """tables:
  stock:
    description: Stock
    key: [place, item]
    columns:
      place: {type: text, nullable: false, description: Place}
      item: {type: integer, nullable: false, description: Item}
      units: {type: integer, nullable: false, description: Units}
  tag:
    description: Tags
    key: [tag]
    columns:
      tag: {type: text, nullable: false, description: Tag}
      meaning: {type: text, nullable: true, description: What it means}
"""


_INPUT_IS_VALID = """
CREATE FUNCTION public.pg_input_is_valid(value text, kind text) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('SELECT %L::%s', value, kind);
    RETURN true;
EXCEPTION WHEN others THEN
    RETURN false;
END $$
"""


def grow(connection: psycopg.Connection, folder: Path) -> None:
    """Turn a fresh shop, its database and its model folder, into that of the fuzz."""
    if connection.info.server_version < 160000:
        connection.execute(_INPUT_IS_VALID)  # which the oracle asks; PostgreSQL 16 brought it
    connection.execute(_SCHEMA.encode())
    declared = (folder / "source.yml").read_text()
    (folder / "source.yml").write_text(declared.replace("tables:\n", _MODEL, 1))

"""The model of the fuzz changes: switches that may be on or off, and the model folder written anew for any set of them.

A column or table that a switch brings is in the source all the time. What a switch means for lake and warehouse, the
oracle knows (``tests/fuzz/oracle.py``); here is only what the folder says.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tests.fuzz.shop import COLUMNS

if TYPE_CHECKING:
    from pathlib import Path

Model = frozenset[str]
Edit = tuple[str, str, str]

BASE: Final[Model] = frozenset()
# Columns of fact_order that are there only while the switch of their name is on.
OPTIONAL: Final = ("shelf", "seller")
SHELF: Final[tuple[Edit, ...]] = (
    ("source.yml", "      note: {", "      shelf: {type: text, nullable: false, description: Shelf}\n      note: {"),
    ("star.yml", "      note: {", "      shelf: {type: varchar, nullable: false, description: Shelf}\n      note: {"),
    ("fact_order.sql", "    note,\n", "    shelf,\n    note,\n"),
)
SELLER: Final[tuple[Edit, ...]] = (
    (
        "source.yml",
        "  orders:\n",
        "  staff:\n    description: Staff\n    key: [customer_id]\n    columns:\n"
        "      customer_id: {type: integer, nullable: false, description: Customer}\n"
        "      seller: {type: text, nullable: false, description: Who sells to them}\n  orders:\n",
    ),
    ("star.yml", "    from: orders\n", "    from: orders\n    joins: [staff]\n"),
    ("star.yml", "      note: {", "      seller: {type: varchar, nullable: true, description: Seller}\n      note: {"),
    ("fact_order.sql", "    order_id,\n", "    o.order_id,\n"),
    ("fact_order.sql", "    customer_id,\n", "    o.customer_id,\n    s.seller,\n"),
    ("fact_order.sql", "FROM orders\n", "FROM orders o\nLEFT JOIN staff s ON s.customer_id = o.customer_id\n"),
)
_LOUD: Final[tuple[Edit, ...]] = (("fact_order.sql", "    note,\n", "    upper(note) AS note,\n"),)
# In an order in which each finds its place, whichever of the others are on.
_EDITS: Final = {"shelf": SHELF, "seller": SELLER, "loud": _LOUD}
SWITCHES: Final = tuple(_EDITS)


class ModelFolder:
    """A model folder, as it is the base.

    Parameters
    ----------
    folder
        Where; it is read once and written with every change.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        files = {file for edits in _EDITS.values() for file, _, _ in edits}
        self._base = {file: (folder / file).read_text() for file in sorted(files)}

    def write(self, model: Model) -> None:
        """Write the folder for a set of switches."""
        texts = dict(self._base)
        for switch in (name for name in SWITCHES if name in model):
            for file, old, new in _EDITS[switch]:
                assert texts[file].count(old) == 1, (switch, file, old)
                texts[file] = texts[file].replace(old, new)
        for file, text in texts.items():
            (self._folder / file).write_text(text)


def mirrored(model: Model) -> dict[str, tuple[str, ...]]:
    """Source tables and columns that a model's manifests tell of."""
    withheld = {("orders", "shelf")} if "shelf" not in model else set()
    tables = [name for name in COLUMNS if name != "staff" or "seller" in model]
    return {name: tuple(column for column in COLUMNS[name] if (name, column) not in withheld) for name in tables}


def named(model: Model) -> str:
    """A model in words."""
    return ", ".join(sorted(model)) or "base"

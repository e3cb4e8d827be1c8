"""What Tidemark adds to a model: its own tables, the columns that every table gets, the calendar; and present rows.

Each is said here once. The lake's tables, the warehouse's, what is copied into it and compared with it, the data
dictionary, and the names that a model may not give all follow from it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from tidemark.model.definition import Column, Fact
from tidemark.model.types import PgType

if TYPE_CHECKING:
    from tidemark.model.definition import Model, StarTable

QUARANTINE: Final = "quarantine"
"""The lake's table of rejected rows."""
BATCHES: Final = "etl_batches"
"""The lake's table of what was applied to it."""


@dataclass(frozen=True, kw_only=True)
class AddedColumn(Column):
    """A column that Tidemark adds; ``in_warehouse`` says whether the warehouse has it too, or the lake alone."""

    in_warehouse: bool = True


def _added(name: str, kind: str, description: str, *, nullable: bool = False, in_warehouse: bool = True) -> AddedColumn:
    return AddedColumn(
        name=name, type=PgType(kind), description=description, nullable=nullable, in_warehouse=in_warehouse
    )


MIRROR_COLUMNS: Final = (_added("_batch", "bigint", "Manifest that last changed this row", in_warehouse=False),)
DIMENSION_COLUMNS: Final = (
    _added("is_deleted", "boolean", "The source row is gone; kept because facts refer to it"),
    _added("is_inferred", "boolean", "Stands in for a row that is in quarantine or missing"),
    _added("recorded_batch", "bigint", "Batch that last changed this row"),
)
FACT_COLUMNS: Final = (
    _added("version", "integer", "1, 2, 3 and so on, per key"),
    _added("valid_from", "timestamptz", "From when this version was true in the source"),
    _added("valid_to", "timestamptz", "Until when it was true; NULL while current", nullable=True),
    _added("is_current", "boolean", "Whether this is the key's present version"),
    _added("is_deleted", "boolean", "Whether this version ended because the source row was deleted"),
    _added("recorded_batch", "bigint", "Batch that wrote this version"),
    _added("closed_batch", "bigint", "Batch that closed this version; NULL while current", nullable=True),
    _added(
        "_updated_at",
        "timestamptz",
        "The source's own time of change, to tell whether it moved",
        nullable=True,
        in_warehouse=False,
    ),
)
CALENDAR_COLUMNS: Final = (replace(DIMENSION_COLUMNS[-1], in_warehouse=False),)
QUARANTINE_COLUMNS: Final = (
    _added("table_name", "text", "Star table the row was meant for", in_warehouse=False),
    _added("key", "text", "Its key there, as text", in_warehouse=False),
    _added("batch", "bigint", "Batch that put it here", in_warehouse=False),
    _added("reason", "text", "What breaks the contract", in_warehouse=False),
    _added("row", "text", "The row as JSON", in_warehouse=False),
    _added(
        "resolved_batch",
        "bigint",
        "Batch that found it fixed or gone; NULL while open",
        nullable=True,
        in_warehouse=False,
    ),
    _added(
        "keyless_rows",
        "bigint",
        "Rows in this state whose key is NULL; 0 where the key says which row it is",
        nullable=True,  # a lake may be older than the column
        in_warehouse=False,
    ),
)
DATE_COLUMNS: Final[tuple[Column, ...]] = tuple(
    Column(name=name, type=PgType.parse(kind), nullable=False, description=text)
    for name, kind, text in (
        ("date_id", "date", "The day"),
        ("year", "integer", "Calendar year"),
        ("month", "integer", "Month, 1 to 12"),
        ("day", "integer", "Day of the month"),
        ("day_of_week", "integer", "ISO day of the week: Monday = 1 to Sunday = 7"),
        ("day_name", "varchar", "English name of the day"),
        ("month_name", "varchar", "English name of the month"),
        ("quarter", "integer", "Quarter of the year, 1 to 4"),
    )
)
"""The calendar dimension's own columns."""


def added_to(table: StarTable) -> tuple[AddedColumn, ...]:
    """Return what a dimension or fact has in the lake besides the model's columns."""
    return FACT_COLUMNS if isinstance(table, Fact) else DIMENSION_COLUMNS


def added_in_warehouse(table: StarTable) -> tuple[AddedColumn, ...]:
    """Return what a dimension or fact has in the warehouse besides the model's columns and a fact's identity key."""
    return tuple(column for column in added_to(table) if column.in_warehouse)


def warehouse_columns(model: Model, table: str) -> tuple[Column, ...]:
    """Return all columns of a star table, the calendar included, in the warehouse; all but a fact's identity key."""
    if table == model.date_dimension:
        return DATE_COLUMNS
    found = model.facts.get(table) or model.dimensions[table]
    return (*found.columns, *added_in_warehouse(found))


def present_rows(table: StarTable) -> str:
    """Return the condition that a row shows what the source has now: valid in Spark, pyiceberg and any warehouse."""
    return " AND ".join(f"{name} = {'true' if isinstance(table, Fact) else 'false'}" for name in present_columns(table))


def present_columns(table: StarTable) -> tuple[str, ...]:
    """Return the columns of that condition: all that whoever only counts has to read."""
    return ("is_current",) if isinstance(table, Fact) else ("is_deleted", "is_inferred")

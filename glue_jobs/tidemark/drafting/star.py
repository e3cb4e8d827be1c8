"""The draft of a starter star from foreign keys alone.

Rules, few on purpose (docs/model.md has them for users). Only tables whose key a star can hold exactly count. A *fact*
is one that refers to others, and that either none refers to or that has a date of its own, as ``orders`` has an
``order_date``. A *dimension* is any other that some table refers to. A fact's columns that hold a dimension's key, one
column of integers or texts, refer to it; its date of creation partitions it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from tidemark.base.quoting import spark
from tidemark.drafting import names
from tidemark.drafting.catalog import FoundColumn
from tidemark.drafting.references import DATES, ROUNDED, TIMES, UNBOUNDED, has_star_key, pointers, star_type
from tidemark.drafting.source import Drafted, column_description
from tidemark.drafting.zones import is_wall_clock
from tidemark.model.names import FACTS_OWN, MONTHS, TABLES_OWN
from tidemark.model.types import PgType

MOST_COLUMNS: Final = 1500  # PostgreSQL ends at 1,600, and a fact has some of Tidemark's own
_CREATED: Final = frozenset(
    ("created", "createdat", "createdon", "createddate", "createdtime", "createdate", "createtime")
) | {"creationdate", "datecreated", "insertedat", "inserteddate"}
_UPDATED: Final = frozenset(
    ("updated", "updatedat", "updatedon", "lastupdated", "lastupdate", "lastupdatedat", "modified", "modifiedat")
) | {"modifiedon", "modifieddate", "lastmodified", "lastmodifiedat", "updatedate", "dateupdated"}


@dataclass(frozen=True)
class StarColumn:
    """One column of a star table: its name there, the source's column, and how the star declares it."""

    name: str
    source: str
    type: str
    nullable: bool
    description: str
    references: str | None = None


@dataclass(kw_only=True)
class StarTableDraft:
    """One dimension or fact, with the columns of its table that a star cannot hold, or not exactly."""

    name: str
    table: Drafted
    is_fact: bool
    key: tuple[str, ...] = ()
    columns: list[StarColumn] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    rounded: list[str] = field(default_factory=list)
    surrogate_key: str = ""
    partition_by: str = ""
    updated_at: str = ""
    timeless: str = ""
    unlike: list[str] = field(default_factory=list)

    def entry(self) -> dict[str, Any]:
        """Return the table's entry in ``star.yml``."""
        made: dict[str, Any] = {"description": _description(self)}
        if self.is_fact:
            made["surrogate_key"] = self.surrogate_key
        made |= {"key": _one_or_list(self.key), "from": self.table.name}
        if self.table.key != self.key:
            made["from_key"] = _one_or_list(self.table.key)
        if self.partition_by:
            made["partition_by"] = self.partition_by
        made["columns"] = {column.name: _column_entry(column) for column in self.columns}
        return made

    @property
    def notes(self) -> list[str]:
        """What a reader of the draft should know: one line each."""
        found = []
        if self.skipped:
            found.append(f"{self.name} leaves out what a star cannot hold: {', '.join(self.skipped)}")
        if self.rounded:
            found.append(f"{self.name} rounds to {ROUNDED}, write the real precision: {', '.join(self.rounded)}")
        if self.unlike:
            found.append(
                f"{self.name}: {'; '.join(self.unlike)}. To refer to it all the same, join the table in the SQL and "
                "take its key"
            )
        if self.timeless:
            found.append(
                f"{self.name}: versions begin when a tick sees them, for the zone of {self.timeless} has no name of "
                "IANA's: give the column a time_zone in source.yml, and the SQL a line <column> AS _updated_at"
            )
        return found

    def sql(self) -> str:
        """Return the table's SELECT over the mirrors, for Spark."""
        listed = [
            spark(column.source) + ("" if column.source == column.name else f" AS {spark(column.name)}")
            for column in self.columns
        ]
        if self.updated_at:
            listed.append(f"{spark(self.updated_at)} AS {spark('_updated_at')}")
        return "SELECT\n    " + ",\n    ".join(listed) + f"\nFROM {spark(self.table.name)}\n"


@dataclass(kw_only=True)
class StarDraft:
    """All of ``star.yml``."""

    date_dimension: str = ""
    tables: list[StarTableDraft] = field(default_factory=list)

    def role(self, table: Drafted) -> str:
        """Return the name of the star table made of a source table, or nothing."""
        return next((made.name for made in self.tables if made.table is table), "")


def draft_star(tables: Sequence[Drafted], described: dict[tuple[int, str], str]) -> StarDraft:
    """Draft dimensions and facts."""
    able = {table.relation.oid: table for table in tables if has_star_key(table)}
    pointing = {oid: pointers(table, able) for oid, table in able.items()}
    referred = {ref.target for table in tables for ref in table.relation.references if ref.target != table.relation.oid}
    facts = [oid for oid, table in able.items() if pointing[oid] and (oid not in referred or _is_event(table))]
    star, taken = StarDraft(), {"dim_date"}
    dimensions: dict[int, StarTableDraft] = {}
    for oid in (oid for oid in able if oid in referred and oid not in facts):
        made = _star_table(able[oid], taken, is_fact=False)
        _fill(made, described, {})
        dimensions[oid] = made
    for oid in facts:
        made = _star_table(able[oid], taken, is_fact=True)
        to_dimensions = {name: one for name, one in pointing[oid].items() if one.target in dimensions}
        made.unlike = [
            f"{names.shown(name)} does not refer to {dimensions[one.target].name}, for equal values may be written "
            f"differently ({one.why_not})"
            for name, one in to_dimensions.items()
            if one.why_not
        ]
        referring = {name: dimensions[one.target] for name, one in to_dimensions.items() if not one.why_not}
        _fill(made, described, referring)
        entity = made.name.removeprefix("fact_")[: names.STAR_NAME - len("_record_id")]
        made.surrogate_key = names.unique(
            f"{entity}_record_id", (column.name for column in made.columns), names.STAR_NAME
        )
        star.tables.append(made)
    star.tables = [*dimensions.values(), *star.tables]
    star.date_dimension = "dim_date" if any(made.partition_by for made in star.tables) else ""
    return star


def _is_event(table: Drafted) -> bool:
    """Whether a table has a date of its own name: what happened, not what there is."""
    return any(
        column.builtin and PgType.parse(column.type).base in DATES and _is_named_after(_letters(column.name), table)
        for column in table.columns
    )


def _star_table(table: Drafted, taken: set[str], *, is_fact: bool) -> StarTableDraft:
    """Name a star table so that its view and functions in the warehouse have names of their own too."""
    wanted = f"{'fact' if is_fact else 'dim'}_{table.name}"
    refused: set[str] = set()
    while True:
        name = names.unique(wanted, refused, names.STAR_NAME)
        derived = {name + ending for ending in ("", *TABLES_OWN, *FACTS_OWN)}
        if not derived & taken:
            taken |= derived
            return StarTableDraft(name=name, table=table, is_fact=is_fact)
        refused.add(name)


def _fill(made: StarTableDraft, described: dict[tuple[int, str], str], dimensions: dict[str, StarTableDraft]) -> None:
    """Give a star table its columns, the key first."""
    table = made.table
    created = _first(table, DATES, lambda name: _is_own_date(name, table)) if made.is_fact else None
    taken: list[str] = []
    place = {name: index for index, name in enumerate(table.key)}
    for column in sorted(table.columns, key=lambda column: place.get(column.name, len(place))):
        kind = star_type(column)
        if kind is None or len(made.columns) >= MOST_COLUMNS:
            made.skipped.append(f"{names.shown(column.name)} ({column.type if kind is None else 'too many columns'})")
            continue
        text = column_description(table, column, described)
        nullable = not (column.not_null or column.name in table.key)
        if column is created:
            made.columns += _day_and_time(made, column, text, taken)
            continue
        name = names.star_column(column.name, table.columns.index(column) + 1, taken)
        if PgType.parse(column.type) == UNBOUNDED:
            made.rounded.append(names.shown(column.name))
        target = dimensions.get(column.name)
        if target:  # its foreign key says that it holds no other values
            kind = target.columns[0].type
        taken.append(name)
        made.columns.append(StarColumn(name, column.name, kind, nullable, text, target.name if target else None))
    made.key = tuple(column.name for column in made.columns[: len(table.key)])
    if made.is_fact:
        if not made.partition_by:
            made.partition_by = _date_in_key(made)
        updated = _first(table, TIMES, _UPDATED.__contains__)
        made.updated_at = updated.name if updated and _is_moment(updated) else ""
        made.timeless = names.shown(updated.name) if updated and not _is_moment(updated) else ""


def _first(table: Drafted, kinds: Sequence[str], fits: Callable[[str], bool]) -> FoundColumn | None:
    """Return the first column that is not the key, of these types, and called so (lower case, letters only)."""
    for column in table.columns:
        right_type = column.builtin and PgType.parse(column.type).base in kinds
        if right_type and column.name not in table.key and fits(_letters(column.name)):
            return column
    return None


def _is_moment(column: FoundColumn) -> bool:
    """Whether it is known which moment a time means."""
    return not is_wall_clock(column) or bool(column.time_zone)


def _letters(name: str) -> str:
    return name.lower().replace("_", "").replace(" ", "")


def _is_own_date(name: str, table: Drafted) -> bool:
    """Whether that is the table's own date: ``created_at``, or ``order_date`` of ``orders``."""
    return name in _CREATED or _is_named_after(name, table)


def _is_named_after(name: str, table: Drafted) -> bool:
    stem = name.removesuffix("date").removesuffix("at")
    return stem != name and len(stem) > 2 and stem in _letters(table.relation.name)  # noqa: PLR2004


def _date_in_key(made: StarTableDraft) -> str:
    """Return the date that is part of the key, as that of a partitioned table must be; it stays a column as it is."""
    for column in made.columns[: len(made.table.key)]:
        clash = any(other.name == column.name + MONTHS for other in made.columns)
        if PgType.parse(column.type).base in DATES and not clash:
            return column.name
    return ""


def _day_and_time(made: StarTableDraft, column: FoundColumn, text: str, taken: list[str]) -> list[StarColumn]:
    """Split the time of creation into a day, which refers to the calendar, and a time of day."""
    stem = names.slug(column.name, "created").strip("_")
    for ending in ("date", "time", "at", "on"):
        stem = stem.removesuffix(ending).rstrip("_")
    nullable = not column.not_null
    day = names.star_column(f"{stem or 'created'}_date", 1, _others(made, column, taken))
    taken.append(day)
    made.partition_by = day
    result = [StarColumn(day, column.name, "date", nullable, f"{text}: day", "dim_date")]
    if PgType.parse(column.type).base in TIMES:
        time = names.star_column(f"{stem or 'created'}_time", 1, _others(made, column, taken))
        taken.append(time)
        zone = f" ({'UTC' if not is_wall_clock(column) else column.time_zone or 'as the source has it'})"
        result.append(StarColumn(time, column.name, "time", nullable, f"{text}: time of day{zone}"))
    return result


def _others(made: StarTableDraft, column: FoundColumn, taken: list[str]) -> list[str]:
    """Return the names that the day and the time must leave to other columns."""
    others = [*taken, *(other.name.lower() for other in made.table.columns if other is not column)]
    return [*others, *(name.removesuffix(MONTHS) for name in others if name.endswith(MONTHS))]


def _one_or_list(key: tuple[str, ...]) -> str | list[str]:
    return key[0] if len(key) == 1 else list(key)


def _description(made: StarTableDraft) -> str:
    text = names.one_line(made.table.relation.comment) or f"Rows of {made.table.where}"
    return f"{text.rstrip('.')}, every version" if made.is_fact else text


def _column_entry(column: StarColumn) -> dict[str, Any]:
    made: dict[str, Any] = {"type": column.type, "nullable": column.nullable}
    if column.references:
        made["references"] = column.references
    return made | {"description": column.description}

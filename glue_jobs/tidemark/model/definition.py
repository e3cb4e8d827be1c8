"""The model: what to move, and into which shape.

Owns the typed form of a model folder (``source.yml``, ``star.yml``, one SQL file per star table). It is the single
source for the extract's SELECT lists, landing and lake schemas, warehouse DDL and the data dictionary. It promises
that what it hands out is consistent: every reference resolves, every key exists, every type has a form everywhere.
Reading and checking is :mod:`tidemark.model.loader`; the folder itself :mod:`tidemark.model.folder`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from tidemark.model.types import PgType

Strategy = Literal["snapshot", "full", "cursor"]

UNKNOWN_TEXT = "Unknown"


@dataclass(frozen=True, kw_only=True)
class Column:
    """One column of a source or star table.

    ``references`` names the dimension that a fact's column points at; ``time_zone`` the zone of a source column that is
    a wall clock (see :mod:`tidemark.model.time_zones`).
    """

    name: str
    type: PgType
    nullable: bool
    description: str
    references: str | None = None
    time_zone: str | None = None


@dataclass(frozen=True, kw_only=True)
class SourceTable:
    """One table of the source: where it is, its key, and how its changes are found."""

    name: str
    schema: str
    relation: str
    description: str
    key: tuple[str, ...]
    columns: tuple[Column, ...]
    strategy: Strategy = "snapshot"
    cursor: str | None = None
    cursor_overlap_seconds: int = 3600
    shrink_guard: float = 0.1

    def column(self, name: str) -> Column:
        """Return the column called ``name``."""
        return next(column for column in self.columns if column.name == name)

    @property
    def integer_key(self) -> str | None:
        """The key column, if the key is one integer: then deletes are looked for by key ranges."""
        if len(self.key) == 1 and self.column(self.key[0]).type.is_integer:
            return self.key[0]
        return None


@dataclass(frozen=True, kw_only=True)
class StarTable:
    """What a dimension and a fact have in common: one row per key of its driving source table.

    Parameters
    ----------
    key
        The columns that identify a row.
    driver
        The source table of which every row becomes one row (or one chain of versions) here.
    from_key
        The driver's key columns that those of ``key`` are taken from, in the same order.
    joins
        Further source tables that the SQL reads.
    filtered
        Whether the SQL leaves driver rows out; then rows are not counted against the source's.
    """

    name: str
    description: str
    key: tuple[str, ...]
    columns: tuple[Column, ...]
    sql: str
    driver: str
    from_key: tuple[str, ...]
    joins: tuple[str, ...] = ()
    filtered: bool = False

    def column(self, name: str) -> Column:
        """Return the column called ``name``."""
        return next(column for column in self.columns if column.name == name)

    @property
    def inputs(self) -> tuple[str, ...]:
        """All source tables read, the driver first."""
        return (self.driver, *self.joins)


@dataclass(frozen=True, kw_only=True)
class Dimension(StarTable):
    """A dimension: the latest version of each row."""


@dataclass(frozen=True, kw_only=True)
class Fact(StarTable):
    """A fact: every version of each row.

    Parameters
    ----------
    surrogate_key
        Name of the warehouse's identity key.
    partition_by
        Date column by whose months the lake table is partitioned, or None.
    """

    surrogate_key: str
    partition_by: str | None = None

    @property
    def references(self) -> tuple[Column, ...]:
        """Columns that point at a dimension."""
        return tuple(column for column in self.columns if column.references)


@dataclass(frozen=True, kw_only=True)
class Model:
    """A whole model folder.

    ``date_dimension`` is the name of the generated calendar dimension, or None if no fact refers to one; ``lake_name``
    the first part of the lake databases' names, the model's own name unless a deployment says otherwise.
    """

    name: str
    description: str
    tables: dict[str, SourceTable]
    dimensions: dict[str, Dimension]
    facts: dict[str, Fact]
    date_dimension: str | None = None
    digest: str = field(default="", repr=False)
    lake_name: str = ""

    @property
    def source_database(self) -> str:
        """Lake database of the source mirrors."""
        return f"{self.lake_name or self.name}_source"

    @property
    def star_database(self) -> str:
        """Lake database of dimensions, facts, ``etl_batches`` and ``quarantine``."""
        return f"{self.lake_name or self.name}_star"

    @property
    def star_tables(self) -> tuple[Dimension | Fact, ...]:
        """Dimensions, then facts: the order in which they are written."""
        return (*self.dimensions.values(), *self.facts.values())

    @property
    def star_names(self) -> frozenset[str]:
        """Names of all star tables, the calendar included."""
        dates = [self.date_dimension] if self.date_dimension else []
        return frozenset([*self.dimensions, *self.facts, *dates])

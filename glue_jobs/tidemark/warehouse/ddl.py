"""Warehouse DDL for PostgreSQL, as pure functions from the model to statements.

Owns keys, foreign keys, checks, comments, ``<fact>_current`` views and ``<fact>_as_of`` functions.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from tidemark.model import DATE_COLUMNS, Column, Fact
from tidemark.names import pg, pg_literal
from tidemark.types import PgType

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from tidemark.model import Dimension, Model, StarTable

ETL_SCHEMA = "etl"
_STAGE_TYPES = {"int": "integer", "string": "text", "timestamp": "timestamptz", "timestamp_ntz": "timestamp"}
_STAGE_TYPES |= {"float": "real", "double": "double precision"}
_DIMENSION_EXTRAS = (
    ("is_deleted", "boolean NOT NULL DEFAULT false", "The source row is gone; kept because facts refer to it"),
    ("is_inferred", "boolean NOT NULL DEFAULT false", "Stands in for a row that is in quarantine or missing"),
    ("recorded_seq", "bigint NOT NULL", "Run that last changed this row"),
)
_FACT_EXTRAS = (
    ("version", "integer NOT NULL", "1, 2, 3 and so on, per key"),
    ("valid_from", "timestamptz NOT NULL", "From when this version was true in the source"),
    ("valid_to", "timestamptz", "Until when it was true; NULL while current"),
    ("is_current", "boolean NOT NULL", "Whether this is the key's present version"),
    ("is_deleted", "boolean NOT NULL", "Whether this version ended because the source row was deleted"),
    ("recorded_seq", "bigint NOT NULL", "Run that wrote this version"),
    ("closed_seq", "bigint", "Run that closed this version; NULL while current"),
)
FACT_EXTRA_NAMES = tuple(name for name, _, _ in _FACT_EXTRAS)
DIMENSION_EXTRA_NAMES = tuple(name for name, _, _ in _DIMENSION_EXTRAS)

LEDGER = f"""
CREATE TABLE IF NOT EXISTS {pg(ETL_SCHEMA, "load_ledger")} (
    model text NOT NULL,
    seq bigint NOT NULL,
    after_seq bigint NOT NULL,
    lake_id text NOT NULL,
    run_id text NOT NULL,
    cut_time timestamptz NOT NULL,
    loaded_at timestamptz NOT NULL DEFAULT now(),
    rows_written jsonb NOT NULL,
    ddl_digest text NOT NULL,
    PRIMARY KEY (model, seq)
)
"""


def statements(model: Model) -> list[str]:
    """Every statement that makes an empty schema into the model's star; each may be run again without harm."""
    schema = model.name
    result = [
        f"CREATE SCHEMA IF NOT EXISTS {pg(schema)}",
        f"COMMENT ON SCHEMA {pg(schema)} IS {pg_literal(model.description)}",
    ]
    if model.date_dimension:
        result += _dates(schema, model.date_dimension)
    for dimension in model.dimensions.values():
        result += _dimension(schema, dimension)
    for fact in model.facts.values():
        result += _fact(model, fact)
    return result


def digest(model: Model) -> str:
    """Digest of all DDL: equal to the last load's means that nothing has to be looked at."""
    return hashlib.sha256("\0".join([LEDGER, *statements(model), *history_access(model)]).encode()).hexdigest()


def _listed(names: Iterable[str]) -> str:
    return ", ".join(map(pg, names))


def _columns(columns: tuple[Column, ...]) -> list[str]:
    return [f"{pg(c.name)} {c.type.warehouse}{'' if c.nullable else ' NOT NULL'}" for c in columns]


def _dates(schema: str, name: str) -> list[str]:
    table = pg(schema, name)
    body = ", ".join([*_columns(DATE_COLUMNS), f"PRIMARY KEY ({pg('date_id')})"])
    comment = "One row per day of the years that the facts touch"
    return [f"CREATE TABLE IF NOT EXISTS {table} ({body})", *_comments(table, comment, DATE_COLUMNS, ())]


def _dimension(schema: str, dimension: Dimension) -> list[str]:
    table = pg(schema, dimension.name)
    extras = [f"{pg(name)} {kind}" for name, kind, _ in _DIMENSION_EXTRAS]
    body = ", ".join([*_columns(dimension.columns), *extras, f"PRIMARY KEY ({_listed(dimension.key)})"])
    texts = tuple((name, text) for name, _, text in _DIMENSION_EXTRAS)
    return [
        f"CREATE TABLE IF NOT EXISTS {table} ({body})",
        *_comments(table, dimension.description, dimension.columns, texts),
    ]


def _fact(model: Model, fact: Fact) -> list[str]:
    schema, table = model.name, pg(model.name, fact.name)
    parts = [f"{pg(fact.record_id)} bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY", *_columns(fact.columns)]
    parts += [f"{pg(name)} {kind}" for name, kind, _ in _FACT_EXTRAS]
    parts += [f"UNIQUE ({_listed(fact.key)}, {pg('version')})", 'CHECK ("valid_from" < "valid_to")']
    parts += ['CHECK ("is_current" = ("valid_to" IS NULL))', 'CHECK (NOT ("is_current" AND "is_deleted"))']
    for column in fact.references:
        target, key = str(column.references), "date_id"
        if target != model.date_dimension:
            key = model.dimensions[target].key[0]
        parts.append(f"FOREIGN KEY ({pg(column.name)}) REFERENCES {pg(schema, target)} ({pg(key)})")
    texts = ((fact.record_id, "Identity of this version"), *((name, text) for name, _, text in _FACT_EXTRAS))
    return [
        f"CREATE TABLE IF NOT EXISTS {table} ({', '.join(parts)})",
        f"CREATE UNIQUE INDEX IF NOT EXISTS {pg(fact.name + '_one')} ON {table} ({_listed(fact.key)}) WHERE is_current",
        *_comments(table, fact.description, fact.columns, texts),
    ]


def history_access(model: Model) -> list[str]:
    """The ``_current`` views and ``_as_of`` functions; to be run after the tables have all their columns."""
    result = []
    for fact in model.facts.values():
        table, current = pg(model.name, fact.name), pg(model.name, f"{fact.name}_current")
        as_of = pg(model.name, f"{fact.name}_as_of")
        result += [
            f"CREATE OR REPLACE VIEW {current} AS SELECT * FROM {table} WHERE is_current",  # noqa: S608
            f"COMMENT ON VIEW {current} IS {pg_literal(fact.description.split(',')[0] + ', as they are now')}",
            f"CREATE OR REPLACE FUNCTION {as_of}(at timestamptz) RETURNS SETOF {table} LANGUAGE sql STABLE AS "  # noqa: S608
            f"$$SELECT * FROM {table} WHERE valid_from <= $1 AND (valid_to IS NULL OR valid_to > $1)$$",
            f"COMMENT ON FUNCTION {as_of}(timestamptz) IS 'The versions that were true at that time'",
            f"CREATE OR REPLACE FUNCTION {as_of}(at timestamptz, known_seq bigint) RETURNS SETOF {table} "  # noqa: S608
            f"LANGUAGE sql STABLE AS $$SELECT * FROM {table} WHERE recorded_seq <= $2 AND valid_from <= $1 "
            "AND (valid_to IS NULL OR valid_to > $1 OR closed_seq > $2)$$",
            f"COMMENT ON FUNCTION {as_of}(timestamptz, bigint) IS "
            "'The versions that were true at that time, as far as run known_seq knew'",
        ]
    return result


def _comments(table: str, text: str, columns: tuple[Column, ...], extras: tuple[tuple[str, str], ...]) -> list[str]:
    described = [(column.name, column.description) for column in columns] + list(extras)
    return [f"COMMENT ON TABLE {table} IS {pg_literal(text)}"] + [
        f"COMMENT ON COLUMN {table}.{pg(name)} IS {pg_literal(words)}" for name, words in described
    ]


def stage_name(model: str, table: str) -> str:
    """Name of a table's staging table: no two have the same, however long or alike model and table are called."""
    unique = hashlib.sha256(f"{model}.{table}".encode()).hexdigest()[:16]
    return f"{f'stage_{model}_{table}'[:46]}_{unique}"


def stage_type(kind: PgType | str) -> str:
    """Type of a staging column: what Arrow's lake type becomes by binary COPY."""
    spark = kind if isinstance(kind, str) else kind.spark
    if spark.startswith("decimal"):
        return "numeric"
    return _STAGE_TYPES.get(spark, spark)


def evolution(
    table: str, key: Collection[str], columns: tuple[Column, ...], found: dict[str, tuple[PgType, bool]]
) -> list[str]:
    """Statements that bring an existing table to the model: columns added, types widened, NOT NULL dropped.

    Parameters
    ----------
    table
        Quoted name.
    key
        The key's columns: never NULL, whatever the model says.
    found
        The table's columns: type, and whether NOT NULL.

    Raises
    ------
    ValueError
        Naming a column whose type would have to become narrower or another.
    """
    result = []
    for column in columns:
        name = pg(column.name)
        if column.name not in found:
            # History has no value for it, so the column cannot be NOT NULL.
            result.append(f"ALTER TABLE {table} ADD COLUMN {name} {column.type.warehouse}")
            continue
        have, not_null = found[column.name]
        if have != column.type:
            if not _widens(have, column.type):
                raise ValueError(f"{table}.{name} is {have} in the warehouse and {column.type} in the model")
            result.append(f"ALTER TABLE {table} ALTER COLUMN {name} TYPE {column.type.warehouse}")
        if not_null and column.nullable and column.name not in key:
            result.append(f"ALTER TABLE {table} ALTER COLUMN {name} DROP NOT NULL")
    wanted = {column.name for column in columns}
    for name, (_, not_null) in found.items():
        if name not in wanted and not_null:
            result.append(f"ALTER TABLE {table} ALTER COLUMN {pg(name)} DROP NOT NULL")
    return result


def dropped_references(fact: Fact, found: Iterable[tuple[str, str, str]]) -> list[str]:
    """Names of foreign keys, found as (name, column, target), that the model no longer declares.

    The transform no longer sees to it that such a column's values are there, so the key would refuse good rows.
    """
    wanted = {(column.name, column.references) for column in fact.references}
    return [name for name, column, target in found if (column, target) not in wanted]


def lacking(table: StarTable, nulls: Mapping[str, int]) -> list[str]:
    """Columns that are declared NOT NULL, but that some rows have no value for; ``nulls`` counts per column given.

    Only rows that were written before a column was declared so can lack it: what a run evaluates and lacks it goes to
    quarantine. A column of the key is never NULL.
    """
    strict = [column.name for column in table.columns if not column.nullable and column.name not in table.key]
    return [name for name in strict if nulls.get(name, 1)]


def _widens(have: PgType, want: PgType) -> bool:
    shorter = bool(want.args) and not (have.args and have.args[0] <= want.args[0])
    if have.family == "text":
        return want.base in ("varchar", "text", have.base) and not shorter
    if have.family in ("timestamp", "timestamptz") and shorter:
        return False
    return have.fits_in(want)

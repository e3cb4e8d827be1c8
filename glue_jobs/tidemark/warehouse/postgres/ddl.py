"""Warehouse DDL for PostgreSQL, as pure functions from the model to statements.

Owns keys, foreign keys, checks, comments, ``<fact>_current`` views and ``<fact>_as_of`` functions.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from tidemark.base.quoting import pg, pg_literal
from tidemark.model.added_columns import DATE_COLUMNS, added_in_warehouse, warehouse_columns
from tidemark.model.definition import Fact
from tidemark.model.types import PgType

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from tidemark.model.definition import Column, Dimension, Model, StarTable

ETL_SCHEMA = "etl"
_STAGE_TYPES = {"int": "integer", "string": "text", "timestamp": "timestamptz", "timestamp_ntz": "timestamp"}
_STAGE_TYPES |= {"float": "real", "double": "double precision"}

LEDGER = f"""
CREATE TABLE IF NOT EXISTS {pg(ETL_SCHEMA, "load_ledger")} (
    model text NOT NULL,
    batch bigint NOT NULL,
    after_batch bigint NOT NULL,
    lake_id text NOT NULL,
    execution text NOT NULL,
    cut_time timestamptz NOT NULL,
    loaded_at timestamptz NOT NULL DEFAULT now(),
    rows_written jsonb NOT NULL,
    present_rows jsonb,
    ddl_digest text NOT NULL,
    PRIMARY KEY (model, batch)
)
"""

# A ledger that is older than the column gets it: its loads have noted no counts, so the next one counts all tables.
LEDGER_COUNTS = f"ALTER TABLE {pg(ETL_SCHEMA, 'load_ledger')} ADD COLUMN IF NOT EXISTS present_rows jsonb"

# The comments that we set, to tell them from those that people wrote in their place.
COMMENTS = f"""
CREATE TABLE IF NOT EXISTS {pg(ETL_SCHEMA, "comments")} (
    model text NOT NULL,
    target text NOT NULL,
    said text NOT NULL,
    PRIMARY KEY (model, target)
)
"""


def create_schema(model: Model) -> str:
    """The statement that makes the star's schema."""
    return f"CREATE SCHEMA IF NOT EXISTS {pg(model.name)}"


def create_tables(model: Model) -> dict[str, list[str]]:
    """Statements that make each table of the star, in an order in which foreign keys hold."""
    result = {model.date_dimension: [_dates(model, model.date_dimension)]} if model.date_dimension else {}
    result |= {dimension.name: [_dimension(model, dimension)] for dimension in model.dimensions.values()}
    return result | {fact.name: _fact(model, fact) for fact in model.facts.values()}


def statements(model: Model) -> list[str]:
    """Every statement that makes an empty schema into the model's star; each may be run again without harm."""
    made = [create_schema(model), *(statement for table in create_tables(model).values() for statement in table)]
    return made + [comment(target, text) for target, text in table_comments(model).items()]


def comment(target: str, text: str) -> str:
    """Statement that sets the comment of one object, written as :func:`comments` does."""
    return f"COMMENT ON {target} IS {pg_literal(text)}"


def say(model: Model, target: str, text: str) -> str:
    """Statement that notes a comment of ours."""
    values = ", ".join(map(pg_literal, (model.name, target, text)))
    return (
        f"INSERT INTO {pg(ETL_SCHEMA, 'comments')} (model, target, said) VALUES ({values}) "  # noqa: S608 - literals
        "ON CONFLICT (model, target) DO UPDATE SET said = EXCLUDED.said"
    )


def comments(model: Model) -> dict[str, str]:
    """What is said of every object of the star: ``TABLE …``, ``COLUMN …``, ``VIEW …`` and so on -> text."""
    result = table_comments(model)
    for fact in model.facts.values():
        current, as_of = (pg(model.name, f"{fact.name}_{ending}") for ending in ("current", "as_of"))
        result[f"VIEW {current}"] = fact.description.split(",")[0] + ", as they are now"
        result[f"FUNCTION {as_of}(timestamptz)"] = "The versions that were true at that time"
        result[f"FUNCTION {as_of}(timestamptz, bigint)"] = (
            "The versions that were true at that time, as far as batch known_batch knew"
        )
    return result


def table_comments(model: Model) -> dict[str, str]:
    """What is said of the schema, its tables and their columns."""
    result = {f"SCHEMA {pg(model.name)}": model.description}
    if model.date_dimension:
        words = "One row per day of the years that the facts touch"
        result |= _comments(pg(model.name, model.date_dimension), words, DATE_COLUMNS, ())
    for table in model.star_tables:
        texts = [(column.name, column.description) for column in added_in_warehouse(table)]
        if isinstance(table, Fact):
            texts.insert(0, (table.surrogate_key, "Identity of this version"))
        result |= _comments(pg(model.name, table.name), table.description, table.columns, texts)
    return result


def digest(model: Model) -> str:
    """Digest of all DDL: equal to the last load's means that nothing has to be looked at."""
    everything = [LEDGER, COMMENTS, *statements(model), *history_access(model)]
    return hashlib.sha256("\0".join(everything).encode()).hexdigest()


def _listed(names: Iterable[str]) -> str:
    return ", ".join(map(pg, names))


def column_type(kind: PgType) -> str:
    """Type of a star's column; ``char`` alone would be ``char(1)`` here, ``bpchar`` has no end."""
    return "bpchar" if kind == PgType("char") else str(kind)


def _columns(model: Model, table: str) -> list[str]:
    return [
        f"{pg(column.name)} {column_type(column.type)}{'' if column.nullable else ' NOT NULL'}"
        for column in warehouse_columns(model, table)
    ]


def _dates(model: Model, name: str) -> str:
    body = ", ".join([*_columns(model, name), f"PRIMARY KEY ({pg('date_id')})"])
    return f"CREATE TABLE IF NOT EXISTS {pg(model.name, name)} ({body})"


def _dimension(model: Model, dimension: Dimension) -> str:
    body = ", ".join([*_columns(model, dimension.name), f"PRIMARY KEY ({_listed(dimension.key)})"])
    return f"CREATE TABLE IF NOT EXISTS {pg(model.name, dimension.name)} ({body})"


def _fact(model: Model, fact: Fact) -> list[str]:
    schema, table = model.name, pg(model.name, fact.name)
    parts = [f"{pg(fact.surrogate_key)} bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY", *_columns(model, fact.name)]
    parts += [f"UNIQUE ({_listed(fact.key)}, {pg('version')})", 'CHECK ("valid_from" < "valid_to")']
    parts += ['CHECK ("is_current" = ("valid_to" IS NULL))', 'CHECK (NOT ("is_current" AND "is_deleted"))']
    for column in fact.references:
        target, key = str(column.references), "date_id"
        if target != model.date_dimension:
            key = model.dimensions[target].key[0]
        parts.append(f"FOREIGN KEY ({pg(column.name)}) REFERENCES {pg(schema, target)} ({pg(key)})")
    return [
        f"CREATE TABLE IF NOT EXISTS {table} ({', '.join(parts)})",
        f"CREATE UNIQUE INDEX IF NOT EXISTS {pg(fact.name + '_one')} ON {table} ({_listed(fact.key)}) WHERE is_current",
    ]


def history_access(model: Model) -> list[str]:
    """The ``_current`` views and ``_as_of`` functions; to be run after the tables have all their columns."""
    result = []
    for fact in model.facts.values():
        result.append(current_view(model, fact))
        result += [statement for _, _, statement in as_of_functions(model, fact)]
    described = comments(model)
    return result + [comment(target, described[target]) for target in described.keys() - table_comments(model).keys()]


def current_view(model: Model, fact: Fact, options: Sequence[str] = ()) -> str:
    """Statement that makes or grows a fact's ``_current`` view, with the storage options that it has."""
    listed = f" WITH ({', '.join(options)})" if options else ""
    view, table = pg(model.name, f"{fact.name}_current"), pg(model.name, fact.name)
    return f"CREATE OR REPLACE VIEW {view}{listed} AS SELECT * FROM {table} WHERE is_current"  # noqa: S608


def as_of_functions(model: Model, fact: Fact) -> list[tuple[str, str, str]]:
    """Signature, body and statement of a fact's ``_as_of`` functions.

    Operators are named in full, so that nobody's own can take their place. A search path of their own, which would do
    the same, keeps PostgreSQL from putting them into the query that calls them, and so from using indexes.
    """
    table, name = pg(model.name, fact.name), pg(model.name, f"{fact.name}_as_of")
    before, after, most = (f"OPERATOR(pg_catalog.{sign})" for sign in ("<=", ">", "<="))
    ended = f"valid_to IS NULL OR valid_to {after} $1"
    known = f"recorded_batch {most} $2 AND valid_from {before} $1 AND ({ended} OR closed_batch {after} $2)"
    bodies = {
        ("timestamptz", "at timestamptz"): f"valid_from {before} $1 AND ({ended})",
        ("timestamptz, bigint", "at timestamptz, known_batch bigint"): known,
    }
    result = []
    for (types, arguments), condition in bodies.items():
        body = f"SELECT * FROM {table} WHERE {condition}"  # noqa: S608 - quoted names
        head = f"CREATE OR REPLACE FUNCTION {name}({arguments}) RETURNS SETOF {table} LANGUAGE sql STABLE"
        result.append((f"{name}({types})", body, f"{head} AS {pg_literal(body)}"))
    return result


def _comments(table: str, text: str, columns: tuple[Column, ...], extras: Sequence[tuple[str, str]]) -> dict[str, str]:
    described = [(column.name, column.description) for column in columns] + list(extras)
    return {f"TABLE {table}": text} | {f"COLUMN {table}.{pg(name)}": words for name, words in described}


def stage_name(model: str, table: str) -> str:
    """Name of a table's staging table: no two have the same, however long or alike model and table are called."""
    unique = hashlib.sha256(f"{model}.{table}".encode()).hexdigest()[:16]
    return f"{f'stage_{model}_{table}'[:46]}_{unique}"


def stage_type(kind: PgType) -> str:
    """Type of a staging column: what Arrow's lake type becomes by binary COPY."""
    return "numeric" if kind.precision_scale else _STAGE_TYPES.get(kind.spark, kind.spark)


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
        Naming a column whose type would have to become another.
    """
    result = []
    for column in columns:
        name = pg(column.name)
        if column.name not in found:
            # History has no value for it, so the column cannot be NOT NULL.
            result.append(f"ALTER TABLE {table} ADD COLUMN {name} {column_type(column.type)}")
            continue
        have, not_null = found[column.name]
        if have != column.type:
            if _widens(have, column.type):
                result.append(f"ALTER TABLE {table} ALTER COLUMN {name} TYPE {column_type(column.type)}")
            elif not _widens(column.type, have):  # a wider one holds all the same: a widening that was taken back
                raise ValueError(f"{table}.{name} is {have} in the warehouse and {column.type} in the model")
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
    own = {column.name for column in fact.columns}  # on another column, it is somebody else's
    return [name for name, column, target in found if column in own and (column, target) not in wanted]


def lacking(table: StarTable, nulls: Mapping[str, int]) -> list[str]:
    """Columns that are declared NOT NULL, but that some rows have no value for; ``nulls`` counts per column given.

    Only rows that were written before a column was declared so can lack it: newer rows with NULL here are in
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

"""What the source's catalog says of the model's tables: contract and fingerprint.

Promises: before anything is read, every table and column of the model is there, readable, and of a type that the
model's type can hold; all that is wrong is reported at once. The *fingerprint* of a table changes whenever something
happened to it that can change rows without giving them a new xmin (rename swaps, attached partitions, columns with a
constant default, renamed enum labels).
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from tidemark.errors import ContractError
from tidemark.types import PgType

if TYPE_CHECKING:
    import psycopg

    from tidemark.model import Model, SourceTable

_DESCRIBE = """
WITH wanted AS (SELECT * FROM unnest(%(names)s::text[], %(schemas)s::text[], %(relations)s::text[])
                         AS w(name, schema, relation))
SELECT w.name, c.oid::bigint, c.relkind, c.relpages,
       has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT') AS readable,
       has_table_privilege(c.oid, 'INSERT, UPDATE, DELETE, TRUNCATE') AS writable,
       (SELECT jsonb_agg(jsonb_build_array(a.attnum, a.attname, format_type(coalesce(nullif(t.typbasetype, 0), t.oid),
                         CASE WHEN t.typbasetype <> 0 THEN t.typtypmod ELSE a.atttypmod END), a.attnotnull,
                         (SELECT jsonb_agg(e.enumlabel ORDER BY e.enumsortorder) FROM pg_enum e
                           WHERE e.enumtypid = t.oid)) ORDER BY a.attnum)
          FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
         WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped) AS columns,
       (WITH RECURSIVE tree AS (SELECT c.oid UNION ALL
                                SELECT i.inhrelid FROM pg_inherits i JOIN tree ON i.inhparent = tree.oid)
        SELECT jsonb_agg(oid::bigint ORDER BY oid) FROM tree) AS tree
  FROM wanted w
  LEFT JOIN pg_namespace n ON n.nspname = w.schema
  LEFT JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = w.relation AND c.relkind IN ('r','p','v','m','f')
"""


# Declared as text, a column of any type travels as PostgreSQL writes it: infinity, NaN and all.
_ANY: Final = PgType("text")


@dataclass(frozen=True)
class FoundTable:
    """One table as the source has it now; ``types`` are the model columns' types, widened where the source's are."""

    kind: str
    pages: int
    writable: bool
    types: dict[str, PgType]
    fingerprint: str
    extra_columns: tuple[str, ...]

    @property
    def lockable(self) -> bool:
        """Whether LOCK TABLE applies (ordinary and partitioned tables)."""
        return self.kind in ("r", "p")


def describe(connection: psycopg.Connection[Any], model: Model) -> dict[str, FoundTable]:
    """Look the model's tables up, in the connection's snapshot, and hold them against the model.

    Raises
    ------
    ContractError
        Naming every missing table or column, missing privilege and incompatible type.
    """
    tables = list(model.tables.values())
    found = connection.execute(
        _DESCRIBE,
        {
            "names": [table.name for table in tables],
            "schemas": [table.schema for table in tables],
            "relations": [table.relation for table in tables],
        },
    ).fetchall()
    by_name = {row[0]: row[1:] for row in found}
    problems: list[str] = []
    result: dict[str, FoundTable] = {}
    for table in tables:
        result[table.name] = _check_table(table, by_name[table.name], problems)
    if problems:
        more = f" (and {len(problems) - 5} more)" if len(problems) > 5 else ""  # noqa: PLR2004 - what fits a phone
        raise ContractError(
            "the source does not fit the model: " + "; ".join(problems[:5]) + more,
            do=f"mend the source or model {model.name}'s source.yml; nothing was landed",
        )
    return result


def _check_table(table: SourceTable, row: tuple[Any, ...], problems: list[str]) -> FoundTable:
    oid, kind, pages, readable, writable, columns, tree = row
    where = f"{table.schema}.{table.relation}"
    nothing = FoundTable("r", 0, False, {}, "", ())
    if oid is None:
        problems.append(f"table {where} is missing")
        return nothing
    if not readable:
        problems.append(f"table {where} may not be read by this user (GRANT USAGE on its schema and SELECT on it)")
        return nothing
    if table.strategy == "snapshot" and kind not in ("r", "p"):
        problems.append(f"{where} is a view or foreign table: declare incremental: full or cursor")
    types = {name: PgType.parse(kind_text) for _, name, kind_text, _, _ in columns or ()}
    for column in table.columns:
        if column.name not in types:
            near = ", ".join(sorted(types))
            problems.append(f"column {where}.{column.name} is missing (expected {column.type}; found columns: {near})")
        elif not _compatible(types[column.name], column.type):
            problems.append(f"column {where}.{column.name} is {types[column.name]}, expected {column.type}")
    modelled = {column.name: str(column.type) for column in table.columns}
    digest = hashlib.sha256(
        json.dumps([oid, kind, columns, tree, sorted(modelled.items()), table.strategy]).encode()
    ).hexdigest()
    return FoundTable(
        kind=kind,
        pages=max(0, pages),
        writable=writable,
        types={
            column.name: _landing_type(types[column.name], column.type)
            for column in table.columns
            if column.name in types
        },
        fingerprint=digest[:32],
        extra_columns=tuple(name for name in types if name not in modelled),
    )


def _compatible(found: PgType, wanted: PgType) -> bool:
    """Equal, narrower, or wider within the family: the lake's column widens with the source's; text takes anything."""
    return (
        wanted == _ANY
        or found.fits_in(wanted)
        or (wanted.fits_in(found) and (wanted.spark == "string") == (found.spark == "string"))
    )


def _landing_type(found: PgType, wanted: PgType) -> PgType:
    return wanted if wanted == _ANY or found.fits_in(wanted) else found

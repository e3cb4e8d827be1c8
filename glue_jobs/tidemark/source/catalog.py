"""What the source's catalog says of the model's tables: contract and fingerprint.

Promises: before anything is read, every table and column of the model is there, readable, and of a type that the
model's type can hold; all that is wrong is reported at once. The *fingerprint* of a table changes whenever something
happened to it that can change rows without giving them a new xmin (rename swaps, attached partitions, columns with a
constant default, another expression of a virtual column, enum labels and composite types, however deep in a column's
type).
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from tidemark.base.errors import ContractError
from tidemark.model.types import PgType
from tidemark.source import equality

if TYPE_CHECKING:
    from collections.abc import Iterator

    import psycopg

    from tidemark.model.definition import Model, SourceTable
    from tidemark.source.equality import CopiedColumns

# The type behind the columns of ``columns`` (rows of pg_attribute), for the row whose ``typbasetype`` is 0.
BASE_TYPES: Final = """base (relid, attnum, typid, typmod) AS (
    SELECT attrelid, attnum, atttypid, atttypmod FROM columns
    UNION -- a domain is what it is made of, and that may be a domain again
    SELECT b.relid, b.attnum, t.typbasetype, t.typtypmod
      FROM base b JOIN pg_type t ON t.oid = b.typid WHERE t.typbasetype <> 0
)"""
_DESCRIBE: Final = f"""
WITH RECURSIVE wanted AS (
    SELECT w.name, w.key, n.oid AS namespace, c.oid AS relid, c.relkind, c.relpages
      FROM unnest(%(names)s::text[], %(schemas)s::text[], %(relations)s::text[], %(keys)s::jsonb[])
           AS w(name, schema, relation, key)
      LEFT JOIN pg_namespace n ON n.nspname = w.schema
      LEFT JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = w.relation AND c.relkind IN ('r','p','v','m','f')
), columns AS (
    SELECT a.attrelid, a.attnum, a.attname, a.atttypid, a.atttypmod, a.attnotnull, a.attgenerated
      FROM wanted w JOIN pg_attribute a ON a.attrelid = w.relid WHERE a.attnum > 0 AND NOT a.attisdropped
), {BASE_TYPES}, made_of (relid, typid) AS (  -- all types, other than PostgreSQL's own, on which a value's text depends
    SELECT attrelid, atttypid FROM columns WHERE atttypid >= 16384
    UNION
    SELECT m.relid, part.typid
      FROM made_of m JOIN pg_type t ON t.oid = m.typid
     CROSS JOIN LATERAL (
        SELECT t.typbasetype UNION ALL SELECT t.typelem
        UNION ALL SELECT a.atttypid FROM pg_attribute a
                   WHERE a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped
        UNION ALL SELECT r.rngsubtype FROM pg_range r WHERE r.rngtypid = t.oid
        UNION ALL SELECT r.rngtypid FROM pg_range r WHERE (to_jsonb(r) ->> 'rngmultitypid')::oid = t.oid  -- from 14 on
     ) AS part(typid) WHERE part.typid >= 16384
)
SELECT w.name, w.relid::bigint, w.relkind, w.relpages,
       has_schema_privilege(w.namespace, 'USAGE') AND has_table_privilege(w.relid, 'SELECT') AS readable,
       has_table_privilege(w.relid, 'INSERT, UPDATE, DELETE, TRUNCATE') AS writable,
       row_security_active(w.relid) AS row_security,
       (w.relkind <> 'r' OR NOT EXISTS (SELECT FROM pg_inherits i WHERE i.inhparent = w.relid))
       AND NOT EXISTS (SELECT FROM columns a
                        WHERE a.attrelid = w.relid AND NOT a.attnotnull AND w.key ? a.attname::text)
       AND EXISTS (SELECT FROM pg_index i
                    WHERE i.indrelid = w.relid AND i.indisunique AND i.indisvalid
                      AND i.indpred IS NULL AND i.indexprs IS NULL
                      AND NOT EXISTS (SELECT FROM unnest(i.indkey::int2[]) WITH ORDINALITY k(attnum, place)
                                        LEFT JOIN columns a ON a.attrelid = w.relid AND a.attnum = k.attnum
                                                           AND a.attnotnull AND w.key ? a.attname::text
                                       WHERE k.place <= i.indnkeyatts AND a.attnum IS NULL)) AS key_proved,
       (SELECT jsonb_agg(jsonb_build_array(a.attnum, a.attname, format_type(b.typid, b.typmod), a.attnotnull,
                         CASE WHEN a.attgenerated <> '' THEN pg_get_expr(d.adbin, d.adrelid) END) ORDER BY a.attnum)
          FROM columns a
          JOIN base b ON b.relid = a.attrelid AND b.attnum = a.attnum
          JOIN pg_type t ON t.oid = b.typid AND t.typbasetype = 0
          LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
         WHERE a.attrelid = w.relid) AS columns,
       (SELECT jsonb_agg(jsonb_build_array(
                   m.typid::bigint,
                   (SELECT jsonb_agg(e.enumlabel ORDER BY e.enumsortorder) FROM pg_enum e WHERE e.enumtypid = m.typid),
                   (SELECT jsonb_agg(jsonb_build_array(a.attnum, a.atttypid::bigint, a.atttypmod) ORDER BY a.attnum)
                      FROM pg_type t JOIN pg_attribute a ON a.attrelid = t.typrelid
                     WHERE t.oid = m.typid AND a.attnum > 0 AND NOT a.attisdropped)) ORDER BY m.typid)
          FROM made_of m WHERE m.relid = w.relid) AS types,
       (WITH RECURSIVE tree AS (SELECT w.relid UNION ALL
                                SELECT i.inhrelid FROM pg_inherits i JOIN tree ON i.inhparent = tree.relid)
        SELECT jsonb_agg(relid::bigint ORDER BY relid) FROM tree) AS tree
  FROM wanted w
"""  # noqa: S608 - put together from constants


# Declared as text, a column of any type travels as PostgreSQL writes it: infinity, NaN and all.
_ANY: Final = PgType("text")


@dataclass(frozen=True)
class FoundTable:
    """One table as the source has it now.

    ``types`` are the model columns' types, widened where the source's are; ``found`` are the source's own, of all
    columns; ``key_proved`` says whether an index of the source keeps the model's key unique and free of NULL;
    ``row_security`` whether rows may be hidden from this user.
    """

    kind: str
    pages: int
    writable: bool
    row_security: bool
    key_proved: bool
    types: dict[str, PgType]
    found: dict[str, PgType]
    fingerprint: str
    extra_columns: tuple[str, ...]

    @property
    def lockable(self) -> bool:
        """Whether LOCK TABLE applies (ordinary and partitioned tables)."""
        return self.kind in ("r", "p")


def describe(
    connection: psycopg.Connection[Any], model: Model, copied_columns: CopiedColumns | None = None
) -> dict[str, FoundTable]:
    """Look the model's tables up, in the connection's snapshot, and hold them against the model.

    Parameters
    ----------
    copied_columns
        See :func:`tidemark.source.equality.problems`; without it the facts' references are not checked.

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
            "keys": [json.dumps(table.key) for table in tables],
        },
    ).fetchall()
    by_name = {row[0]: row[1:] for row in found}
    problems: list[str] = []
    result: dict[str, FoundTable] = {}
    for table in tables:
        result[table.name] = _check_table(table, by_name[table.name], problems)
    if copied_columns:
        problems += equality.problems(connection, model, copied_columns)
    if problems:
        more = f" (and {len(problems) - 5} more)" if len(problems) > 5 else ""  # noqa: PLR2004 - what fits a phone
        raise ContractError(
            "the source does not fit the model: " + "; ".join(problems[:5]) + more,
            do=f"fix the source or model {model.name}'s source.yml; nothing was landed",
        )
    return result


def _check_table(table: SourceTable, row: tuple[Any, ...], problems: list[str]) -> FoundTable:
    oid, kind, pages, readable, writable, row_security, key_proved, columns, made_of, tree = row
    where = f"{table.schema}.{table.relation}"
    nothing = FoundTable("r", 0, False, False, False, {}, {}, "", ())
    if oid is None:
        problems.append(f"table {where} is missing")
        return nothing
    if not readable:
        problems.append(f"table {where} may not be read by this user (GRANT USAGE on its schema and SELECT on it)")
        return nothing
    types = {name: PgType.parse(kind_text) for _, name, kind_text, _, _ in columns or ()}
    problems += _misfits(table, kind, types, row_security=row_security)
    modelled = {column.name: str(column.type) for column in table.columns}
    digest = hashlib.sha256(
        json.dumps(
            [oid, kind, columns, made_of, tree, sorted(modelled.items()), table.key, table.strategy, table.cursor]
        ).encode()
    ).hexdigest()
    return FoundTable(
        kind=kind,
        pages=max(0, pages),
        writable=writable,
        row_security=row_security,
        key_proved=key_proved,
        types={
            column.name: _landing_type(types[column.name], column.type)
            for column in table.columns
            if column.name in types
        },
        found=types,
        fingerprint=digest[:32],
        extra_columns=tuple(name for name in types if name not in modelled),
    )


def _misfits(table: SourceTable, kind: str, types: dict[str, PgType], *, row_security: bool) -> Iterator[str]:
    """Say what of a readable table does not fit the model."""
    where = f"{table.schema}.{table.relation}"
    if table.strategy == "snapshot" and kind not in ("r", "p"):
        yield f"{where} is a view or foreign table: declare incremental: full or cursor"
    if table.strategy == "snapshot" and row_security:  # rows that a policy shows again have an old xmin
        yield (
            f"row-level security of {where} may hide rows from this user (ALTER ROLE … BYPASSRLS), or declare "
            "incremental: full to move what it is shown"
        )
    for column in table.columns:
        if column.name not in types:
            near = ", ".join(sorted(types))
            yield f"column {where}.{column.name} is missing (expected {column.type}; found columns: {near})"
        elif not _compatible(types[column.name], column.type):
            yield f"column {where}.{column.name} is {types[column.name]}, expected {column.type}"


def _compatible(found: PgType, wanted: PgType) -> bool:
    """Equal, narrower, or wider within the family: the lake's column widens with the source's; text takes anything."""
    return (
        wanted == _ANY
        or found.fits_in(wanted)
        or (wanted.fits_in(found) and (wanted.spark == "string") == (found.spark == "string"))
    )


def _landing_type(found: PgType, wanted: PgType) -> PgType:
    return wanted if wanted == _ANY or found.fits_in(wanted) else found

"""Values that the source takes for equal although they are written differently, and references between them.

The lake and the warehouse compare what was landed: for most types, PostgreSQL's text. ``citext``, collations that are
not deterministic, ``numeric`` without scale, ``interval``, floats and others have values that are equal in several
spellings. A key of such a type is kept as it is written; but a reference to it would miss its row wherever it is
spelled otherwise, and nobody would see it. Promises: such a reference is refused before anything lands, unless the fact
takes the very column that the dimension's key is, by a join in its SQL. Types are looked at in the catalogue, through
domains, arrays, composites and ranges; only those whose equality is known to be that of their text pass.

What a reference is fed from, whoever calls tells by the plan of the fact's SQL; he is asked only where the catalogue
gives cause.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    import psycopg

    from tidemark.model.definition import Column, Dimension, Fact, Model, SourceTable

    CopiedColumns = Callable[[Model, Fact], Mapping[str, str]]

# Types of PostgreSQL's own of which two values are equal if, and only if, their texts are.
_AS_WRITTEN: Final = (
    *("bool", "int2", "int4", "int8", "oid", "xid8", "text", "varchar", "bpchar", "name", "char", "bytea", "uuid"),
    *("date", "timestamp", "timestamptz", "time", "timetz", "inet", "cidr", "macaddr", "macaddr8", "bit", "varbit"),
    *("money", "pg_lsn"),
)
_FLOATS: Final = ("float4", "float8")
# One row per column of the relations: its base type, and why its values may have several spellings.
_SPELLINGS: Final = """
WITH RECURSIVE parts (relid, attnum, typid, typmod, collation_id, inside) AS (
    SELECT a.attrelid, a.attnum, a.atttypid, a.atttypmod, a.attcollation, false
      FROM pg_catalog.pg_attribute a
     WHERE a.attrelid = ANY (%(oids)s::pg_catalog.int8[]::pg_catalog.oid[]) AND a.attnum > 0 AND NOT a.attisdropped
    UNION
    SELECT p.relid, p.attnum, part.typid, part.typmod, part.collation_id, p.inside OR part.inside
      FROM parts p JOIN pg_catalog.pg_type t ON t.oid = p.typid
     CROSS JOIN LATERAL (
        SELECT t.typbasetype, t.typtypmod, p.collation_id, false WHERE t.typtype = 'd'
        UNION ALL SELECT e.oid, p.typmod, p.collation_id, true
                    FROM pg_catalog.pg_type e WHERE e.typarray = t.oid AND e.oid = t.typelem
        UNION ALL SELECT a.atttypid, a.atttypmod, a.attcollation, true FROM pg_catalog.pg_attribute a
                   WHERE t.typtype = 'c' AND a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped
        UNION ALL SELECT r.rngsubtype, -1, r.rngcollation, true FROM pg_catalog.pg_range r WHERE r.rngtypid = t.oid
        UNION ALL SELECT r.rngtypid, -1, 0::pg_catalog.oid, true FROM pg_catalog.pg_range r  -- from 14 on
                   WHERE pg_catalog.jsonb_extract_path_text(pg_catalog.to_jsonb(r), 'rngmultitypid') = t.oid::text
     ) AS part (typid, typmod, collation_id, inside)
), leaves AS (
    SELECT p.*, t.typname, t.typcategory, t.typtype, t.typnamespace = 'pg_catalog'::pg_catalog.regnamespace AS builtin,
           pg_catalog.jsonb_extract_path_text(pg_catalog.to_jsonb(c), 'collisdeterministic') = 'false' AS loose,
           c.collname
      FROM parts p JOIN pg_catalog.pg_type t ON t.oid = p.typid
      LEFT JOIN pg_catalog.pg_collation c ON c.oid = p.collation_id
     WHERE t.typtype IN ('b', 'e', 'p') AND NOT EXISTS (SELECT FROM pg_catalog.pg_type e WHERE e.typarray = t.oid)
), reasons AS (
    SELECT relid, attnum, CASE
        WHEN loose THEN 'collation ' || pg_catalog.quote_ident(collname) || ' takes texts for equal that differ'
        WHEN typtype = 'e' THEN NULL
        WHEN builtin AND typname = 'bpchar' AND inside THEN 'blanks at the end do not count'
        WHEN builtin AND typname = ANY (%(as_written)s) THEN NULL
        WHEN builtin AND typname = 'numeric' AND typmod >= 0 AND NOT inside THEN NULL
        WHEN builtin AND typname = 'numeric' THEN '1.0 and 1.00 are equal'
        WHEN builtin AND typname = 'interval' THEN '24:00:00 and 1 day are equal'
        WHEN builtin AND typname = ANY (%(floats)s) THEN '0 and -0 are equal'
        WHEN builtin AND typname = 'jsonb' THEN '1.0 and 1.00 in it are equal'
        ELSE 'the type says itself what is equal' END AS reason
      FROM leaves
)
SELECT a.attrelid::pg_catalog.int8, a.attname::pg_catalog.text, pg_catalog.format_type(p.typid, p.typmod),
       p.typid::pg_catalog.int8, t.typname::pg_catalog.text, t.typcategory::pg_catalog.text,
       (SELECT pg_catalog.min(r.reason) FROM reasons r WHERE r.relid = p.relid AND r.attnum = p.attnum)
  FROM parts p
  JOIN pg_catalog.pg_type t ON t.oid = p.typid AND t.typtype <> 'd'
  JOIN pg_catalog.pg_attribute a ON a.attrelid = p.relid AND a.attnum = p.attnum
 WHERE NOT p.inside
"""
_OIDS: Final = """
SELECT w.name, c.oid::pg_catalog.int8
  FROM ROWS FROM (pg_catalog.unnest(%(names)s::text[]), pg_catalog.unnest(%(schemas)s::text[]),
                  pg_catalog.unnest(%(relations)s::text[])) AS w (name, schema, relation)
  JOIN pg_catalog.pg_namespace n ON n.nspname = w.schema
  JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relname = w.relation
"""
_REFERENCES: Final = """
SELECT o.conrelid::pg_catalog.int8, a.attname::pg_catalog.text, o.confrelid::pg_catalog.int8, b.attname::pg_catalog.text
  FROM pg_catalog.pg_constraint o
 CROSS JOIN LATERAL ROWS FROM (pg_catalog.unnest(o.conkey), pg_catalog.unnest(o.confkey)) AS k (here, there)
  JOIN pg_catalog.pg_attribute a ON a.attrelid = o.conrelid AND a.attnum = k.here
  JOIN pg_catalog.pg_attribute b ON b.attrelid = o.confrelid AND b.attnum = k.there
 WHERE o.contype = 'f' AND o.conrelid = ANY (%(oids)s::pg_catalog.int8[]::pg_catalog.oid[])
   AND o.confrelid = ANY (%(oids)s::pg_catalog.int8[]::pg_catalog.oid[])
"""


@dataclass(frozen=True)
class Spelling:
    """How the values of a column are written: its base type, and a ``form`` that all of one way of writing share.

    ``reason`` says why equal values may be written differently, and is empty if they cannot.
    """

    type: str = ""
    form: str = ""
    reason: str = ""

    @property
    def is_float(self) -> bool:
        """Whether it is a number whose only equal spellings are 0 and -0."""
        return self.form in _FLOATS


def spellings(connection: psycopg.Connection[Any], oids: Sequence[int]) -> dict[tuple[int, str], Spelling]:
    """Return how the columns of some relations are written, by relation and name; works from PostgreSQL 11 on."""
    asked = {"oids": list(oids), "as_written": list(_AS_WRITTEN), "floats": list(_FLOATS)}
    rows = connection.execute(_SPELLINGS.encode(), asked).fetchall()
    return {
        (oid, name): Spelling(shown, _form(typid, base, category, shown), reason or "")
        for oid, name, shown, typid, base, category, reason in rows
    }


def _form(typid: int, base: str, category: str, shown: str) -> str:
    """Name the way in which a type is written: equal values of one form have equal texts."""
    if base == "bpchar":
        return "char"
    if category == "S":
        return "text"
    if base in ("int2", "int4", "int8"):
        return "integer"
    if base == "numeric":
        return f"numeric {shown.rpartition(',')[2]}"  # the digits behind the point
    if base in ("inet", "cidr"):
        return "inet"
    return base if base in _FLOATS else f"type {typid}"


def unlike(here: Spelling, there: Spelling) -> str:
    """Say why a value of a column may be equal to a key that it refers to, and written differently; or nothing."""
    if there.reason:
        return f"{there.type}: {there.reason}"
    if here.form == there.form or (here.form, there.form) == ("char", "text"):  # a char's blanks do not travel
        return ""
    if there.form == "char":
        return f"{here.type} keeps blanks at the end, which do not count in {there.type}"
    return f"{here.type} and {there.type} write equal values differently"


@dataclass(frozen=True)
class _Suspect:
    """A fact's column that refers to a key, and why; ``fed_from``: only if that is its source (None: whatever is)."""

    fact: Fact
    column: Column
    dimension: Dimension
    why: str
    fed_from: str | None

    @property
    def key(self) -> str:
        return f"{self.dimension.driver}.{self.dimension.from_key[0]}"


def problems(connection: psycopg.Connection[Any], model: Model, copied_columns: CopiedColumns) -> list[str]:
    """Name every reference of the model's facts that equal values would miss.

    Parameters
    ----------
    copied_columns
        Tells which of a fact's columns are an input's column as it is: name -> ``table.column``.

    Raises
    ------
    ModelError
        If the SQL of a fact that has to be looked at does not run.
    """
    wanted = [pair for fact in model.facts.values() for pair in _compared_as_text(model, fact)]
    if not wanted:
        return []
    tables = {name: model.tables[name] for fact, _, dim in wanted for name in (*fact.inputs, dim.driver)}
    suspects = list(_suspects(connection, wanted, tables))
    copies = {suspect.fact.name: copied_columns(model, suspect.fact) for suspect in suspects}
    found = []
    for suspect in suspects:
        source = copies[suspect.fact.name].get(suspect.column.name)
        if source != suspect.key and suspect.fed_from in (None, source):
            found.append(_message(suspect, tables))
    return list(dict.fromkeys(found))


def _compared_as_text(model: Model, fact: Fact) -> Iterable[tuple[Fact, Column, Dimension]]:
    """References whose values the star does not compare as integers, exact numbers, dates or times of its own."""
    for column in fact.references:
        dimension = model.dimensions.get(str(column.references))
        if dimension and dimension.column(dimension.key[0]).type.spark in ("string", "float", "double"):
            yield fact, column, dimension


def _suspects(
    connection: psycopg.Connection[Any],
    wanted: Sequence[tuple[Fact, Column, Dimension]],
    tables: dict[str, SourceTable],
) -> Iterable[_Suspect]:
    named = {
        "names": list(tables),
        "schemas": [table.schema for table in tables.values()],
        "relations": [table.relation for table in tables.values()],
    }
    oids: dict[str, int] = dict(connection.execute(_OIDS.encode(), named).fetchall())
    written = spellings(connection, list(oids.values()))
    references = set(connection.execute(_REFERENCES.encode(), {"oids": list(oids.values())}).fetchall())
    for fact, column, dimension in wanted:
        there = (oids.get(dimension.driver, 0), dimension.from_key[0])
        key = written.get(there, Spelling())
        is_number = dimension.column(dimension.key[0]).type.spark in ("float", "double")
        if key.reason and (key.is_float or not is_number):
            yield _Suspect(fact, column, dimension, unlike(key, key), None)
            continue
        for table in () if is_number else fact.inputs:
            for here in tables[table].columns:
                place = (oids.get(table, 0), here.name)
                why = unlike(written.get(place, key), key) if (*place, *there) in references else ""
                if why:
                    yield _Suspect(fact, column, dimension, why, f"{table}.{here.name}")


def _message(suspect: _Suspect, tables: dict[str, SourceTable]) -> str:
    fact, dimension = suspect.fact, suspect.dimension
    driver = tables[dimension.driver]
    key = f"{driver.schema}.{driver.relation}.{dimension.from_key[0]}"
    return (
        f"{fact.name}.{suspect.column.name} refers to {dimension.name} by the text of {key}, but equal values may be "
        f"written differently ({suspect.why}): join {dimension.driver} in {fact.name}.sql and take {suspect.key}, or "
        "take references away"
    )

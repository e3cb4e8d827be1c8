"""What a PostgreSQL catalog says of a stranger's database: relations, columns, keys, references.

Reads ``pg_catalog`` alone, in one read-only transaction, so that a role with SELECT on some tables is enough and
relations that it may not read are known by name. Types are written exactly as :mod:`tidemark.source.catalog` will find
them when it holds the model against the source. Works from PostgreSQL 11 on.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import psycopg
from psycopg import sql

from tidemark.base.database_url import Credentials
from tidemark.base.errors import SourceError
from tidemark.drafting.zones import SESSION, SETTINGS, ServerZone, server_zone, zone_of_default
from tidemark.model.types import PgType
from tidemark.source.catalog import BASE_TYPES
from tidemark.source.equality import Spelling, spellings

OLDEST: Final = 110_000
EXTRACTION_NEEDS: Final = 130_000

_SCHEMAS: Final = """
SELECT n.nspname::text, EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_namespace'::regclass AND d.objid = n.oid
                                AND d.deptype = 'e')
  FROM pg_namespace n WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
 ORDER BY n.nspname::text COLLATE "C"
"""
_RELATIONS: Final = """
SELECT c.oid::bigint, n.nspname::text, c.relname::text, c.relkind::text, obj_description(c.oid, 'pg_class'),
       has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT'),
       (SELECT CASE WHEN min(l.reltuples) >= 0 THEN sum(l.reltuples)::bigint END
          FROM tree JOIN pg_class l ON l.oid = tree.oid WHERE tree.root = c.oid AND l.relkind <> 'p'),
       c.relispopulated,
       EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e'),
       c.relkind <> 'p' AND EXISTS (SELECT FROM pg_inherits i WHERE i.inhparent = c.oid),
       EXISTS (SELECT FROM tree JOIN pg_class l ON l.oid = tree.oid WHERE tree.root = c.oid AND l.relkind = 'f'),
       row_security_active(c.oid)
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND NOT c.relispartition AND n.nspname = ANY(%(schemas)s)
 ORDER BY n.nspname::text COLLATE "C", c.relname::text COLLATE "C"
"""
_TREE: Final = """
WITH RECURSIVE tree (root, oid) AS (
    SELECT r.oid, r.oid FROM pg_class r WHERE r.relkind IN ('r', 'p', 'm', 'f') AND NOT r.relispartition
    UNION ALL SELECT tree.root, i.inhrelid FROM pg_inherits i JOIN tree ON i.inhparent = tree.oid)
"""
_COLUMNS: Final = f"""
WITH RECURSIVE columns AS (
    SELECT attrelid, attnum, attname, atttypid, atttypmod, attnotnull
      FROM pg_attribute WHERE attrelid = ANY(%(oids)s::bigint[]::oid[]) AND attnum > 0 AND NOT attisdropped
), {BASE_TYPES}
SELECT a.attrelid::bigint, a.attname::text, a.attnotnull, col_description(a.attrelid, a.attnum),
       format_type(b.typid, b.typmod), t.typnamespace = 'pg_catalog'::regnamespace,
       t.typcategory IN ('S', 'E') OR t.oid = 'uuid'::regtype,
       (SELECT pg_get_expr(d.adbin, d.adrelid) FROM pg_attrdef d
         WHERE d.adrelid = a.attrelid AND d.adnum = a.attnum AND t.oid = 'timestamp'::regtype)
  FROM columns a
  JOIN base b ON b.relid = a.attrelid AND b.attnum = a.attnum
  JOIN pg_type t ON t.oid = b.typid AND t.typbasetype = 0
 ORDER BY a.attrelid, a.attnum
"""  # noqa: S608 - put together from constants
_KEYS: Final = """
SELECT i.indrelid::bigint, i.indisprimary,
       (SELECT array_agg(a.attname::text ORDER BY k.place)
          FROM unnest(i.indkey::int2[]) WITH ORDINALITY k(attnum, place)
          JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
         WHERE k.place <= i.indnkeyatts)
  FROM pg_index i
 WHERE i.indrelid = ANY(%(oids)s::bigint[]::oid[]) AND i.indisvalid AND i.indpred IS NULL AND i.indexprs IS NULL
   AND (i.indisprimary OR i.indisunique AND i.indimmediate)
"""
_REFERENCES: Final = """
SELECT o.conrelid::bigint, o.confrelid::bigint,
       (SELECT array_agg(a.attname::text ORDER BY k.place) FROM unnest(o.conkey) WITH ORDINALITY k(attnum, place)
          JOIN pg_attribute a ON a.attrelid = o.conrelid AND a.attnum = k.attnum),
       (SELECT array_agg(a.attname::text ORDER BY k.place) FROM unnest(o.confkey) WITH ORDINALITY k(attnum, place)
          JOIN pg_attribute a ON a.attrelid = o.confrelid AND a.attnum = k.attnum)
  FROM pg_constraint o
 WHERE o.contype = 'f' AND o.conparentid = 0 AND o.conrelid = ANY(%(oids)s::bigint[]::oid[])
   AND o.confrelid = ANY(%(oids)s::bigint[]::oid[])
 ORDER BY o.conrelid, o.conname::text COLLATE "C", o.oid
"""
_DATABASE: Final = """
SELECT current_database()::text, shobj_description(oid, 'pg_database') FROM pg_database
 WHERE datname = current_database()
"""


@dataclass(frozen=True, kw_only=True)
class FoundColumn:
    """One column; ``type`` is a domain's base type, ``builtin`` whether PostgreSQL itself has that type.

    ``is_text`` marks strings, enums and uuids: what a star can hold as ``varchar``. ``time_zone`` is that of a
    ``timestamp``, empty if it is not known; ``says_zone`` whether its default says it; ``spelling`` how its values are
    written.
    """

    name: str
    type: str
    not_null: bool
    comment: str
    builtin: bool
    is_text: bool
    time_zone: str = ""
    says_zone: bool = False
    spelling: Spelling = field(default_factory=Spelling)


@dataclass(frozen=True)
class Reference:
    """A foreign key: the columns here, the relation (oid) and columns there."""

    columns: tuple[str, ...]
    target: int
    target_columns: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Relation:
    """One table, partitioned table, view, materialized view or foreign table (``kind`` as in ``pg_class.relkind``).

    ``uniques`` are the columns of its unique indexes, without conditions and expressions; ``rows`` is the planner's
    estimate, None if there is none.
    """

    oid: int
    schema: str
    name: str
    kind: str
    comment: str
    readable: bool
    rows: int | None
    populated: bool
    of_extension: bool
    has_children: bool
    has_foreign_parts: bool
    row_security: bool
    columns: tuple[FoundColumn, ...]
    primary_key: tuple[str, ...]
    uniques: tuple[tuple[str, ...], ...]
    references: tuple[Reference, ...]


@dataclass(frozen=True, kw_only=True)
class Database:
    """A whole database, as far as it was asked for."""

    name: str
    comment: str
    version: int
    schemas: tuple[str, ...]
    relations: tuple[Relation, ...]
    zone: ServerZone = field(default_factory=ServerZone)


@contextmanager
def reading(credentials: Credentials) -> Iterator[psycopg.Connection]:
    """Open one read-only transaction with a fixed search path and short time limits."""
    with credentials.connect(application_name="tidemark-model-init") as connection:
        if connection.info.server_version < OLDEST:
            raise SourceError(
                f"{credentials} is PostgreSQL {connection.info.server_version // 10_000}",
                expected="PostgreSQL 13 or newer to extract from (11 or newer to draft a model of)",
                do="name another server",
            )
        connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        for setting in ("search_path = pg_catalog", "statement_timeout = '2min'", "lock_timeout = '10s'"):
            connection.execute(f"SET LOCAL {setting}".encode())
        yield connection


def read_database(connection: psycopg.Connection, schemas: Sequence[str] = ()) -> Database:
    """Read everything there is to know of the given schemas (all but the system's and extensions' by default).

    Raises
    ------
    SourceError
        If a schema is not there.
    """
    known: dict[str, bool] = dict(connection.execute(_SCHEMAS.encode()).fetchall())
    missing = [name for name in schemas if name not in known]
    if missing:
        raise SourceError(
            f"database {connection.info.dbname} has no schema {missing[0]!r}",
            expected=f"one of {', '.join(known) or 'none: it has only system schemas'}",
            do="fix --schema; upper and lower case matter",
        )
    wanted = [name for name, of_extension in known.items() if (name in schemas if schemas else not of_extension)]
    rows = connection.execute((_TREE + _RELATIONS).encode(), {"schemas": wanted}).fetchall()
    settings = connection.execute(SETTINGS.encode()).fetchall()
    zone = server_zone(settings, connection.execute(SESSION.encode()).fetchone() or ("", ""))
    parts = _Parts(connection, [row[0] for row in rows], zone)
    name, comment = connection.execute(_DATABASE.encode()).fetchone() or (connection.info.dbname, None)
    return Database(
        name=name,
        comment=comment or "",
        version=connection.info.server_version,
        schemas=tuple(wanted),
        relations=tuple(_relation(row, parts) for row in rows),
        zone=zone,
    )


class _Parts:
    """Columns, keys and references by relation."""

    def __init__(self, connection: psycopg.Connection, oids: list[int], zone: ServerZone) -> None:
        asked = {"oids": oids}
        self.columns: dict[int, list[FoundColumn]] = defaultdict(list)
        written = spellings(connection, oids)
        for oid, *facts in connection.execute(_COLUMNS.encode(), asked):
            self.columns[oid].append(_column(facts, zone, written[oid, facts[0]]))
        self.primary: dict[int, tuple[str, ...]] = {}
        self.uniques: dict[int, list[tuple[str, ...]]] = defaultdict(list)
        for oid, is_primary, columns in connection.execute(_KEYS.encode(), asked):
            if is_primary:
                self.primary[oid] = tuple(columns)
            elif columns:  # an index on system columns alone has none
                self.uniques[oid].append(tuple(columns))
        self.references: dict[int, list[Reference]] = defaultdict(list)
        for oid, target, columns, target_columns in connection.execute(_REFERENCES.encode(), asked):
            self.references[oid].append(Reference(tuple(columns), target, tuple(target_columns)))


def _column(facts: Sequence[Any], zone: ServerZone, spelling: Spelling) -> FoundColumn:
    name, not_null, comment, kind, builtin, is_text, default = facts
    said = zone_of_default(default or "")
    is_wall_clock = builtin and PgType.parse(kind).base == "timestamp"
    return FoundColumn(
        name=name,
        type=kind,
        not_null=not_null,
        comment=comment or "",
        builtin=builtin,
        is_text=is_text,
        time_zone=(zone.name if said is None else said) if is_wall_clock else "",
        says_zone=said is not None,
        spelling=spelling,
    )


def _relation(row: tuple[Any, ...], parts: _Parts) -> Relation:
    oid, schema, name, kind, comment, readable, rows, populated, of_extension, children, foreign, secured = row
    return Relation(
        oid=oid,
        schema=schema,
        name=name,
        kind=kind,
        comment=comment or "",
        readable=readable,
        rows=rows,
        populated=populated,
        of_extension=of_extension,
        has_children=children,
        has_foreign_parts=foreign,
        row_security=secured,
        columns=tuple(parts.columns[oid]),
        primary_key=parts.primary.get(oid, ()),
        uniques=tuple(sorted(parts.uniques[oid], key=lambda columns: (len(columns), columns))),
        references=tuple(parts.references[oid]),
    )


def holds_null(connection: psycopg.Connection, relation: Relation, columns: Sequence[str]) -> bool:
    """Whether any of the columns is NULL in some row (materialized views cannot declare NOT NULL)."""
    condition = sql.SQL(" OR ").join(sql.SQL("{} IS NULL").format(sql.Identifier(name)) for name in columns)
    query = sql.SQL("SELECT EXISTS (SELECT FROM {} WHERE {})").format(
        sql.Identifier(relation.schema, relation.name), condition
    )
    with connection.transaction(force_rollback=True):  # a savepoint: the lock does not stay until all is read
        found = connection.execute(query).fetchone()
    return bool(found and found[0])

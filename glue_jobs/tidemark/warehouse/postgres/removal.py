"""The star's objects dropped, and nothing of others with them.

Ours is what the model names, and what ``etl.comments`` says that a model of before had made. What is a part of these
objects goes with them: columns, indexes, grants, comments, triggers, rules and policies that people added. Promises:
what people made beside them in the schema, or anywhere on top of them, is named, and then nothing is dropped; nobody
waits for longer than one short try.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from tidemark.base.quoting import pg, pg_literal
from tidemark.warehouse.postgres import ddl
from tidemark.warehouse.postgres.short_tries import Purpose, ShortTries, in_the_way

if TYPE_CHECKING:
    from collections.abc import Sequence

    import psycopg

    from tidemark.model.definition import Model

_GOES: Final = Purpose(
    change="be dropped",
    of_what="a rebuild, which drops the model's schema",
    expected="nothing of others in that schema, and nothing elsewhere that depends on what is in it",
    way_out="drop them, rebuild, and make them again; nothing was dropped",
    repeat="nothing was dropped, and the next rebuild repeats",
)
_MOST_NAMED: Final = 10
_KINDS: Final = ("VIEW", "FUNCTION", "TABLE")  # in this order nothing of ours is in the way of the next
_OURS: Final = """
SELECT w.kind, w.name, coalesce(c.tableoid, p.tableoid), coalesce(c.oid, p.oid)
  FROM unnest(%(kinds)s::text[], %(names)s::text[]) w (kind, name)
  LEFT JOIN pg_class c ON c.oid = CASE WHEN w.kind <> 'FUNCTION' THEN to_regclass(w.name) END
   AND c.relnamespace = to_regnamespace(%(schema)s)
   AND (w.kind, c.relkind) IN (('VIEW', 'v'), ('TABLE', 'r'), ('TABLE', 'p'))
  LEFT JOIN pg_proc p ON p.oid = CASE WHEN w.kind = 'FUNCTION' THEN to_regprocedure(w.name) END
   AND p.pronamespace = to_regnamespace(%(schema)s) AND p.prokind = 'f'
 WHERE coalesce(c.oid, p.oid) IS NOT NULL ORDER BY 1, 2
"""
# What depends on ours, or is in the schema, without being a part of ours. A view depends by its rule, so what a
# dependant is a part of is named in its place.
_OTHERS: Final = """
WITH RECURSIVE ours (classid, objid) AS (
    SELECT * FROM unnest(%(classes)s::oid[], %(oids)s::oid[])
     UNION
    SELECT d.classid, d.objid FROM ours JOIN pg_depend d ON (d.refclassid, d.refobjid) = (ours.classid, ours.objid)
     WHERE d.deptype IN ('a', 'i', 'P', 'S')
), others AS (
    SELECT d.classid, d.objid, d.objsubid
      FROM ours JOIN pg_depend d ON (d.refclassid, d.refobjid) = (ours.classid, ours.objid) WHERE d.deptype = 'n'
     UNION
    SELECT classid, objid, objsubid FROM pg_depend
     WHERE deptype = 'n' AND (refclassid, refobjid) = ('pg_namespace'::regclass, to_regnamespace(%(schema)s))
)
SELECT DISTINCT coalesce(pg_describe_object(w.refclassid, w.refobjid, w.refobjsubid),
                         pg_describe_object(o.classid, o.objid, o.objsubid))
  FROM others o LEFT JOIN pg_depend w ON (w.classid, w.objid) = (o.classid, o.objid) AND w.deptype = 'i'
 WHERE (o.classid, o.objid) NOT IN (SELECT classid, objid FROM ours) ORDER BY 1
"""


def drop_star(connection: psycopg.Connection[Any], model: Model) -> None:
    """Drop the model's schema and forget its loads, in one transaction; nothing happens if they are not there.

    Parameters
    ----------
    connection
        In autocommit, with its search path pinned.

    Raises
    ------
    WarehouseError
        Naming what of others stands in the way, or who does not let the tables go.
    """
    connection.execute(b"SET statement_timeout = 0")
    ShortTries(connection, model.name, _GOES).run(lambda: _statements(connection, model))


def _statements(connection: psycopg.Connection[Any], model: Model) -> list[str]:
    """What drops ours; PostgreSQL itself refuses what somebody hangs on it from now on."""
    notes = [name for name in ("comments", "load_ledger") if _is_there(connection, name)]
    ours = _ours(connection, model, noted="comments" in notes)
    _refuse_others(connection, model, [(classid, oid) for *_, classid, oid in ours])
    result = []
    for kind in _KINDS:
        names = [name for of_kind, name, *_ in ours if of_kind == kind]
        result += [f"DROP {kind} {', '.join(names)}"] if names else []
    result.append(f"DROP SCHEMA IF EXISTS {pg(model.name)}")
    mine = f"WHERE model = {pg_literal(model.name)}"
    return result + [f"DELETE FROM {pg(ddl.ETL_SCHEMA, name)} {mine}" for name in notes]  # noqa: S608 - quoted


def _is_there(connection: psycopg.Connection[Any], name: str) -> bool:
    found = connection.execute(b"SELECT to_regclass(%s) IS NOT NULL", (pg(ddl.ETL_SCHEMA, name),)).fetchone()
    return found is not None and bool(found[0])


def _ours(connection: psycopg.Connection[Any], model: Model, *, noted: bool) -> list[tuple[str, str, int, int]]:
    """Kind, quoted name, catalogue and id of each object of ours that is there."""
    targets = set(ddl.comments(model))
    if noted:  # by models that had other tables
        query = b"SELECT target FROM etl.comments WHERE model = %s"
        targets |= {str(target) for (target,) in connection.execute(query, (model.name,))}
    found = [target.split(" ", 1) for target in sorted(targets) if target.startswith(_KINDS)]
    kinds, names = ([pair[part] for pair in found] for part in (0, 1))
    values = {"kinds": kinds, "names": names, "schema": pg(model.name)}
    return connection.execute(_OURS.encode(), values).fetchall()


def _refuse_others(connection: psycopg.Connection[Any], model: Model, ours: Sequence[tuple[int, int]]) -> None:
    values = {"classes": [one for one, _ in ours], "oids": [oid for _, oid in ours], "schema": pg(model.name)}
    found = [str(name) for (name,) in connection.execute(_OTHERS.encode(), values)]
    if found:
        more = [f"and {len(found) - _MOST_NAMED} more"] if len(found) > _MOST_NAMED else []
        raise in_the_way(", ".join(found[:_MOST_NAMED] + more), _GOES)

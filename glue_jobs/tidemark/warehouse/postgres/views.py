"""A view that has to make way for a change of its table, and comes back with all that it had.

Owns what PostgreSQL keeps about a view besides its query: owner, grants (on single columns, too), storage options and
comments. Promises: all of it is there again when the transaction commits; a view on which others hung more than that
(triggers, rules, defaults) is not dropped, but named.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from tidemark.base.errors import WarehouseError
from tidemark.base.quoting import pg, pg_literal
from tidemark.warehouse.postgres import ddl

if TYPE_CHECKING:
    from collections.abc import Sequence

    import psycopg

    from tidemark.model.definition import Fact, Model

_VIEW: Final = """
SELECT c.oid, c.reloptions, CASE WHEN c.relowner <> (SELECT oid FROM pg_roles WHERE rolname = current_user)
                                 THEN pg_get_userbyid(c.relowner)::text END,
       (SELECT string_agg(tgname::text, ', ') FROM pg_trigger WHERE tgrelid = c.oid AND NOT tgisinternal),
       (SELECT string_agg(rulename::text, ', ') FROM pg_rewrite WHERE ev_class = c.oid AND rulename <> '_RETURN'),
       (SELECT string_agg(attname::text, ', ') FROM pg_attribute WHERE attrelid = c.oid AND atthasdef)
  FROM pg_class c WHERE c.oid = to_regclass(%s) AND c.relkind = 'v'
"""
_GRANTS: Final = """
SELECT a.privilege_type, CASE a.grantee WHEN 0 THEN NULL ELSE pg_get_userbyid(a.grantee)::text END, a.is_grantable,
       NULL::text
  FROM pg_class c, aclexplode(c.relacl) a WHERE c.oid = %(oid)s AND a.grantee <> c.relowner
UNION ALL
SELECT a.privilege_type, CASE a.grantee WHEN 0 THEN NULL ELSE pg_get_userbyid(a.grantee)::text END, a.is_grantable,
       t.attname::text
  FROM pg_class c JOIN pg_attribute t ON t.attrelid = c.oid, aclexplode(t.attacl) a
 WHERE c.oid = %(oid)s AND a.grantee <> c.relowner
"""
# What ALTER DEFAULT PRIVILEGES would grant again.
_DEFAULTS: Final = """
SELECT DISTINCT CASE a.grantee WHEN 0 THEN NULL ELSE pg_get_userbyid(a.grantee)::text END
  FROM pg_default_acl d, aclexplode(d.defaclacl) a
 WHERE d.defaclobjtype = 'r' AND d.defaclrole = (SELECT oid FROM pg_roles WHERE rolname = current_user)
   AND d.defaclnamespace IN (0, to_regnamespace(%s)) AND a.grantee <> d.defaclrole
"""
_COMMENTS: Final = """
SELECT a.attname::text, d.description FROM pg_description d
  LEFT JOIN pg_attribute a ON a.attrelid = d.objoid AND a.attnum = d.objsubid AND d.objsubid > 0
 WHERE d.classoid = 'pg_class'::regclass AND d.objoid = %s
"""


def remake_view(connection: psycopg.Connection[Any], model: Model, fact: Fact, changes: Sequence[str]) -> list[str]:
    """Lock a fact, and let its ``_current`` view make way for statements that change the table, and come back.

    Parameters
    ----------
    changes
        Statements that change the type of a column.

    Returns
    -------
    list
        Statements for one transaction.

    Raises
    ------
    WarehouseError
        If somebody made triggers, rules or defaults on the view.
    """
    view, table = pg(model.name, f"{fact.name}_current"), pg(model.name, fact.name)
    connection.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE".encode())
    found = connection.execute(_VIEW.encode(), (view,)).fetchone()
    if found is None:
        return list(changes)
    connection.execute(f"LOCK TABLE {view} IN ACCESS EXCLUSIVE MODE".encode())  # a grant in between would be lost
    oid, options, owner, *hung = found
    if any(hung):
        what = zip(("trigger", "rule", "default of column"), hung, strict=True)
        named = "; ".join(f"{kind} {names}" for kind, names in what if names)
        raise WarehouseError(
            f"view {view} has to be made again, and has {named}",
            expected="a view without triggers, rules and defaults of its own",
            do="drop them, let one tick run, and make them again; nothing was changed",
        )
    grants = connection.execute(_GRANTS.encode(), {"oid": oid}).fetchall()
    given = connection.execute(_DEFAULTS.encode(), (pg(model.name),)).fetchall()
    texts = connection.execute(_COMMENTS.encode(), (oid,)).fetchall()
    back = [ddl.current_view(model, fact, options or ())]
    back += [f"REVOKE ALL ON {view} FROM {_role(grantee)}" for (grantee,) in given]
    if owner:
        back.append(f"ALTER VIEW {view} OWNER TO {pg(owner)}")
    for privilege, grantee, grantable, column in grants:
        on = f"{privilege} ({pg(column)})" if column else privilege
        back.append(f"GRANT {on} ON {view} TO {_role(grantee)}" + (" WITH GRANT OPTION" if grantable else ""))
    for column, text in texts:
        target = f"COLUMN {view}.{pg(column)}" if column else f"VIEW {view}"
        back.append(f"COMMENT ON {target} IS {pg_literal(text)}")
    return [f"DROP VIEW {view}", *changes, *back]


def _role(name: str | None) -> str:
    return "PUBLIC" if name is None else pg(name)

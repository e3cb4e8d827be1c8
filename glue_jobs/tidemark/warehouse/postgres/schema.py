"""The PostgreSQL warehouse's objects: made, grown and described, in short transactions of their own.

Promises:

- whoever uses a table waits for one short try at most (``short_tries``);
- what others put on our objects survives: grants, owners, options, comments, columns and whatever depends on them;
  where PostgreSQL does not let that be, the load stops with their names, and nothing is changed;
- what has not changed is not touched;
- every step adds, and may be done again: a load that fails afterwards leaves objects that the next one finds as it
  wants them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from tidemark.base.errors import WarehouseError
from tidemark.base.quoting import pg
from tidemark.model.added_columns import added_in_warehouse
from tidemark.model.definition import Column, Fact
from tidemark.model.types import PgType
from tidemark.warehouse.postgres import ddl
from tidemark.warehouse.postgres.short_tries import Purpose, ShortTries
from tidemark.warehouse.postgres.views import remake_view

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    import psycopg

    from tidemark.model.definition import Model, StarTable

_GROWS: Final = Purpose(
    change="change",
    of_what="a change of the model",
    expected="no view, rule, policy, function or generated column that depends on a column whose type changes",
    way_out="drop it, let one tick run, and make it again; or take the type's change back; nothing was changed",
    repeat="nothing was committed, and the next tick repeats",
    beside=("tidemark-load ",),
)
_COLUMNS: Final = """
SELECT a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull, a.atthasdef OR a.attidentity <> ''
  FROM pg_attribute a WHERE a.attnum > 0 AND NOT a.attisdropped AND a.attrelid = to_regclass(%s)
"""
_COMMENTS: Final = """
SELECT CASE c.relkind WHEN 'v' THEN 'VIEW ' ELSE 'TABLE ' END, c.relname, a.attname, d.description
  FROM pg_description d JOIN pg_class c ON c.oid = d.objoid AND d.classoid = 'pg_class'::regclass
  LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = d.objsubid AND d.objsubid > 0
 WHERE c.relnamespace = to_regnamespace(%s)
"""
_HAS_LEDGER: Final = """
SELECT to_regclass(%s) IS NOT NULL AND EXISTS (
    SELECT FROM pg_attribute WHERE attrelid = to_regclass(%s) AND attname = 'present_rows')
"""


class Schema:
    """The star's objects in one warehouse.

    Parameters
    ----------
    connection
        In autocommit, with its search path pinned.
    """

    def __init__(self, model: Model, connection: psycopg.Connection[Any]) -> None:
        self._model, self._connection = model, connection
        self._tries = ShortTries(connection, model.name, _GROWS)
        connection.execute(b"SET statement_timeout = 0; SET lock_timeout = '60s'")

    def make_ledger(self) -> None:
        """Make the ledger if there is none as it is now."""
        if not self._one(_HAS_LEDGER, f"{ddl.ETL_SCHEMA}.comments", f"{ddl.ETL_SCHEMA}.load_ledger"):
            schema = f"CREATE SCHEMA IF NOT EXISTS {pg(ddl.ETL_SCHEMA)}"
            self._tries.run([schema, ddl.LEDGER, ddl.LEDGER_COUNTS, ddl.COMMENTS])

    def evolve(self) -> frozenset[str]:
        """Bring all objects to the model; return the tables that have no rows.

        Raises
        ------
        WarehouseError
            If the model wants what the warehouse cannot become, or something of others stands in the way.
        """
        model = self._model
        if self._one("SELECT to_regnamespace(%s) IS NULL", pg(model.name)):
            self._tries.run([ddl.create_schema(model)])
        there = self._tables()
        for name, statements in ddl.create_tables(model).items():
            if name not in there:
                self._tries.run(statements)
        for table in model.star_tables:
            if table.name in there:
                self._evolve_table(table)
        for fact in model.facts.values():
            self._give_access(fact)
        self._describe()
        return frozenset(name for name in model.star_names if not self._has_rows(name))

    def let_null_in(self, table: StarTable, columns: Sequence[str]) -> None:
        """Drop NOT NULL from columns that some of the rows have no value for: they are older than the column."""
        strict = {name for name, _, not_null, _ in self._rows(_COLUMNS, self._name(table.name)) if not_null}
        wanted = [name for name in columns if name in strict]
        alter = f"ALTER TABLE {self._name(table.name)}"
        self._tries.run([f"{alter} ALTER COLUMN {pg(name)} DROP NOT NULL" for name in wanted])

    def columns_taken_out(self, table: str, names: Collection[str]) -> tuple[Column, ...]:
        """Those of some columns, which the model has lost, that the table still has."""
        there = {name: kind for name, kind, *_ in self._rows(_COLUMNS, self._name(table))} if names else {}
        return tuple(
            Column(name=name, type=PgType.parse(there[name]), nullable=True, description="")
            for name in sorted(names)
            if name in there
        )

    def _name(self, name: str) -> str:
        return pg(self._model.name, name)

    def _has_rows(self, table: str) -> bool:
        return bool(self._one(f"SELECT EXISTS (SELECT FROM {self._name(table)})"))  # noqa: S608 - a quoted name

    def _tables(self) -> set[str]:
        query = "SELECT relname FROM pg_class WHERE relkind IN ('r', 'p') AND relnamespace = to_regnamespace(%s)"
        return {str(name) for (name,) in self._rows(query, pg(self._model.name))}

    def _evolve_table(self, table: StarTable) -> None:
        own = {*(column.name for column in added_in_warehouse(table)), getattr(table, "surrogate_key", "")}
        modelled = {column.name for column in table.columns}
        found = {
            # A column that others added, and that fills itself, is theirs.
            name: (PgType.parse(kind), not_null and (name in modelled or not filled))
            for name, kind, not_null, filled in self._rows(_COLUMNS, self._name(table.name))
            if name not in own
        }
        try:
            changes = ddl.evolution(self._name(table.name), table.key, table.columns, found)
        except ValueError as error:
            raise WarehouseError(
                str(error),
                expected="the same type, or a wider one",
                do="give the column a new name in star.yml, or change the warehouse's column by hand",
            ) from None
        if isinstance(table, Fact):
            changes += [
                f"ALTER TABLE {self._name(table.name)} DROP CONSTRAINT {pg(name)}"
                for name in ddl.dropped_references(table, self._references(table))
            ]
        if isinstance(table, Fact) and any(" TYPE " in change for change in changes):
            # PostgreSQL changes no type under a view: ours makes way, and comes back with all that it had when the lock
            # was taken.
            self._tries.run(lambda: remake_view(self._connection, self._model, table, changes))
        else:
            self._tries.run(changes)

    def _references(self, fact: Fact) -> list[tuple[str, str, str]]:
        rows = self._rows(
            "SELECT conname, attname, relname FROM pg_constraint "
            "JOIN pg_attribute ON attrelid = conrelid AND attnum = conkey[1] JOIN pg_class t ON t.oid = confrelid "
            "WHERE contype = 'f' AND conrelid = to_regclass(%s) "
            "AND cardinality(conkey) = 1 AND relnamespace = to_regnamespace(%s)",
            self._name(fact.name),
            pg(self._model.name),
        )
        return [(str(name), str(column), str(target)) for name, column, target in rows]

    def _give_access(self, fact: Fact) -> None:
        """Make or grow the fact's view and functions; one that is as it should be keeps its readers undisturbed."""
        columns = (
            "SELECT array_agg(attname::text ORDER BY attnum) FROM pg_attribute WHERE attnum > 0 AND NOT attisdropped "
        )
        view = self._name(f"{fact.name}_current")
        shown = self._one(columns + "AND attrelid = to_regclass(%s)", view)
        if shown != self._one(columns + "AND attrelid = to_regclass(%s)", self._name(fact.name)):
            options = self._one("SELECT reloptions FROM pg_class WHERE oid = to_regclass(%s)", view)
            self._tries.run([ddl.current_view(self._model, fact, options or ())])
        for signature, body, statement in ddl.as_of_functions(self._model, fact):
            if self._one("SELECT prosrc FROM pg_proc WHERE oid = to_regprocedure(%s)", signature) != body:
                self._tries.run([statement])

    def _describe(self) -> None:
        """Set the comments that are missing or still ours; what people wrote in their place stays."""
        schema = pg(self._model.name)
        found = {
            f"{kind}{self._name(name)}" if column is None else f"COLUMN {self._name(name)}.{pg(column)}": text
            for kind, name, column, text in self._rows(_COMMENTS, schema)
        }
        wanted = ddl.comments(self._model)
        before = dict(self._rows("SELECT target, said FROM etl.comments WHERE model = %s", self._model.name))
        objects = {"SCHEMA": "to_regnamespace(%s), 'pg_namespace'", "FUNCTION": "to_regprocedure(%s), 'pg_proc'"}
        for target in wanted:
            kind, name = target.split(" ", 1)
            if kind in objects:
                found[target] = self._one(f"SELECT obj_description({objects[kind]})", name)
        stale = [
            target
            for target, text in wanted.items()
            if found.get(target) != text and found.get(target) in (None, before.get(target))
        ]
        said = [ddl.say(self._model, target, wanted[target]) for target in stale]
        self._tries.run([*(ddl.comment(target, wanted[target]) for target in stale), *said])

    def _one(self, query: str, *values: Any) -> Any:
        row = self._connection.execute(query.encode(), values).fetchone()
        return None if row is None else row[0]

    def _rows(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        return self._connection.execute(query.encode(), values).fetchall()

"""The draft of ``source.yml``: which relations are read, with which key and strategy; which are left out, and why.

Rules, few on purpose (docs/model.md has them for users): the key is the primary key, else the shortest unique index
whose columns are all NOT NULL; tables are read by ``snapshot``, everything else by ``full``, and only with a key.
Nothing is left out silently.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from tidemark.drafting import names
from tidemark.drafting.catalog import Database, FoundColumn, Relation
from tidemark.drafting.zones import ServerZone, zone_notes
from tidemark.model.names import breaks_lines, folded, is_mirrors_own
from tidemark.model.types import PgType

KINDS: Final = {
    "r": "table",
    "p": "partitioned table",
    "v": "view",
    "m": "materialized view",
    "f": "foreign table",
}
_NAME_A_KEY: Final = "name the columns that are unique and never NULL under key"


@dataclass(frozen=True, kw_only=True)
class Drafted:
    """One relation as the model will read it; ``columns`` are those that a mirror can have."""

    name: str
    relation: Relation
    key: tuple[str, ...]
    strategy: str
    columns: tuple[FoundColumn, ...]

    @property
    def where(self) -> str:
        """The relation's name in the source."""
        return names.shown(self.relation.schema, self.relation.name)

    def column(self, name: str) -> FoundColumn:
        """Return the column called ``name``."""
        return next(column for column in self.columns if column.name == name)


@dataclass(frozen=True, kw_only=True)
class LeftOut:
    """Something that the draft does not read; ``draft`` is what it would read if the user named a key."""

    where: str
    why: str
    do: str
    draft: Drafted | None = None


@dataclass(kw_only=True)
class SourceDraft:
    """All of ``source.yml``: its relations, what is left out, and what is worth knowing of what is not."""

    name: str
    description: str
    database: str
    zone: ServerZone = field(default_factory=ServerZone)
    tables: list[Drafted] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def zone_notes(self) -> list[str]:
        """Which zone the ``timestamp`` columns are taken to hold, and how that is known; nothing if there are none."""
        columns = [(names.shown(table.name, one.name), one) for table in self.tables for one in table.columns]
        return zone_notes(self.zone, columns)

    @property
    def schema(self) -> str:
        """The schema named at the top: ``public`` if anything is there, else the one with the most tables."""
        counts = Counter(table.relation.schema for table in self.tables)
        return "public" if "public" in counts or not counts else min(counts, key=lambda name: (-counts[name], name))


def draft_source(
    database: Database, name: str, role: str, holds_null: Callable[[Relation, Sequence[str]], bool]
) -> SourceDraft:
    """Decide for every relation.

    Parameters
    ----------
    name
        Of the model.
    role
        Who reads, for the advice on missing rights.
    holds_null
        Whether a materialized view has NULL in any of the given columns.
    """
    made = SourceDraft(
        name=name,
        description=names.one_line(database.comment) or f"Tables of database {names.one_line(database.name)}",
        database=database.name,
        zone=database.zone,
    )
    called = _model_names(database.relations)
    for relation in database.relations:
        refused = _refused(relation, role)
        if refused is not None:
            made.left_out.append(refused)
            continue
        table = _drafted(relation, called[relation.oid], made.left_out)
        missing = _why_not(table, holds_null)
        if missing is None:
            made.tables.append(table)
            made.notes += _notes(table)
        else:
            made.left_out.append(missing)
    made.notes += made.zone_notes
    return made


def column_type(column: FoundColumn) -> str:
    """Return the type as the model writes it: PostgreSQL's own types by name, all others (enums …) as their text."""
    if column.type == "bpchar":  # char without a length, which char(1) is not
        return column.type
    return str(PgType.parse(column.type)) if column.builtin else "text"


def _model_names(relations: Sequence[Relation]) -> dict[int, str]:
    """Give every relation a name of its own; where two schemas have the same, those outside public say which."""
    plain = {relation.oid: names.slug(relation.name, "table") for relation in relations}
    schemas: dict[str, set[str]] = defaultdict(set)
    for relation in relations:
        schemas[plain[relation.oid]].add(relation.schema)
    result: dict[int, str] = {}
    exact_first = sorted(
        relations, key=lambda relation: (plain[relation.oid] != relation.name, relation.schema != "public")
    )
    for relation in exact_first:
        name = plain[relation.oid]
        if relation.schema != "public" and len(schemas[name]) > 1:
            name = f"{names.slug(relation.schema, 'schema')}_{name}"
        result[relation.oid] = names.unique(name, result.values())
    return result


def _refused(relation: Relation, role: str) -> LeftOut | None:
    """Say why a relation cannot be read at all, or None."""
    where = names.shown(relation.schema, relation.name)
    if relation.of_extension:
        return LeftOut(where=where, why="belongs to an extension", do="nothing, or declare it by hand")
    if not relation.readable:
        schema = names.shown(relation.schema)
        grants = (
            f"GRANT USAGE ON SCHEMA {schema} TO {names.shown(role)}; GRANT SELECT ON {where} TO {names.shown(role)}"
        )
        return LeftOut(where=where, why=f"{names.shown(role)} may not read it", do=grants)
    if breaks_lines(relation.schema) or breaks_lines(relation.name):
        return LeftOut(where=where, why="its name holds control characters", do="read it through a view")
    return None


def _drafted(relation: Relation, name: str, left_out: list[LeftOut]) -> Drafted:
    """Draft a relation with the columns that a mirror can have; the others go to ``left_out``."""
    taken: set[str] = set()
    refused: dict[str, str] = {}
    key = _key(relation)
    for column in sorted(relation.columns, key=lambda column: column.name not in key):
        if breaks_lines(column.name):
            refused[column.name] = "its name holds control characters"
        elif is_mirrors_own(column.name):
            refused[column.name] = "the lake needs that name itself"
        elif folded(column.name) in taken:
            refused[column.name] = (
                "another column differs only in upper and lower case, which Spark does not tell apart"
            )
        else:
            taken.add(folded(column.name))
    left_out += [
        LeftOut(where=names.shown(relation.schema, relation.name, column), why=why, do="read it through a view")
        for column, why in refused.items()
    ]
    by_snapshot = relation.kind in ("r", "p") and not relation.has_foreign_parts and not relation.row_security
    return Drafted(
        name=name,
        relation=relation,
        key=key if not refused.keys() & set(key) else (),
        strategy="snapshot" if by_snapshot else "full",
        columns=tuple(column for column in relation.columns if column.name not in refused),
    )


def _key(relation: Relation) -> tuple[str, ...]:
    """Return the primary key, else the shortest unique index that cannot hold NULL; none is empty.

    A materialized view's columns are never declared NOT NULL: there the index alone counts, for now.
    """
    if relation.primary_key:
        return relation.primary_key
    never_null = {column.name for column in relation.columns if column.not_null or relation.kind == "m"}
    return next((columns for columns in relation.uniques if never_null.issuperset(columns)), ())


def _why_not(table: Drafted, holds_null: Callable[[Relation, Sequence[str]], bool]) -> LeftOut | None:
    """Say why a readable relation is left out after all, or None."""
    relation, kind = table.relation, KINDS[table.relation.kind]
    draft: Drafted | None = table
    if not table.columns:
        why, do, draft = "has no columns that can be read", "nothing", None
    elif not relation.populated:
        why, do = "is a materialized view that was never filled", "REFRESH it and draft again"
    elif relation.has_children and relation.kind == "r":
        why = "other tables inherit from it: it shows their rows too, and its key does not hold across them"
        do = "the other tables are read on their own; if a key holds across all, take this one instead of them"
    elif not table.key and _key(relation):
        why, do = f"its key column {', '.join(map(names.shown, _key(relation)))} cannot be read", _NAME_A_KEY
    elif not table.key and relation.kind in ("r", "p"):
        why, do = "has no primary key and no unique index over NOT NULL columns", _NAME_A_KEY
    elif not table.key:
        why, do = f"is a {kind}: nothing in the catalogue says what is unique in it", _NAME_A_KEY
    elif relation.kind == "m" and holds_null(relation, table.key):
        why, do = f"its unique column {', '.join(map(names.shown, table.key))} holds NULL", _NAME_A_KEY
        draft = replace(table, key=())
    else:
        return None
    return LeftOut(where=table.where, why=why, do=do, draft=draft)


def _notes(table: Drafted) -> list[str]:
    found = []
    if table.relation.row_security:
        found.append(
            f"{table.where}: row-level security is active: only the rows that this role is shown are read, by the "
            "strategy full (ALTER ROLE … BYPASSRLS and draft again, if all are meant)"
        )
    if table.relation.has_foreign_parts:
        found.append(f"{table.where}: some partitions are foreign tables, so it is read by the strategy full")
    return found


def table_entry(table: Drafted, draft: SourceDraft, described: dict[tuple[int, str], str]) -> dict[str, Any]:
    """Return a table's entry in ``source.yml``; ``described`` has plain descriptions for columns without a comment."""
    relation = table.relation
    entry: dict[str, Any] = {"description": _table_description(relation)}
    if relation.schema != draft.schema:
        entry["schema"] = relation.schema
    if relation.name != table.name:
        entry["relation"] = relation.name
    entry["key"] = list(table.key)
    if table.strategy != "snapshot":
        entry["incremental"] = table.strategy
    entry["columns"] = {column.name: _column_entry(table, column, draft, described) for column in table.columns}
    return entry


def _column_entry(
    table: Drafted, column: FoundColumn, draft: SourceDraft, described: dict[tuple[int, str], str]
) -> dict[str, Any]:
    entry: dict[str, Any] = {"type": column_type(column)}
    if column.time_zone != draft.zone.name and column.time_zone:
        entry["time_zone"] = column.time_zone
    entry["nullable"] = not (column.not_null or column.name in table.key)
    return entry | {"description": column_description(table, column, described)}


def _table_description(relation: Relation) -> str:
    plain = f"{KINDS[relation.kind].capitalize()} {names.shown(relation.schema, relation.name)}"
    return names.one_line(relation.comment) or plain


def column_description(table: Drafted, column: FoundColumn, described: dict[tuple[int, str], str]) -> str:
    """Return a column's comment, or a plain description."""
    plain = described.get((table.relation.oid, column.name)) or names.in_words(column.name)
    return names.one_line(column.comment) or plain or f"Column {table.columns.index(column) + 1}"


def plain_descriptions(tables: Sequence[Drafted]) -> dict[tuple[int, str], str]:
    """Describe columns that refer to another table, by (relation, column)."""
    by_oid = {table.relation.oid: table for table in tables}
    result: dict[tuple[int, str], str] = {}
    for table in tables:
        for reference in table.relation.references:
            target = by_oid.get(reference.target)
            if target is None or len(reference.columns) > 1:
                continue
            words = names.in_words(reference.columns[0])
            result.setdefault((table.relation.oid, reference.columns[0]), f"{words} ({target.name})".strip())
    return result

"""A small model in which everything is called anything: names drawn from where they could do harm.

Two source tables and four star tables: a dimension of the first, a fact of the second that refers to it and joins it, a
fact of the first with a column that its rows may break, and the calendar. Each has a column that comes later.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import yaml
from hypothesis import strategies as st
from tidemark.base.quoting import pg, spark
from tidemark.model import names as model_names

if TYPE_CHECKING:
    from pathlib import Path

# Words of the program: columns, views, aliases, keys of its dicts; of Iceberg and Spark: metadata tables and columns.
OWN: Final = ["members", "quarantine", "etl_batches", "load_ledger", "runs", "run", "changes", "status", "skipped", "refreshed", "new", "changed", "deleted", "rejected", "gone", "bad", "filled", "backfilled", "key", "keys", "row", "rows", "reason", "batch", "table_name", "resolved_batch", "keyless_rows", "last", "lst", "count", "record", "at", "known_batch", "lake", "source", "star", "stage", "driver", "inputs", "dim", "fact", "t", "s", "f", "d", "c", "l", "r", "e", "p", "x", "id", "date_id", "year", "month", "day", "day_month", "name", "model", "columns", "snapshots", "quarantined_rows", "version", "valid_from", "valid_to", "is_current", "is_deleted", "is_inferred", "recorded_batch", "closed_batch", "_batch", "_op", "_old", "_old_key", "_rows_x", "_then_x", "_key0", "_wanted0", "_decision", "_reason", "_row", "_key_text", "_keyless", "_updated_at", "_reference", "_dimension", "files", "history", "manifests", "partitions", "refs", "entries", "data_files", "all_files", "position_deletes", "metadata_log_entries", "_metadata", "_corrupt_record", "_file", "_pos", "_deleted", "_spec_id", "_partition", "_row_id", "_change_type", "input_file_name", "oid", "xmin", "xmax", "ctid", "tableoid", "cmin", "cmax", "array", "element", "value"]  # fmt: skip
# Reserved in PostgreSQL, in Spark's ANSI mode, or special in one of them.
KEYWORDS: Final = [
    "all",
    "analyse",
    "and",
    "anti",
    "any",
    "array",
    "as",
    "asc",
    "between",
    "both",
    "case",
    "cast",
    "check",
    "collate",
    "column",
    "constraint",
    "create",
    "cross",
    "cube",
    "current",
    "current_date",
    "current_role",
    "current_timestamp",
    "current_user",
    "default",
    "delete",
    "desc",
    "describe",
    "distinct",
    "div",
    "else",
    "end",
    "escape",
    "except",
    "exists",
    "extract",
    "false",
    "fetch",
    "filter",
    "for",
    "foreign",
    "from",
    "full",
    "function",
    "grant",
    "group",
    "grouping",
    "having",
    "ilike",
    "in",
    "index",
    "inner",
    "insert",
    "interval",
    "intersect",
    "into",
    "is",
    "join",
    "lateral",
    "leading",
    "left",
    "like",
    "limit",
    "localtime",
    "map",
    "merge",
    "minus",
    "natural",
    "not",
    "null",
    "offset",
    "on",
    "only",
    "or",
    "order",
    "outer",
    "over",
    "overlaps",
    "partition",
    "placing",
    "position",
    "primary",
    "qualify",
    "range",
    "references",
    "regexp",
    "returning",
    "right",
    "rlike",
    "select",
    "semi",
    "session_user",
    "set",
    "some",
    "struct",
    "symmetric",
    "system_user",
    "table",
    "tablesample",
    "then",
    "time",
    "timestamp",
    "to",
    "trailing",
    "true",
    "truncate",
    "union",
    "unique",
    "unknown",
    "update",
    "user",
    "using",
    "values",
    "variadic",
    "when",
    "where",
    "window",
    "with",
    "within",
]
STRANGE: Final = (
    "*", ".", "a.b", "a.*", "`", "``", "a`b", '"', 'a"b', "'", "\\", "$", "${x}", "%", "%s", "?", ":x", " ", " a ", "-", "--",
    "/*", ";", "#", "@", "(", ")", "[0]", "{", "}", ",", "=", "1", "1a", "é", "É", "ß", "İ", "\u0131", "I", "\u017f", "K", "名前", "🌊",
    "e\u0301", "\u00a0", "\u200d", "\u202e", "NULL", "true", "1e5", "~", "x" * 63, "é" * 31 + "x", "🌊" * 15 + "abc",
)  # fmt: skip
CONTROL: Final = ("a\nb", "\t", "\r", "\u0085", "\u2028", "\u007f")
ENDINGS: Final = (
    *model_names.TABLES_OWN,
    *model_names.FACTS_OWN,
    "_month",
    "_seq",
    "_batch",
    "_key",
    "_source",
    "_star",
)
LONG: Final = "long_equal_prefix_of_two_names_that_differ_at_the_end_"

_own = st.sampled_from(OWN + KEYWORDS)
_cased = st.builds(lambda word, at: word[:at] + word[at:].upper(), _own, st.integers(0, 4))
_mixed = st.builds("{}{}{}".format, _own, st.sampled_from((*STRANGE[:40], "_")), _own)
_text = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=12)
anything = st.one_of(_own, _cased, _mixed, st.sampled_from(STRANGE + CONTROL), _text).filter(
    lambda name: len(name.encode()) <= 63 and name not in ("xmin", "xmax", "ctid", "tableoid", "cmin", "cmax")
)
_long = st.builds(lambda number: f"{LONG}{number % 10}", st.integers(0, 9))
_derived = st.builds("{}{}".format, _own, st.sampled_from(ENDINGS))
plain = st.one_of(_own, _own, _derived, _long, st.from_regex(r"[a-z_][a-z0-9_]{0,54}", fullmatch=True))


@dataclass(frozen=True)
class AnyNames:
    """Names of everything, in the order of the attributes of :func:`names`."""

    tables: tuple[str, str]
    relations: tuple[str, str]
    parent: tuple[str, ...]
    child: tuple[str, ...]
    stars: tuple[str, str, str, str]
    dimension: tuple[str, ...]
    fact: tuple[str, ...]
    other: tuple[str, ...]
    record_ids: tuple[str, str]

    def write(self, folder: Path, model: str, *, late: bool) -> None:
        """Write the model folder, with or without the columns that come later."""
        folder.mkdir(exist_ok=True)
        dim, fact, other, calendar = self.stars
        bound = self._star(1, self.fact, ("bigint", "integer", "date", "varchar", "varchar", "varchar"), late)
        bound["columns"][self.fact[1]]["references"] = dim
        bound["columns"][self.fact[2]]["references"] = calendar
        source = {"name": model, "description": "Anything", "tables": dict(self._sources(late=late))}
        star = {
            "date_dimension": calendar,
            "dimensions": {dim: self._star(0, self.dimension, ("integer", "varchar", "varchar", "varchar"), late)},
            "facts": {
                fact: bound
                | {"joins": [self.tables[0]], "surrogate_key": self.record_ids[0], "partition_by": self.fact[2]},
                other: self._star(0, self.other, ("integer", "integer", "varchar", "varchar"), late)
                | {"surrogate_key": self.record_ids[1]},
            },
        }
        for file, content in (("source.yml", source), ("star.yml", star)):
            text = yaml.safe_dump(content, sort_keys=False)
            (folder / file).write_text(text, encoding="utf-8")
        for name, sql in self._selects(late=late):
            (folder / f"{name}.sql").write_text(sql, encoding="utf-8")

    def _sources(self, *, late: bool) -> list[tuple[str, Any]]:
        kinds = (("integer", "text", "text", "text"), ("bigint", "integer", "date", "text", "text"))
        parts = zip(self.tables, self.relations, (self.parent, self.child), kinds, strict=True)
        return [
            (
                table,
                {"description": "A table", "relation": relation, "key": [columns[0]], "columns": _columns(columns, types, late)},
            )
            for table, relation, columns, types in parts
        ]  # fmt: skip

    def _star(self, driver: int, columns: tuple[str, ...], types: tuple[str, ...], late: bool) -> dict[str, Any]:
        key = (self.parent, self.child)[driver][0]
        return {
            "description": "A star table",
            "key": columns[0],
            "from": self.tables[driver],
            "from_key": key,
            "columns": _columns(columns, types, late),
        }

    def _selects(self, *, late: bool) -> list[tuple[str, str]]:
        dim, fact, other, _ = self.stars
        parent, child = (spark(name) for name in self.tables)
        p = [f"p.{spark(name)}" for name in self.parent]
        c = [f"c.{spark(name)}" for name in self.child]
        joined = f"{child} AS c LEFT JOIN {parent} AS p ON p.{spark(self.parent[0])} = c.{spark(self.child[1])}"
        return [
            (dim, _select(p, self.dimension, f"{parent} AS p", late)),
            (fact, _select([*c[:4], p[1], c[4]], self.fact, joined, late)),
            (other, _select([p[0], p[2], p[1], p[3]], self.other, f"{parent} AS p", late)),
        ]

    def expected(self, schema: str, *, late: bool) -> list[tuple[str, str]]:
        """Pairs of queries, for source and warehouse, that must give the same: the present rows of each star table."""
        dim, fact, other, _ = self.stars
        parent, child = (pg("public", name) for name in self.relations)
        p = [f"p.{pg(name)}" for name in self.parent]
        c = [f"c.{pg(name)}" for name in self.child]
        joined = f"{child} AS c LEFT JOIN {parent} AS p ON p.{pg(self.parent[0])} = c.{pg(self.child[1])}"
        good = f"{parent} AS p WHERE {p[2]} ~ '^[0-9]+$'"
        parts = (
            (dim, self.dimension, p, f"{parent} AS p", pg(schema, dim) + " WHERE NOT is_deleted AND NOT is_inferred"),
            (fact, self.fact, [*c[:4], p[1], c[4]], joined, pg(schema, f"{fact}_current")),
            (other, self.other, [p[0], p[2], p[1], p[3]], good, pg(schema, f"{other}_current")),
        )
        return [
            (_as_text(values, here, late), _as_text([pg(name) for name in columns], there, late))
            for _, columns, values, here, there in parts
        ]


def _columns(columns: tuple[str, ...], types: tuple[str, ...], late: bool) -> dict[str, Any]:
    pairs = list(zip(columns, types, strict=True))
    return {
        name: {"type": kind, "nullable": place > 0, "description": "A column"}
        for place, (name, kind) in enumerate(pairs if late else pairs[:-1])
    }


def _select(values: list[str], columns: tuple[str, ...], table: str, late: bool) -> str:
    pairs = list(zip(values, columns, strict=True))
    listed = ", ".join(f"{value} AS {spark(name)}" for value, name in (pairs if late else pairs[:-1]))
    return f"SELECT {listed} FROM {table}"


def _as_text(values: list[str], table: str, late: bool) -> str:
    listed = ", ".join(f"({value})::text" for value in (values if late else values[:-1]))
    return f"SELECT {listed} FROM {table}"


def _unique(strategy: st.SearchStrategy[str], count: int, *, clean: bool) -> st.SearchStrategy[tuple[str, ...]]:
    by = model_names.folded if clean else str
    return st.lists(strategy, min_size=count, max_size=count, unique_by=by).map(tuple)


def names(*, clean: bool) -> st.SearchStrategy[AnyNames]:
    """Draw names; with ``clean``, mostly such as the loader takes."""
    source = anything.filter(lambda name: not model_names.source_column_problem(name, [name])) if clean else anything
    own = plain.filter(lambda name: not model_names.star_column_problem(name)) if clean else plain
    table = st.one_of(plain, st.from_regex(r"[a-z0-9_]{1,63}", fullmatch=True))
    return st.builds(
        AnyNames,
        tables=_unique(table if clean else st.one_of(table, table, anything), 2, clean=clean),
        relations=_unique(anything, 2, clean=False),
        parent=_unique(source, 4, clean=clean),
        child=_unique(source, 5, clean=clean),
        stars=_unique(plain, 4, clean=clean),
        dimension=_unique(own, 4, clean=clean),
        fact=_unique(own, 6, clean=clean),
        other=_unique(own, 4, clean=clean),
        record_ids=st.tuples(own, own),
    )


# What was found by hand, all at once.
WORST: Final = AnyNames(
    tables=("members", "entries"),
    relations=('Robert"); DROP', "xmin"),
    parent=("*", "_corrupt_record", "a.b", "_metadata"),
    child=("select", "x" * 63, "`", "é" * 31 + "x", "Key"),
    stars=("files", f"{LONG}1", f"{LONG}2", "user"),
    dimension=("key", "count", "t", "s"),
    fact=("count", "at", "known_batch", "select", "f", "row"),
    other=("batch", "reason", "table_name", "d"),
    record_ids=("order", "key"),
)

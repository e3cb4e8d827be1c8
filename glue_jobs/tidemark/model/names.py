"""Names that a model may not give, because Tidemark, Spark, Iceberg or PostgreSQL gives them itself.

Owns those names and the rules. Promises: a name that passes reaches lake and warehouse as it is, quoted, and meets no
other there; SQL keywords pass, for they are quoted. docs/model.md ("Names") says the same to people.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from tidemark.model.added_columns import BATCHES, DIMENSION_COLUMNS, FACT_COLUMNS, MIRROR_COLUMNS, QUARANTINE

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

# Schemas of the warehouse that are there already; `tidemark rebuild` drops the model's.
SCHEMAS_TAKEN: Final = frozenset({"etl", "public", "information_schema"})
# The transform's and Iceberg's own columns beside a mirror's.
MIRRORS_OWN: Final = frozenset(column.name for column in MIRROR_COLUMNS) | frozenset(
    "_op _old _file _pos _deleted _spec_id _partition _row_id _last_updated_sequence_number "  # noqa: SIM905
    "_change_type _change_ordinal _commit_snapshot_id".split()
)
# Tidemark's own columns beside a star's, and those that every table of PostgreSQL has.
STARS_OWN: Final = frozenset(
    column.name for column in (*FACT_COLUMNS, *DIMENSION_COLUMNS) if column.in_warehouse
) | frozenset(("last", "tableoid", "ctid", "xmin", "xmax", "cmin", "cmax"))
# Tidemark's own tables beside a star's.
STAR_DATABASES_OWN: Final = frozenset({BATCHES, QUARANTINE})
# What the warehouse makes beside each table, and besides beside each fact.
TABLES_OWN: Final = ("_pkey",)
FACTS_OWN: Final = ("_current", "_as_of", "_one")
# What Iceberg puts behind the name of a fact's ``partition_by`` to name its months.
MONTHS: Final = "_month"
_MODEL_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,40}")
_STAR_NAME: Final = re.compile(r"[a-z_][a-z0-9_]{0,54}")
_TABLE_NAME: Final = re.compile(r"[a-z0-9_]{1,63}")
_LINE_BREAKERS: Final = ("Cc", "Zl", "Zp", "Cs")


@dataclass(frozen=True)
class FactNames:
    """What a fact's own names in the warehouse are made of: its name, its key and its ``surrogate_key``."""

    name: str
    key: Sequence[str]
    surrogate_key: str

    def derived(self) -> list[str]:
        """Names of its view, function, indexes and sequence; the last two as PostgreSQL makes them."""
        unique, sequence = ("_".join([self.name, *self.key, "version_key"]), f"{self.name}_{self.surrogate_key}_seq")
        return [*(self.name + ending for ending in FACTS_OWN), unique, sequence]


def folded(name: str) -> str:
    """Return what two names have in common that Spark or Iceberg takes for one: case, in Java's sense of it.

    Java compares letter by letter, upper case and lower. So it takes both Turkish i, with a dot and without, for an i.
    """
    plain = name.replace("\u0130", "i").replace("i\u0307", "i").replace("I\u0307", "i")
    return plain.upper().casefold()


def breaks_lines(name: str) -> bool:
    """Whether a name holds control characters, which no catalogue takes."""
    return any(unicodedata.category(letter) in _LINE_BREAKERS for letter in name)


def is_model_name(name: str) -> bool:
    """Whether a model may be called so: it names a schema of the warehouse and databases of the lake."""
    return bool(_MODEL_NAME.fullmatch(name)) and name not in SCHEMAS_TAKEN and not name.startswith("pg_")


def is_source_table(name: str) -> bool:
    """Whether the lake's catalogue takes a mirror of that name."""
    return bool(_TABLE_NAME.fullmatch(name))


def is_star_table(name: str) -> bool:
    """Whether a star table may be called so, others aside."""
    return bool(_STAR_NAME.fullmatch(name))


def is_mirrors_own(column: str) -> bool:
    """Whether a mirror cannot have a column of that name."""
    return folded(column) in MIRRORS_OWN or folded(column).startswith("_old_")


def source_column_problem(column: str, columns: Iterable[str]) -> str:
    """Say which other name a source column needs; empty if its own will do."""
    if is_mirrors_own(column):
        return "another name: the lake uses this one itself; read the column through a view"
    if breaks_lines(column):
        return "a name without line ends and other control characters; read the column through a view"
    if Counter(map(folded, columns))[folded(column)] > 1:
        return "names that differ in more than their case: Spark sees no other; read one of them through a view"
    return ""


def star_column_problem(column: str) -> str:
    """Say which other name a star column, or a fact's ``surrogate_key``, needs; empty if its own will do."""
    if not _STAR_NAME.fullmatch(column) or column[0] == "_":
        return "lower-case letters, digits and _, beginning with a letter, at most 55"
    return "another name: every star table has this one of Tidemark's or PostgreSQL's" if column in STARS_OWN else ""


def taken(tables: Sequence[str], facts: Iterable[FactNames]) -> frozenset[str]:
    """Return those of a star's ``tables`` (calendar included) whose name another has, or what is made beside it."""
    derived = [name + ending for name in tables for ending in TABLES_OWN]
    derived += [name for fact in facts for name in fact.derived()]
    count = Counter([*tables, *derived, *STAR_DATABASES_OWN])
    return frozenset(name for name in tables if count[name] > 1)

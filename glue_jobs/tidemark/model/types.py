"""PostgreSQL types and their forms on the way: reader expression, landing and lake (Spark).

Promises: a value that is landed is exact. Dates and timestamps
travel from the readers as whole days and microseconds, so neither the JVM's time zone nor its calendar can bend them;
types that have no exact lake form (unbounded numeric, time, uuid, json, enums, arrays …) travel as their text.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from tidemark.base.errors import ModelError
from tidemark.base.quoting import pg

_MAX_DECIMAL: Final = 38
_INTEGER_RANK: Final = {"smallint": 1, "integer": 2, "bigint": 3}
_FLOAT_RANK: Final = {"real": 1, "double precision": 2}
_ALIASES: Final = {
    "int": "integer",
    "int2": "smallint",
    "int4": "integer",
    "int8": "bigint",
    "bool": "boolean",
    "float4": "real",
    "float8": "double precision",
    "decimal": "numeric",
    "character varying": "varchar",
    "character": "char",
    "bpchar": "char",
    "timestamp without time zone": "timestamp",
    "timestamp with time zone": "timestamptz",
    "time without time zone": "time",
    "time with time zone": "timetz",
}
_SPARK: Final = {
    "smallint": "int",
    "integer": "int",
    "bigint": "bigint",
    "real": "float",
    "double precision": "double",
    "boolean": "boolean",
    "date": "date",
    "timestamp": "timestamp_ntz",
    "timestamptz": "timestamp",
    "bytea": "binary",
}
STAR_TYPES: Final = frozenset([*_SPARK, "numeric", "text", "varchar", "char", "time"]) - {"bytea"}
# What may stand in brackets after these types (for numeric, see :attr:`PgType.precision_scale`); nothing after others.
_LENGTH, _DECIMALS = range(1, 10_485_761), range(7)
_ARGUMENT: Final = {
    "varchar": _LENGTH,
    "char": _LENGTH,
    "time": _DECIMALS,
    "timestamp": _DECIMALS,
    "timestamptz": _DECIMALS,
}
# Texts of a known, small size: their types' values as PostgreSQL writes them.
_SHORT_FORMS: Final = frozenset(
    ["time", "timetz", "interval", "uuid", "inet", "cidr", "macaddr", "macaddr8", "money", "oid"]
)
_NUMBER_BYTES, _UTF8_BYTES, _SHORT_TEXT = 64, 4, 250
_TYPE: Final = re.compile(
    r"^(?P<base>[^(]+?)\s*(?:\((?P<args>\s*\d+\s*(?:,\s*\d+\s*)*)\))?\s*(?P<tail>with(?:out)? time zone)?$"
)


@dataclass(frozen=True)
class PgType:
    """A PostgreSQL type: base name and arguments, e.g. ``numeric`` and ``(10, 2)``."""

    base: str
    args: tuple[int, ...] = ()

    @classmethod
    def parse(cls, text: str) -> PgType:
        """Read a type as the model or ``format_type`` writes it; a type we have no own form for keeps its name."""
        match = _TYPE.match(text.strip())
        if not match:
            return cls(text.strip())
        base = " ".join(filter(None, (match["base"].strip(), match["tail"])))
        base = base if '"' in base else base.lower()  # PostgreSQL folds what is not quoted
        args = tuple(int(arg) for arg in match["args"].split(",")) if match["args"] else ()
        return cls(_ALIASES.get(base, base), args)

    def __str__(self) -> str:
        return self.base + (f"({','.join(map(str, self.args))})" if self.args else "")

    @property
    def precision_scale(self) -> tuple[int, int] | None:
        """Precision and scale of a numeric that fits a lake decimal, else None."""
        if self.base != "numeric" or len(self.args) not in (1, 2):
            return None
        precision, scale = self.args[0], self.args[1] if len(self.args) > 1 else 0
        return (precision, scale) if 1 <= precision <= _MAX_DECIMAL and 0 <= scale <= precision else None

    @property
    def family(self) -> str:
        """Types of one family can be widened into each other; everything without a native form is ``text``."""
        if self.base in _INTEGER_RANK:
            return "integer"
        if self.base in _FLOAT_RANK:
            return "float"
        if self.base == "numeric" or self.base in _SPARK:
            return self.base
        return "text"

    @property
    def spark(self) -> str:
        """Landing and lake type, as Spark SQL writes it."""
        if self.precision_scale:
            return "decimal({},{})".format(*self.precision_scale)
        return _SPARK.get(self.base, "string")

    @property
    def is_integer(self) -> bool:
        """Whether keys of this type can be grouped by ranges."""
        return self.base in _INTEGER_RANK

    def fits_in(self, wider: PgType) -> bool:
        """Whether every value of this type is a value of ``wider`` of the same family, without loss."""
        if self.family != wider.family:
            return False
        if self.family == "integer":
            return _INTEGER_RANK[self.base] <= _INTEGER_RANK[wider.base]
        if self.family == "float":
            return _FLOAT_RANK[self.base] <= _FLOAT_RANK[wider.base]
        if self.family == "numeric":
            mine, other = self.precision_scale, wider.precision_scale
            if not (mine and other):
                return not other
            return mine[1] == other[1] and mine[0] <= other[0]
        return True

    def can_refer_to(self, key: PgType) -> bool:
        """Whether a fact's column of this type may refer to a dimension whose key is of type ``key``.

        Every value that the column can hold must be a value of the key, for a placeholder may have to be made of it; it
        must read the same as text, with which the transform finds the key; and PostgreSQL must take the foreign key.

        Parameters
        ----------
        key
            Type of the dimension's key, as the star declares it.

        Returns
        -------
        bool
            True for integers and numerics (of one scale) that fit; for text and varchar that are no longer than the
            key; otherwise for the very same type only.
        """
        if self.family in ("integer", "numeric"):
            return self.fits_in(key)
        if {self.base, key.base} <= {"text", "varchar"}:
            return not key.args or (bool(self.args) and self.args[0] <= key.args[0])
        return self == key

    def measured_width(self, column: str) -> str:
        """SQL for the bytes that a value needs on its way, if its type does not bound them; else an empty text.

        For text and bytea PostgreSQL knows the number without reading the value.
        """
        if self.base == "bytea":
            return f"coalesce(2 * octet_length({pg(column)})::bigint, 0)"  # travels as hexadecimal digits
        return f"coalesce(octet_length({pg(column)}::text)::bigint, 0)" if self.bounded_width is None else ""

    @property
    def bounded_width(self) -> int | None:
        """Bytes that a value of this type needs at most, None if there is no bound, or a large one."""
        if self.spark != "string":
            return None if self.base == "bytea" else _NUMBER_BYTES
        if self.base in ("varchar", "char") and self.args and self.args[0] <= _SHORT_TEXT:
            return _UTF8_BYTES * self.args[0]
        return _NUMBER_BYTES if self.base in _SHORT_FORMS else None

    def reader_expression(self, column: str) -> str:
        """SQL with which a JDBC reader fetches the column; undone by :meth:`landing_expression`."""
        name = pg(column)
        if self.base == "date":
            return f"({name} OPERATOR(pg_catalog.-) DATE '1970-01-01') AS {name}"
        if self.base in ("timestamp", "timestamptz"):
            # Whole seconds and the rest apart: before PostgreSQL 14 an epoch is a double, too short for far dates.
            # Named in full: Spark asks for the columns' types in a session whose search path may not be ours yet.
            part, second = "pg_catalog.date_part", f"pg_catalog.date_trunc('second', {name})"
            seconds, micros = f"{part}('epoch', {second})::bigint", f"{part}('microseconds', {name})::bigint"
            return f"({seconds} * 1000000 + {micros} % 1000000) AS {name}"
        return f"{name}::text AS {name}" if self.spark == "string" else name

    def landing_expression(self, column: str) -> str:
        """Spark SQL that turns what the reader fetched into the landing type."""
        quoted = "`" + column.replace("`", "``") + "`"
        if self.base == "date":
            return f"date_from_unix_date({quoted}) AS {quoted}"
        if self.base in ("timestamp", "timestamptz"):
            return f"CAST(timestamp_micros({quoted}) AS {self.spark}) AS {quoted}"
        return f"CAST({quoted} AS {self.spark}) AS {quoted}"


def star_type(text: str, where: str) -> PgType:
    """Read the type of a star column.

    Raises
    ------
    ModelError
        If the star cannot hold that type.
    """
    found = PgType.parse(text)
    expected = ""
    if found.base not in STAR_TYPES or (found.base == "numeric" and not found.precision_scale):
        listed = ", ".join(sorted(STAR_TYPES))
        expected = f"one of {listed}; numeric with precision and scale, e.g. numeric(10,2)"
    elif found.args and found.base != "numeric":
        allowed = _ARGUMENT.get(found.base)
        if allowed is None:
            expected = f"{found.base} alone"
        elif len(found.args) > 1 or found.args[0] not in allowed:
            expected = f"{found.base}(n), n from {allowed[0]} to {allowed[-1]}, or {found.base} alone"
    if expected:
        raise ModelError(f"{where}: type {text!r} cannot be held by a star", expected=expected, do="fix the type")
    return found

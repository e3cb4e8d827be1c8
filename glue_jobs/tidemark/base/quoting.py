"""Quoting of identifiers and literals: the only place where a name becomes SQL text.

Promises: whatever a table or column is called, the SQL that comes out refers to that name and nothing else. Values
are bound as parameters wherever the driver can; where it cannot (Spark's JDBC readers, DDL comments), they pass
through :func:`pg_literal`, :func:`spark_literal` or :func:`spark_in`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


def pg(*parts: str) -> str:
    """Quote a PostgreSQL identifier, dotted if several parts are given."""
    return ".".join('"' + part.replace('"', '""') + '"' for part in parts)


def spark(*parts: str) -> str:
    """Quote a Spark SQL identifier, dotted if several parts are given."""
    return ".".join("`" + part.replace("`", "``") + "`" for part in parts)


def spark_columns(columns: Mapping[str, str]) -> str:
    """Return columns (name -> Spark type) as Spark's DDL lists them."""
    return ", ".join(f"{spark(name)} {kind}" for name, kind in columns.items())


def spark_struct(columns: Iterable[str], frame: str = "") -> str:
    """Return Spark SQL for the value of some columns, of the frame or struct with that alias (``x.``), as a whole."""
    return f"struct({', '.join(f'{frame}{spark(column)}' for column in columns)})"


def pg_literal(text: str) -> str:
    r"""Quote a text as a PostgreSQL literal (``E''`` form, so that ``\`` is safe under either setting)."""
    escaped = text.replace("\\", "\\\\").replace("'", "''")
    return f"E'{escaped}'" if "\\" in text else f"'{escaped}'"


def spark_literal(text: str) -> str:
    """Quote a text as a Spark SQL literal."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def spark_in(expression: str, values: Iterable[int | str]) -> str:
    """Return Spark SQL for whether an expression is one of some values: a single text, unlike ``isin``."""
    literals = ", ".join(str(value) if isinstance(value, int) else spark_literal(value) for value in values)
    return f"{expression} IN ({literals})" if literals else "false"  # SQL has no empty list

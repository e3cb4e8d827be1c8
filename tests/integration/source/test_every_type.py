"""Every PostgreSQL type from source to warehouse, value by value, in both landing formats; writes ``docs/types.md``.

Set TIDEMARK_WRITE_DOCS=1 to write the page; without it the page is compared.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from tidemark.base.errors import SourceError
from tidemark.model.types import PgType

from tests.integration.conftest import Harness, by_spark_alone

pytestmark = pytest.mark.servers

PAGE = Path(__file__).resolve().parents[3] / "docs" / "types.md"
FORMS = (
    "SET datestyle = 'ISO, YMD'; SET intervalstyle = 'postgres'; SET timezone = 'UTC'; SET bytea_output = 'hex'; "
    "SET extra_float_digits = 3; "
)
PREPARE = """
CREATE TYPE colour AS ENUM ('red', 'sky blue', 'it''s "x", \\');
CREATE DOMAIN positive AS integer CHECK (VALUE > 0);
CREATE TYPE point3 AS (x integer, label text, z numeric);
"""
TEXTS = (
    "''",
    "E'\\x01\\x02\\x1f\\x7f'",
    "E'a\\tb\\nc\\rd'",
    "'%N'",
    "'\"quoted\", \\ and %E'",
    "'Zoë 🌊 \U0001d4b3'",
    "repeat('x', 70000)",
)


@dataclass(frozen=True)
class Kind:
    """One column: source type, what the model says of it (source and star), and literals to try."""

    type: str
    values: tuple[str, ...]
    declared: str = ""
    star: str = "text"

    @property
    def model_type(self) -> str:
        return self.declared or self.type


KINDS = (
    Kind("smallint", ("-32768", "32767", "0"), star="smallint"),
    Kind("integer", ("-2147483648", "2147483647"), star="integer"),
    Kind("bigint", ("-9223372036854775808", "9223372036854775807"), star="bigint"),
    Kind("numeric(10,2)", ("-99999999.99", "0.10", "7"), star="numeric(10,2)"),
    Kind("numeric(38,10)", ("9999999999999999999999999999.9999999999", "-0.0000000001"), star="numeric(38,10)"),
    Kind("numeric(10,2)", ("'NaN'", "1.50"), declared="text"),
    Kind("numeric", ("12345678901234567890123456789012345", "-0.00000000000000000001", "'NaN'", "'Infinity'", "1.500")),
    Kind("numeric(60,30)", ("123456789012345678901234567890.123456789012345678901234567891",)),
    Kind("real", ("'NaN'", "'-Infinity'", "3.4028235e38", "1e-45", "0.1", "'-0'"), star="real"),
    Kind(
        "double precision", ("'NaN'", "'Infinity'", "1.7976931348623157e308", "5e-324", "0.1"), star="double precision"
    ),
    Kind("money", ("12.34", "-92233720368547758.08")),
    Kind("boolean", ("true", "false"), star="boolean"),
    Kind("text", TEXTS),
    Kind("varchar(20)", ("''", "'20 characters at all'", "' spaces around '"), star="varchar(20)"),
    Kind("char(4)", ("'ab'", "'abcd'", "''"), star="char(4)"),
    Kind('"char"', ("'x'",)),
    Kind("name", ("'a_name'",)),
    Kind("uuid", ("'00000000-0000-0000-0000-000000000000'", "'f81d4fae-7dec-11d0-a765-00a0c91e6bf6'")),
    Kind("json", ('\'{"a": 1, "a": 2,  "b" : [1, 2 ]}\'', "'null'", "'\"x\"'")),
    Kind("jsonb", ('\'{"n": 123456789012345678901234567890.5, "e": 1e400}\'', "'null'", "'\"text\"'", "'[]'")),
    Kind("integer[]", ("'{}'", "'{1,NULL,3}'", "'[0:1]={5,6}'", "'{{1,2},{3,4}}'")),
    Kind("text[]", ("ARRAY['a,b', '\"', '', NULL, 'NULL', '🌊']",)),
    Kind("bytea", ("'\\x00ff10'", "''"), declared="text"),
    Kind("date", ("'2024-02-29'", "'0044-03-15 BC'", "'20240-01-01'", "'0001-01-01'", "'1582-10-10'"), star="date"),
    Kind("date", ("'infinity'", "'-infinity'", "'2024-02-29'"), declared="text"),
    Kind(
        "timestamp",
        (
            "'2024-08-22 09:15:00.123456'",
            "'0044-03-15 12:00:00 BC'",
            "'20240-01-01 00:00:00.123457'",
            "'1900-01-01 00:00:01'",
        ),
        star="timestamp",
    ),
    Kind("timestamp", ("'infinity'", "'-infinity'"), declared="text"),
    Kind("timestamp(3)", ("'2024-08-22 09:15:00.123'",), star="timestamp(3)"),
    Kind(
        "timestamptz",
        ("'2024-08-22 09:15:00.123456+02'", "'0044-03-15 12:00:00+00 BC'", "'20240-01-01Z'"),
        star="timestamptz",
    ),
    Kind("timestamptz", ("'infinity'",), declared="text"),
    Kind("time", ("'24:00:00'", "'00:00:00.000001'", "'23:59:59.999999'"), star="time"),
    Kind("timetz", ("'24:00:00-15:59'", "'09:15:00.5+02'")),
    Kind("interval", ("'1 year 2 mons -3 days 04:05:06.789'", "'-1 microsecond'", "'0'")),
    Kind("int4range", ("'[1,10)'", "'empty'", "'(,5]'")),
    Kind("tstzrange", ("'[2024-01-01 00:00:00+00,)'",)),
    Kind("int4multirange", ("'{[1,3),[5,7)}'",)),
    Kind("inet", ("'192.168.0.1/24'", "'::1'")),
    Kind("cidr", ("'10.0.0.0/8'",)),
    Kind("macaddr", ("'08:00:2b:01:02:03'",)),
    Kind("bit(5)", ("B'10101'",)),
    Kind("bit varying(9)", ("B''", "B'101'")),
    Kind("colour", ("'red'", "'sky blue'", "'it''s \"x\", \\'")),
    Kind("positive", ("7",), declared="integer", star="integer"),
    Kind("point3", ("ROW(1, 'a, \"b\"', NULL)",)),
    Kind("tsvector", ("'a:1 ''b c'':2A'",)),
    Kind("tsquery", ("'fat & rat'",)),
    Kind("point", ("'(1.5,-2)'",)),
    Kind("box", ("'(1,1),(0,0)'",)),
    Kind("pg_lsn", ("'16/B374D848'",)),
    Kind("oid", ("4294967295",)),
    Kind("jsonpath", ("'$.a[*] ? (@ > 1)'",)),
)
NAMES = [f"c{number:02d}" for number in range(len(KINDS))]


def kinds_on(major: int) -> list[Kind]:
    """The kinds as a server of that version has them: before 14, no multiranges and no infinite numeric."""
    if major >= 14:
        return list(KINDS)
    older = [Kind("text", ("''",)) if "multirange" in kind.type else kind for kind in KINDS]
    return [
        replace(kind, values=tuple(value for value in kind.values if value != "'Infinity'"))
        if kind.type == "numeric"
        else kind
        for kind in older
    ]


def with_everything(pipeline: Harness) -> None:
    """Add the table, its rows, its entry in the model and a dimension over it."""
    kinds = kinds_on(pipeline.server_version())
    columns = ", ".join(f"{name} {kind.type}" for name, kind in zip(NAMES, kinds, strict=True))
    pipeline.execute(PREPARE, f"CREATE TABLE everything (id integer PRIMARY KEY, {columns})")
    rows = max(len(kind.values) for kind in kinds)
    for row in range(rows):
        given = ", ".join(kind.values[row] if row < len(kind.values) else "NULL" for kind in kinds)
        pipeline.execute(f"INSERT INTO everything VALUES ({row}, {given})")
    pipeline.execute("GRANT SELECT ON everything TO PUBLIC")
    source = "  everything:\n    description: Every type\n    key: [id]\n    columns:\n"
    star = "  dim_everything:\n    description: Every type\n    key: id\n    from: everything\n    columns:\n"
    for name, kind in zip(["id", *NAMES], [Kind("integer", (), star="integer"), *kinds], strict=True):
        quoted = kind.model_type.replace("'", "''")
        source += f"      {name}: {{type: '{quoted}', description: x}}\n"
        star += f"      {name}: {{type: '{kind.star}', description: x}}\n"
    pipeline.edit("source.yml", "tables:\n", "tables:\n" + source)
    pipeline.edit("star.yml", "dimensions:\n", "dimensions:\n" + star)
    (pipeline.folder / "dim_everything.sql").write_text(f"SELECT id, {', '.join(NAMES)} FROM everything\n")


@pytest.mark.parametrize(
    ("file_format", "by"),
    [("parquet", nullcontext), ("parquet", by_spark_alone), ("csv", nullcontext)],
    ids=["few rows", "spark", "csv"],
)
def test_every_value_arrives_as_it_was(
    new_pipeline: Callable[[], Harness], file_format: str, by: Callable[[], AbstractContextManager[None]]
) -> None:
    pipeline = new_pipeline()
    with_everything(pipeline)
    with by():
        pipeline.tick(landing_format=file_format)
    listed = ", ".join(f"{name}::text" for name in NAMES)
    expected = texts(pipeline, f"SELECT {listed} FROM everything ORDER BY id")
    found = texts(pipeline, f"SELECT {listed} FROM {pipeline.model.name}.dim_everything ORDER BY id", in_warehouse=True)
    assert len(found) == len(expected)
    for row, (ours, theirs) in enumerate(zip(found, expected, strict=True)):
        for kind, mine, other in zip(KINDS, ours, theirs, strict=True):
            assert mine == other, f"{kind.type} as {kind.model_type}, row {row}"
    assert pipeline.extract(landing_format=file_format) is None, "and none of them looks changed at the next tick"


def texts(pipeline: Harness, query: str, *, in_warehouse: bool = False) -> list[tuple[str | None, ...]]:
    database = pipeline.warehouse() if in_warehouse else pipeline.source
    with database.connect() as connection:
        connection.execute(FORMS.encode())
        return connection.execute(query.encode()).fetchall()


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("date", "'infinity'"),
        ("timestamp", "'-infinity'"),
        ("timestamp", "'294276-12-31'"),
        ("timestamptz", "'infinity'"),
        ("numeric(10,2)", "'NaN'"),
    ],
)
@pytest.mark.parametrize("by", [nullcontext, by_spark_alone], ids=["few rows", "spark"])
def test_what_has_no_native_form_is_told_with_the_way_out(
    new_pipeline: Callable[[], Harness], kind: str, value: str, by: Callable[[], AbstractContextManager[None]]
) -> None:
    pipeline = new_pipeline()
    pipeline.execute(f"CREATE TABLE odd (id integer PRIMARY KEY, v {kind})", f"INSERT INTO odd VALUES (1, {value})")
    pipeline.execute("GRANT SELECT ON odd TO PUBLIC")
    table = "  odd:\n    description: Odd\n    key: [id]\n    columns:\n"
    table += f"      id: {{type: integer, description: x}}\n      v: {{type: '{kind}', description: x}}\n"
    pipeline.edit("source.yml", "tables:\n", "tables:\n" + table)
    with by(), pytest.raises(SourceError, match=r'"public"\."odd" failed: .*declare the column as text in source\.yml'):
        pipeline.extract()
    assert not pipeline.pending()


def test_the_page_says_what_the_code_does() -> None:
    page = document()
    if os.environ.get("TIDEMARK_WRITE_DOCS"):
        PAGE.write_text(page, encoding="utf-8")
    assert PAGE.read_text(encoding="utf-8") == page, (
        "write it again: TIDEMARK_WRITE_DOCS=1 pytest tests/integration/source/test_every_type.py"
    )


def document() -> str:
    lines = [
        "# Types",
        "",
        "Generated by `tests/integration/source/test_every_type.py`, which sends the values named here from a source through landing",
        "(Parquet and CSV), lake and warehouse and compares them, as text, with the source.",
        "",
        "A column keeps its native type where the lake has one that holds every value of it. Everything else travels as the",
        "text that PostgreSQL writes for it (ISO dates, `postgres` intervals, hex bytes, UTC, shortest exact floats).",
        "**Declared as `text` in `source.yml`, a column of any type travels as its text**: the way for `infinity` in dates",
        "and for `NaN` in `numeric(p,s)`, which no native type of the lake has. Declared natively, such a value stops the",
        "extract before anything is landed, with a message that says so.",
        "",
        "Some types have values that are equal and written differently: [model.md](model.md#equal-and-written-differently) says",
        "what that means for keys and references. A `timestamp` says no zone; the model does: [model.md](model.md#time-zones).",
        "",
        "| Type in the source | Declared as | In the lake | In a star as | Values tried |",
        "| --- | --- | --- | --- | --- |",
    ]
    for kind in KINDS:
        shown = ", ".join(f"`{value}`" for value in kind.values if len(value) < 40 and "`" not in value)
        cells = [kind.type, kind.model_type, PgType.parse(kind.model_type).spark, kind.star, shown]
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    lines += ["", "Every column was tried with NULL too.", ""]
    return "\n".join(lines)

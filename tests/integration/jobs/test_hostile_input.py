"""What a source may hold that breaks others: SQL in every name and value, CSV inside CSV, very long, very wide, nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tidemark.base.errors import SourceError
from tidemark.base.quoting import pg
from tidemark.drafting.draft import draft_model
from tidemark.operations.compare_rows import compare_mirrors, compare_stars
from tidemark.source.contents import SourceReader

from tests.integration.conftest import Harness, credentials_of, new_landing

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pyspark.sql import SparkSession
    from tidemark.base.database_url import Credentials

# By Unicode escapes, so that an editor shows what is meant.
VALUES = (
    "'; DROP TABLE victim; --", '"); DROP TABLE victim; --', "$$; DROP TABLE victim; $$", "\\'; DROP TABLE victim; --",
    "`; DROP TABLE victim`", "${env:HOME} ${spark.app.name} {{x}} %s %(x)s {0} :x ?", "{d '2024-01-01'} {fn now()}",
    'a,b;c\td|"e","f"\r\n"g"', "line\nline\rline\r\nline", "\u2028 \u2029 \u0085 \u000b \u000c", "\ufeffbom", "\u0001\u0002\u001f\u007f",
    "%N", "%E", "%Z", "%25", "%0A", "\\N", "\\", "\\n", "NULL", "null", "", " ", "  both ends  ", "\"", "\"\"", "'", "''", "#comment",
    "=cmd|' /C calc'!A0", "-1", "1e5", "true", "2024-01-01", "e\u0301 \u00e9 \ufdfa \u202e rtl", "\U0001f468\u200d\U0001f469\u200d\U0001f467 \U0001f30a",
    "\ufffd \ufffe \U0010ffff", "0" * 70_000, "\U0001f30a,\"\n" * 20_000,
)  # fmt: skip
# 63 bytes each: the longest names that PostgreSQL has.
LONG, LONG_WORDS = "x" * 63, "é" * 31 + "x"
NAMES = (
    '"; DROP TABLE victim; --', "'; DROP TABLE victim; --", "`; DROP TABLE victim", "$$ ; DROP TABLE victim", "a\\b", "%s", "?",
    "a.b", "select", "Größe 🌊", " ", ",", "{", "}", "(", ")", "#", "--", "/*", "${x}", LONG, LONG_WORDS,
)  # fmt: skip


@pytest.fixture
def drafted(
    aws: None, spark: SparkSession, new_database: Callable[..., Credentials], tmp_path: Path
) -> Callable[[str], Harness]:
    """Give a function that makes a database, drafts its model and returns its pipeline."""

    def make(name: str, *statements: str, template: str | None = None) -> Harness:
        source = new_database(name, template=template)
        with source.connect() as connection:
            for statement in statements:
                connection.execute(statement.encode())
        made = draft_model(source, output=tmp_path / name, name=name)
        landing = new_landing(f"landing-{name}")
        warehouse = new_database("warehouse", template=template)
        return Harness(made.folder, source, credentials_of(source), landing, spark, new_database, warehouse)

    return make


def all_equal(pipeline: Harness) -> None:
    """Source, lake and warehouse have the same rows, and the jobs find nothing to do."""
    lake, model = pipeline.reader_of_the_lake(), pipeline.model
    run = lake.last_batch()
    assert run is not None
    with pipeline.source.connect() as source, pipeline.warehouse_in().reader() as warehouse:
        assert not list(compare_mirrors(SourceReader(source), model, lake))
        assert not list(compare_stars(warehouse, model, lake, run))
    assert pipeline.extract() is None


@pytest.mark.parametrize("landing_format", ["parquet", "csv"])
def test_sql_and_csv_in_every_name_and_value(drafted: Callable[..., Harness], landing_format: str) -> None:
    columns = ", ".join(f"{pg(name)} text" for name in NAMES)
    table = pg("Robert'); DROP TABLE victim; --")
    pipeline = drafted(
        f"hostile_{landing_format}",
        "CREATE TABLE victim (id int PRIMARY KEY)",
        "INSERT INTO victim VALUES (1)",
        f"CREATE TABLE {table} (id text PRIMARY KEY, {columns})",
        f"""COMMENT ON TABLE {table} IS 'It''s "a" $$ \\ ${{env:HOME}} {{x}} -- ;'""",
        f"CREATE TABLE child (id int PRIMARY KEY, parent text REFERENCES {table})",
    )
    with pipeline.source.connect() as connection:
        marks = ", ".join(["%s"] * (len(NAMES) + 1))
        for number, value in enumerate(VALUES):
            row = [value[:500], *(VALUES[(number + shift) % len(VALUES)] for shift in range(len(NAMES)))]
            connection.execute(f"INSERT INTO {table} VALUES ({marks})".encode(), row)
            connection.execute("INSERT INTO child VALUES (%s, %s)", [number, value[:500]])
    pipeline.tick(landing_format=landing_format)
    all_equal(pipeline)
    longest = f"UPDATE {table} SET {pg(NAMES[0])} = {pg(NAMES[1])}, {pg(LONG)} = repeat('🌊\",\n', 1000000)"
    pipeline.execute(f"{longest} WHERE id = 'true'", f"DELETE FROM child; DELETE FROM {table} WHERE id = ''")
    pipeline.tick(landing_format=landing_format, accept="*")
    all_equal(pipeline)
    assert pipeline.query("SELECT id FROM victim") == [(1,)]


def test_as_many_columns_as_there_can_be_and_a_table_without_rows(drafted: Callable[..., Harness]) -> None:
    names = [f"{'x' * 58}_{number:04d}" for number in range(1599)]
    wide = ", ".join(f"{pg(name)} {'int' if number % 3 else 'boolean'}" for number, name in enumerate(names))
    pipeline = drafted(
        "wide",
        f"CREATE TABLE {LONG} (id int PRIMARY KEY, {wide})",
        f"CREATE TABLE fact (id int PRIMARY KEY, parent int REFERENCES {LONG})",
        "CREATE TABLE nothing (id int PRIMARY KEY, v text)",
        f"INSERT INTO {LONG} (id, {names[0]}, {names[1]}) SELECT i, true, i FROM generate_series(1, 20) i",
        "INSERT INTO fact SELECT i, i FROM generate_series(1, 20) i",
    )
    pipeline.tick()
    all_equal(pipeline)


@pytest.mark.parametrize(("encoding", "value"), [("LATIN1", "é Ä ñ"), ("EUC_JP", "日本 語"), ("SQL_ASCII", "é 日本")])
def test_databases_in_other_encodings(
    drafted: Callable[..., Harness], new_database: Callable[..., Credentials], encoding: str, value: str
) -> None:
    """Source and warehouse both; names that are not ASCII, and bytes that are no text in any encoding."""
    template = new_database("template").dbname
    with new_database("maker").connect() as connection:
        connection.execute(f"DROP DATABASE {template}".encode())
        made = f"CREATE DATABASE {template} ENCODING '{encoding}' TEMPLATE template0 LOCALE 'C'"
        connection.execute(made.encode())
    pipeline = drafted(
        f"in_{encoding.lower()}",
        f"CREATE TABLE t (id int PRIMARY KEY, {pg(value)} text)",
        f"INSERT INTO t VALUES (1, '{value}')",
        "CREATE TABLE u (id int PRIMARY KEY, t int REFERENCES t)",
        template=template,
    )
    pipeline.tick()
    all_equal(pipeline)
    if encoding == "SQL_ASCII":
        pipeline.execute("INSERT INTO t VALUES (2, E'\\351\\377')")
        with pytest.raises(SourceError, match=r"invalid byte sequence .*to do: fix the value in the source"):
            pipeline.extract()
        pipeline.execute("DELETE FROM t WHERE id = 2")
        all_equal(pipeline)

"""Quoting, judged by the databases themselves (Spark: test_names_spark.py)."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from tidemark.base.quoting import pg, pg_literal, spark, spark_in

from local_stack.postgres.server import EmbeddedPostgres

texts = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=40)
identifiers = texts.filter(lambda name: 0 < len(name.encode()) <= 63)
with_database = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def connection(postgres: EmbeddedPostgres) -> Iterator[psycopg.Connection]:
    with postgres.credentials("postgres").connect() as connection:
        yield connection


@with_database
@given(identifiers)
@example('"; DROP TABLE x; --')
@example("a.b")
def test_any_identifier_comes_back_from_postgresql(connection: psycopg.Connection, name: str) -> None:
    cursor = connection.execute(f"SELECT 1 AS {pg(name)}".encode())
    assert cursor.description is not None
    assert cursor.description[0].name == name


@with_database
@given(identifiers, identifiers)
def test_a_dotted_name_is_two_names(connection: psycopg.Connection, table: str, column: str) -> None:
    cursor = connection.execute(f"SELECT {pg(table, column)} FROM (SELECT 7 AS {pg(column)}) AS {pg(table)}".encode())
    assert cursor.fetchone() == (7,)


@with_database
@pytest.mark.parametrize("conforming", ["on", "off"])
@given(text=texts)
@example(text="O'Hara\\' OR 1=1 --")
@example(text="\\")
@example(text="\\x41\\n")
@example(text="$1 %s $$ ${HOME}")
def test_any_text_comes_back_from_postgresql(connection: psycopg.Connection, text: str, conforming: str) -> None:
    connection.execute(f"SET standard_conforming_strings = {conforming}".encode())
    try:
        assert connection.execute(f"SELECT {pg_literal(text)}".encode()).fetchone() == (text,)
    finally:
        connection.execute("SET standard_conforming_strings = on")


def test_a_list_in_spark_may_be_empty() -> None:
    assert spark_in("`a`", [1, -2]) == "`a` IN (1, -2)"
    assert spark_in("`a`", ["", "it's"]) == r"`a` IN ('', 'it\'s')"
    assert spark_in("`a`", []) == "false"


def test_spark_names_are_in_backticks() -> None:
    assert spark("a", "b`c") == "`a`.`b``c`"

"""Whatever things are called: the loader takes a model or refuses it in a sentence, and what it takes, PostgreSQL takes."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import psycopg
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from tidemark.base.errors import ModelError
from tidemark.base.quoting import pg
from tidemark.model import names as model_names
from tidemark.model.definition import Model
from tidemark.model.loader import load_model
from tidemark.model.types import PgType
from tidemark.warehouse.postgres import ddl

from local_stack.postgres.server import EmbeddedPostgres
from tests.any_names import LONG, OWN, WORST, AnyNames, names

MANY = 20 * int(os.environ.get("TIDEMARK_NAME_EXAMPLES", "0")) or 60
many = settings(max_examples=MANY, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def warehouse(postgres: EmbeddedPostgres) -> Iterator[psycopg.Connection]:
    with postgres.create_database("any_names").connect() as connection:
        yield connection


def loaded(drawn: AnyNames, *, late: bool) -> Model:
    with TemporaryDirectory() as folder:
        drawn.write(Path(folder), "any_names", late=late)
        return load_model(folder)


@many
@given(names(clean=False))
def test_a_model_is_taken_or_refused_in_one_sentence(drawn: AnyNames) -> None:
    said = ""
    try:
        assert loaded(drawn, late=True).star_names == set(drawn.stars)
    except ModelError as error:
        said = str(error)
    if said:
        assert re.search(r"^[^\n]+(; expected: [^\n]+)?; to do: [^\n]+$", said)


@many
@given(names(clean=True))
@example(WORST)
def test_postgresql_makes_what_the_loader_takes(warehouse: psycopg.Connection, drawn: AnyNames) -> None:
    try:
        model = loaded(drawn, late=False)
        larger = loaded(drawn, late=True)
    except ModelError:
        return
    with warehouse.transaction(force_rollback=True):
        made = [*ddl.statements(model), *ddl.history_access(model)]
        more = [ddl.evolution(pg(model.name, table.name), table.key, table.columns, _found(model, table.name))
                for table in larger.star_tables]  # fmt: skip
        for statement in [*made, *(one for part in more for one in part), *ddl.history_access(larger), *made]:
            warehouse.execute(statement.encode())
        rows = warehouse.execute(
            "SELECT relname, relkind FROM pg_class WHERE relnamespace = 'any_names'::regnamespace AND relkind IN ('r', 'v')"
        ).fetchall()
    views = {f"{fact}_current": "v" for fact in model.facts}
    assert dict(rows) == dict.fromkeys(model.star_names, "r") | views


def _found(model: Model, name: str) -> dict[str, tuple[PgType, bool]]:
    table = next(table for table in model.star_tables if table.name == name)
    return {column.name: (column.type, not column.nullable) for column in table.columns}


@pytest.mark.parametrize("ending", ["_pkey", "_current", "_as_of", "_one", "_of_key_version_key", "_no_seq"])
def test_what_postgresql_makes_beside_a_table_is_refused_as_a_name(ending: str) -> None:
    fact = model_names.FactNames("x", ["of", "key"], "no")
    assert model_names.taken(["x", "x" + ending], [fact]) == {"x" + ending}
    assert model_names.taken(["x", "x_other"], [fact]) == set()


@given(st.text(max_size=41), st.text(max_size=41), st.text(max_size=55), st.text(max_size=55))
@example("a", "a_b", "b_c", "c")
@example("m", "m", LONG + "1", LONG + "2")
@example("m" * 41, "m" * 41, LONG + "1", LONG + "2")
def test_no_two_staging_tables_have_one_name(model: str, other: str, table: str, second: str) -> None:
    name = ddl.stage_name(model, table)
    if model.isascii() and table.isascii():
        assert len(name) <= 63
    if "." not in model + other:
        assert (name == ddl.stage_name(other, second)) == ((model, table) == (other, second))


@pytest.mark.parametrize(
    "pair", ["aA", "ßẞ", "\u0131I", "\u0131i", "\u0130i", "\u017fS", "\u212ak", "\u03c3\u03c2", "\u00b5\u03bc", "éÉ"]
)
def test_letters_that_differ_in_case_only_are_one(pair: str) -> None:
    assert model_names.folded(pair[0]) == model_names.folded(pair[1])


def test_words_of_the_program_may_be_names_of_stars() -> None:
    """Only these few are refused as columns; all others reach the warehouse."""
    refused = {word for word in OWN if model_names.star_column_problem(word)}
    assert {word for word in refused if not word.startswith("_")} == model_names.STARS_OWN & set(OWN)

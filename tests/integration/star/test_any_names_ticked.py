"""Whatever things are called: three ticks through the real jobs, and source, lake and warehouse agree.

The suite ticks the worst model made by hand, and one that is drawn; ``TIDEMARK_NAME_EXAMPLES=100`` draws that many, and
``TIDEMARK_NAME_SEED`` other ones (about 10 seconds each).
"""

from __future__ import annotations

import os
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, Phase, assume, example, given, seed, settings
from hypothesis import strategies as st
from tidemark.base.errors import ModelError
from tidemark.base.quoting import pg
from tidemark.model.loader import load_model
from tidemark.operations.compare_rows import compare_mirrors
from tidemark.source.contents import SourceReader

from tests.any_names import WORST, AnyNames, names
from tests.integration.conftest import Harness, credentials_of, new_landing

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from local_stack.postgres.server import Credentials, EmbeddedPostgres

EXAMPLES = int(os.environ.get("TIDEMARK_NAME_EXAMPLES", "1"))
# A failing model is shown whole: to make it smaller takes a tick for every try.
as_many_as_asked_for = settings(
    max_examples=EXAMPLES,
    deadline=None,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
_numbers = count(1)


def create(drawn: AnyNames) -> list[str]:
    """Both source tables, some rows: a reference to nothing, one to a row that is not there, and a row that is bad."""
    kinds = (("int", "text", "text"), ("bigint", "int", "date", "text"))
    statements = []
    for name, columns, types in zip(drawn.relations, (drawn.parent, drawn.child), kinds, strict=True):
        listed = ", ".join(f"{pg(column)} {kind}" for column, kind in zip(columns, types, strict=False))
        statements.append(f"CREATE TABLE {pg('public', name)} ({listed}, PRIMARY KEY ({pg(columns[0])}))")
    parent, child = (pg("public", name) for name in drawn.relations)
    return [
        *statements,
        f"INSERT INTO {parent} SELECT i, 'text ' || i, CASE WHEN i = 3 THEN 'bad' ELSE i::text END "
        "FROM generate_series(1, 6) i",
        f"INSERT INTO {child} SELECT i, CASE i WHEN 1 THEN 99 WHEN 2 THEN NULL ELSE 1 + i % 4 END, "
        "date '2024-02-01' + 40 * i, 'child ' || i FROM generate_series(1, 8) i",
    ]


def work(drawn: AnyNames) -> list[str]:
    """Inserts, updates and deletes in both tables; the bad row is fixed, another comes."""
    (parent, child), p, c = (pg("public", name) for name in drawn.relations), drawn.parent, drawn.child
    return [
        f"INSERT INTO {parent} VALUES (7, 'new', '7'), (8, 'new', 'bad')",
        f"UPDATE {parent} SET {pg(p[2])} = '30' WHERE {pg(p[0])} = 3",
        f"UPDATE {parent} SET {pg(p[1])} = 'other' WHERE {pg(p[0])} = 1",
        f"DELETE FROM {parent} WHERE {pg(p[0])} IN (5, 6)",
        f"INSERT INTO {child} VALUES (9, 7, '2026-01-01', 'new'), (10, 98, NULL, NULL)",
        f"UPDATE {child} SET {pg(c[3])} = 'other' WHERE {pg(c[0])} = 2",
        f"DELETE FROM {child} WHERE {pg(c[0])} = 4",
    ]


def add_columns(drawn: AnyNames) -> list[str]:
    statements = []
    for name, columns in zip(drawn.relations, (drawn.parent, drawn.child), strict=True):
        table, key, late = pg("public", name), pg(columns[0]), pg(columns[-1])
        statements.append(f"ALTER TABLE {table} ADD COLUMN {late} text")
        statements.append(f"UPDATE {table} SET {late} = 'late ' || {key} WHERE {key} < 3")
    return statements


@pytest.fixture(scope="module")
def pipeline_of(
    aws: None, spark: SparkSession, postgres: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[AnyNames], Harness]:
    """Give a function that makes the source and the model folder of some names."""

    def new_database(prefix: str = "db", *, template: str | None = None) -> Credentials:
        return postgres.create_database(f"{prefix}_any_names_{next(_numbers)}", template=template)

    def make(drawn: AnyNames) -> Harness:
        source, number = new_database("source"), next(_numbers)
        folder: Path = tmp_path_factory.mktemp("model")
        drawn.write(folder, f"any{number}", late=False)
        landing = new_landing(f"landing-any-{number}")
        return Harness(folder, source, credentials_of(source), landing, spark, new_database)

    return make


def agree(pipeline: Harness, drawn: AnyNames, *, late: bool) -> None:
    model = pipeline.model
    with pipeline.source.connect() as source:
        assert list(compare_mirrors(SourceReader(source), model, pipeline.reader_of_the_lake())) == []
    assert pipeline.differences() == []
    for here, there in drawn.expected(model.name, late=late):
        assert sorted(map(str, pipeline.query(here))) == sorted(map(str, pipeline.query(there, pipeline.warehouse())))


def tick_three_times(pipeline: Harness, drawn: AnyNames, landing_format: str) -> None:
    name = pipeline.model.name
    pipeline.execute(*create(drawn))
    pipeline.tick(landing_format=landing_format)
    agree(pipeline, drawn, late=False)
    pipeline.execute(*work(drawn))
    pipeline.tick(landing_format=landing_format, accept="*")
    agree(pipeline, drawn, late=False)
    pipeline.execute(*add_columns(drawn))
    drawn.write(pipeline.folder, name, late=True)
    pipeline.tick(landing_format=landing_format)
    agree(pipeline, drawn, late=True)
    run = pipeline.reader_of_the_lake().last_batch()
    assert run is not None
    assert set(run.changes) == set(drawn.stars[:3])
    assert run.changes[drawn.stars[1]].backfilled == 2
    assert run.quarantined_rows == {drawn.stars[2]: 1}


@as_many_as_asked_for
@seed(int(os.environ.get("TIDEMARK_NAME_SEED", "1")))
@given(names(clean=True), st.sampled_from(["parquet", "csv"]))
@example(WORST, "csv")
def test_a_star_of_any_names_agrees_with_its_source(
    pipeline_of: Callable[[AnyNames], Harness], drawn: AnyNames, landing_format: str
) -> None:
    pipeline = pipeline_of(drawn)
    try:
        load_model(str(pipeline.folder))
        drawn.write(pipeline.folder, pipeline.model.name, late=True)
        load_model(str(pipeline.folder))
    except ModelError:
        assume(False)
    drawn.write(pipeline.folder, pipeline.model.name, late=False)
    tick_three_times(pipeline, drawn, landing_format)

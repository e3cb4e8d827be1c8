"""Other people's databases all the way: drafted, ticked as they were drafted, changed, ticked again, and compared.

The answer comes from the source alone: its own rows cast by PostgreSQL to what the drafted star declares.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tidemark.base.quoting import pg
from tidemark.drafting.draft import Draft, draft_model
from tidemark.model.definition import Fact
from tidemark.operations.compare_rows import compare_mirrors
from tidemark.source.contents import SourceReader

from tests.integration.conftest import Harness, credentials_of, new_landing
from tests.integration.random_rows import RandomRows

if TYPE_CHECKING:
    from collections.abc import Callable

    from pyspark.sql import SparkSession
    from tidemark.base.database_url import Credentials

SCHEMAS = Path(__file__).parents[1] / "other_databases"
# The one with everything that is hard; ``rentals`` goes through the whole stack in tests/e2e. All of them are tried on
# demand, with TIDEMARK_ALL_SAMPLES=1.
SAMPLES = sorted(path.stem for path in SCHEMAS.glob("*.sql")) if os.environ.get("TIDEMARK_ALL_SAMPLES") else ["nasty"]


def compare(pipeline: Harness, made: Draft) -> None:
    """Hold mirrors, lake and warehouse against the source's own answers."""
    model = pipeline.model
    reader = pipeline.reader_of_the_lake()
    with pipeline.source.connect() as source, pipeline.warehouse().connect() as warehouse:
        assert not list(compare_mirrors(SourceReader(source), model, reader))
        assert not pipeline.differences()
        for star in made.star.tables:
            spec = next(table for table in model.star_tables if table.name == star.name)
            alive = "is_current" if isinstance(spec, Fact) else "NOT is_deleted AND NOT is_inferred"
            ours = ", ".join(f"{pg(column.name)}::text" for column in star.columns)
            theirs = ", ".join(f"{pg(column.source)}::{column.type}::text" for column in star.columns)
            relation = pg(star.table.relation.schema, star.table.relation.name)
            for connection in (source, warehouse):
                connection.execute("SET timezone = 'UTC'; SET extra_float_digits = 3")
            here = warehouse.execute(f"SELECT {ours} FROM {pg(model.name, star.name)} WHERE {alive}".encode())
            there = source.execute(f"SELECT {theirs} FROM {relation}".encode())
            assert sorted(map(repr, here)) == sorted(map(repr, there)), star.name


@pytest.mark.parametrize("name", SAMPLES)
def test_a_drafted_model_is_ticked_as_it_is(
    name: str, aws: None, spark: SparkSession, new_database: Callable[..., Credentials], tmp_path: Path
) -> None:
    source = new_database(name)
    with source.connect() as connection:
        connection.execute(SCHEMAS.joinpath(f"{name}.sql").read_bytes())
    work = RandomRows(source, seed=11)
    work.insert(each=8)
    made = draft_model(source, output=tmp_path / "model", name=f"{name}_drafted")
    shop = Harness(made.folder, source, credentials_of(source), new_landing(f"landing-{name}"), spark, new_database)
    shop.tick()
    compare(shop, made)
    work.change()
    shop.tick(accept="*", landing_format="csv")
    compare(shop, made)
    assert shop.extract() is None, "and then it is quiet"
    assert work.rows > 5 * len(work.tables), f"only {work.rows} rows could be written"

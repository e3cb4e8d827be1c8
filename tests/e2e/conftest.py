"""The real snapshot as source, and its way through the real jobs, called as functions in this process."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from local_stack.postgres.server import EmbeddedPostgres
from local_stack.simulator.day import create_schema, load_snapshot
from tests.integration.conftest import Harness, credentials_of, new_landing

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

REPO = Path(__file__).resolve().parents[2]
SNAPSHOT = REPO.parent / "shared" / "data" / "totesys" / "2024-08-22"


@pytest.fixture(scope="module")
def totesys(
    aws: None, spark: SparkSession, postgres: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Harness]:
    """The shipped model under a name of its own, so that lakes of other tests do not meet it."""
    if not SNAPSHOT.is_dir():
        pytest.skip(f"the real snapshot is not there ({SNAPSHOT})")
    folder = tmp_path_factory.mktemp("model") / "totesys"
    shutil.copytree(REPO / "model" / "totesys", folder)
    text = (folder / "source.yml").read_text()
    (folder / "source.yml").write_text(text.replace("name: totesys\n", "name: totesys_real\n"))
    source = postgres.create_database("real_totesys")
    with source.connect() as connection:
        create_schema(connection)
        load_snapshot(connection, SNAPSHOT)
    reader = credentials_of(postgres.create_reader("real_totesys", "totesys_reader"))
    warehouse = postgres.create_database("real_warehouse")
    yield Harness(folder, source, reader, new_landing("landing-totesys"), spark, postgres.create_database, warehouse)
    postgres.drop_database("real_totesys")
    postgres.drop_database("real_warehouse")

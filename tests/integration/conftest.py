"""A small shop as source, and its way through the real jobs, called as functions in this process."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest import mock

import pytest
from pyiceberg.table import Table
from tidemark.base import storage
from tidemark.base.credentials import Credentials
from tidemark.base.metrics import Metrics
from tidemark.jobs.extract import ExtractRequest, extract
from tidemark.jobs.load import load
from tidemark.jobs.maintain import Maintained, maintain
from tidemark.jobs.transform import transform
from tidemark.lake.iceberg import IcebergTable
from tidemark.lake.reader import LakeReader
from tidemark.lake.removal import forget_lake
from tidemark.lake.retention import Retention
from tidemark.landing.area import Landing
from tidemark.landing.files import read
from tidemark.landing.manifest import Manifest
from tidemark.model.definition import Model
from tidemark.model.loader import load_model
from tidemark.operations.compare_rows import Difference, compare_stars
from tidemark.source import few_rows
from tidemark.warehouse.kinds import DEFAULT_KIND, open_warehouse
from tidemark.warehouse.protocol import Warehouse

from local_stack.postgres.server import Credentials as Database
from local_stack.postgres.server import EmbeddedPostgres
from tests.shop import SHOP_MODEL

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

SHOP = SHOP_MODEL
PROCESSED = "s3://lake/processed"
_numbers = count(1)


def shop_called(name: str, parent: Path) -> Path:
    """A copy of the shop's model folder, below ``parent``, with a name of its own."""
    folder = parent / name
    shutil.copytree(SHOP, folder)
    text = (folder / "source.yml").read_text()
    (folder / "source.yml").write_text(text.replace("name: shop\n", f"name: {name}\n"))
    return folder


def new_landing(name: str) -> Landing:
    """A landing area of its own."""
    return Landing(f"s3://lake/{name}")


def credentials_of(database: Database, **changes: Any) -> Credentials:
    """The jobs' form of a database's credentials."""
    return Credentials.model_validate(database.secret() | changes)


@dataclass
class Harness:
    """One source, one model folder, one landing area, one lake; warehouses as a test needs them."""

    folder: Path
    source: Database
    reader: Credentials
    landing: Landing
    spark: SparkSession
    new_database: Callable[..., Database]
    warehouse_database: Database | None = None
    runs: int = 0
    metrics: Metrics = field(default_factory=lambda: Metrics("tests"))

    @property
    def model(self) -> Model:
        return load_model(str(self.folder))

    def edit(self, file: str, old: str, new: str) -> None:
        """Change the model folder."""
        text = (self.folder / file).read_text()
        assert old in text
        (self.folder / file).write_text(text.replace(old, new))

    def turn(self, *edits: tuple[str, str, str], back: bool = False) -> None:
        """Make several changes of the model folder (file, old, new), or undo them."""
        for file, old, new in edits:
            self.edit(file, *((new, old) if back else (old, new)))

    def execute(self, *statements: str) -> None:
        """Change the source, each statement a transaction."""
        with self.source.connect() as connection:
            for statement in statements:
                connection.execute(statement.encode())

    def server_version(self) -> int:
        """The major version of the source's server."""
        return int(self.query("SHOW server_version_num")[0][0]) // 10000

    def query(self, query: str, database: Database | None = None) -> list[tuple[Any, ...]]:
        with (database or self.source).connect() as connection:
            return connection.execute(query.encode()).fetchall()

    def extract(
        self, *, landing_format: str = "parquet", accept: str = "", full: bool = False, restored: bool = False
    ) -> Manifest | None:
        self.runs += 1
        request = ExtractRequest(
            execution=f"run-{self.runs}",
            landing_format=landing_format,
            accept_deletes=frozenset(filter(None, accept.split(","))),
            full_compare=full,
            restored=restored,
        )
        return extract(self.model, self.reader, self.landing, request, self.metrics)

    def must_extract(self, **options: Any) -> Manifest:
        found = self.extract(**options)
        assert found is not None
        return found

    def transform(self) -> list[int]:
        return transform(self.model, self.landing, PROCESSED, f"run-{self.runs}", self.metrics)

    def warehouse(self) -> Database:
        if self.warehouse_database is None:
            self.warehouse_database = self.new_database("warehouse")
        return self.warehouse_database

    def warehouse_in(self, database: Database | None = None) -> Warehouse:
        """The warehouse that Tidemark sees in a database."""
        return open_warehouse(DEFAULT_KIND, self.model, credentials_of(database or self.warehouse()))

    def load(self, database: Database | None = None) -> int:
        return self.load_into(self.warehouse_in(database))

    def load_into(self, warehouse: Warehouse) -> int:
        return load(self.model, self.landing, PROCESSED, warehouse, self.metrics)

    def tick(self, **options: Any) -> Manifest:
        manifest = self.must_extract(**options)
        self.transform()
        assert self.load() == manifest.batch
        return manifest

    def maintain(self, keep: Retention | None = None, **options: Any) -> dict[str, Maintained]:
        return maintain(self.model, self.landing, PROCESSED, f"upkeep-{self.runs}", keep or Retention(), **options)

    def objects(self) -> set[str]:
        return set(storage.names(self.landing.uri))

    def pending(self) -> list[str]:
        return storage.names(f"{self.landing.uri}/pending")

    def landed(self, manifest: Manifest, table: str, *, keys: bool = False) -> list[tuple[Any, ...]]:
        """What a manifest landed, read back, sorted."""
        entry = manifest.tables[table]
        columns, files = entry.columns, entry.files
        if keys:
            assert entry.keys is not None
            files = entry.keys.files
            columns = {name: self.model.tables[table].column(name).type.spark for name in self.model.tables[table].key}
        if not files:
            return []
        rows = read(self.spark, files, columns, manifest.landing_format).collect()
        return sorted((tuple(row) for row in rows), key=repr)

    def reader_of_the_lake(self) -> LakeReader:
        return LakeReader(self.model, PROCESSED)

    def lake_table(self, name: str, *, source: bool = False) -> Table:
        database = self.model.source_database if source else self.model.star_database
        table = self.reader_of_the_lake()._table(database, name)
        assert table is not None
        return table

    def lake(self, name: str, *, source: bool = False) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = self.lake_table(name, source=source).scan().to_arrow().to_pylist()
        return rows

    def versions(self, key: int, fact: str = "fact_order") -> list[dict[str, Any]]:
        (model_key,) = self.model.facts[fact].key
        return sorted((row for row in self.lake(fact) if row[model_key] == key), key=lambda row: row["version"])

    def differences(self, database: Database | None = None) -> list[Difference]:
        """Differences between the lake's star at its last run and a warehouse."""
        lake = self.reader_of_the_lake()
        run = lake.last_batch()
        assert run is not None
        with self.warehouse_in(database).reader() as warehouse:
            return list(compare_stars(warehouse, self.model, lake, run))

    def forget_lake(self) -> None:
        """Drop the lake's tables, as ``tidemark rebuild`` does; all that was landed is pending again."""
        tables = list(self.snapshots())
        forget_lake(self.reader_of_the_lake(), PROCESSED)
        assert not self.snapshots()
        for table in tables:  # a new process would know none of them
            self.spark.sql(f"DROP TABLE IF EXISTS lake.{self.model.name}_{table}")
        self.landing.forget_published()

    def snapshots(self) -> dict[str, int | None]:
        """The present Iceberg snapshot of every table of the lake."""
        result = {}
        reader = self.reader_of_the_lake()
        for database in (self.model.source_database, self.model.star_database):
            for identifier in reader.catalog.list_tables(database):
                snapshot = reader.catalog.load_table(identifier).current_snapshot()
                result[".".join(identifier)[len(self.model.name) + 1 :]] = snapshot.snapshot_id if snapshot else None
        return result


@contextmanager
def read_by_spark() -> Iterator[None]:
    """Let Spark read the few rows of the tests, too: by its own sessions at the source."""
    with mock.patch.object(few_rows, "is_of_few", return_value=False):
        yield


@contextmanager
def by_spark_alone() -> Iterator[None]:
    """Let Spark read and write the few rows of the tests, too."""
    with read_by_spark(), mock.patch.object(IcebergTable, "can_be_written", return_value=False):
        yield


@pytest.fixture
def by_spark() -> Iterator[None]:
    """The source is read as large tables are."""
    with read_by_spark():
        yield


@pytest.fixture(params=["few rows", "by Spark"])
def either_way(request: pytest.FixtureRequest) -> Iterator[None]:
    """Few rows are read and written as they usually are, and as many are."""
    with by_spark_alone() if request.param == "by Spark" else nullcontext():
        yield


@pytest.fixture(scope="session")
def shop_template(postgres: EmbeddedPostgres) -> str:
    owner = postgres.create_database("shop_template")
    with owner.connect() as connection:
        connection.execute((SHOP / "schema.sql").read_bytes())
        connection.execute("VACUUM ANALYZE")
    return "shop_template"


@pytest.fixture(scope="module")
def module_pipelines(
    aws: None,
    spark: SparkSession,
    postgres: EmbeddedPostgres,
    shop_template: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Callable[[], Harness]]:
    """Give a function that makes a shop of its own, with everything that belongs to it, for the module's tests."""
    made: list[str] = []

    def new_database(prefix: str = "db", *, template: str | None = None) -> Database:
        made.append(f"{prefix}_of_shop_{next(_numbers)}")
        return postgres.create_database(made[-1], template=template)

    def make() -> Harness:
        number = next(_numbers)
        folder = shop_called(f"shop{number}", tmp_path_factory.mktemp("model"))
        source = new_database("source", template=shop_template)
        reader = credentials_of(postgres.create_reader(source.dbname, "shop_reader"))
        return Harness(folder, source, reader, new_landing(f"landing-{number}"), spark, new_database)

    yield make
    for name in made:
        postgres.drop_database(name)


@pytest.fixture
def new_pipeline(module_pipelines: Callable[[], Harness]) -> Callable[[], Harness]:
    return module_pipelines


@pytest.fixture
def shop(module_pipelines: Callable[[], Harness]) -> Harness:
    """A shop that no other test touches."""
    return module_pipelines()

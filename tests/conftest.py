"""What the tests share: the embedded PostgreSQL with fresh databases, a local AWS in this process, one Spark session."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from moto.moto_server.threaded_moto_server import ThreadedMotoServer
from moto.moto_server.werkzeug_app import DomainDispatcherApplication
from tidemark.base.aws import forget

from local_stack import isolation
from local_stack.aws.job_environment import RunnerSettings, job_environment
from local_stack.aws.moto_patches import services_listed_once
from local_stack.aws.object_store import ObjectStore, program
from local_stack.aws.sdk import s3
from local_stack.isolation import REGION
from local_stack.postgres.server import Credentials, EmbeddedPostgres
from local_stack.simulator.day import create_schema, seed_history
from tests import servers
from tests.store_proxy import StoreProxy
from tests.waits import matrix

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

# Whatever AWS or PostgreSQL settings a developer has, they are not what is tested, nor may a test reach the real AWS.
isolation.enter()

NewDatabase = Callable[..., Credentials]
_numbers = count(1)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let the few unit tests that need Spark begin before the others: no worker is left alone with them at the end."""
    items.sort(key=lambda item: "unit" in item.path.parts and "spark" not in getattr(item, "fixturenames", ()))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run what is marked ``servers`` on the oldest server version that we name too."""
    if "postgres" in metafunc.fixturenames and metafunc.definition.get_closest_marker("servers"):
        majors = [pytest.param(major, id=f"pg{major}") for major in servers.BOTH_ENDS]
        metafunc.parametrize("postgres", majors, indirect=True, scope="session")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print how long others waited for our locks: tests that pass print nothing else, and not at all from a worker."""
    lines = matrix(report for kind in ("passed", "failed") for report in terminalreporter.getreports(kind))
    if lines:
        terminalreporter.section("longest wait of others for our locks")
        for line in lines:
            terminalreporter.line(line)


@pytest.fixture(scope="session")
def postgres(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedPostgres]:
    """One server for the whole session (of PostgreSQL 18, and of 13 for what is marked ``servers``)."""
    state_dir: Path = tmp_path_factory.mktemp("postgres")
    server = servers.start(state_dir, getattr(request, "param", servers.NEWEST))
    yield server
    server.destroy()


@pytest.fixture
def new_database(postgres: EmbeddedPostgres) -> Iterator[NewDatabase]:
    """Give a function that makes a fresh database (optionally a copy of `template`); all are dropped afterwards."""
    made: list[str] = []

    def make(prefix: str = "db", *, template: str | None = None) -> Credentials:
        made.append(f"{prefix}_{next(_numbers)}")
        return postgres.create_database(made[-1], template=template)

    yield make
    for name in made:
        postgres.drop_database(name)


@pytest.fixture(scope="session")
def seeded(postgres: EmbeddedPostgres) -> Credentials:
    """A totesys source with the whole history of seed 1: read it, or copy it with ``new_database(template=...)``."""
    owner = postgres.create_database("seeded_totesys")
    with owner.connect() as connection:
        create_schema(connection)
        seed_history(connection, seed=1)
    return owner


@pytest.fixture(scope="session")
def job_variables(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The environment of a job process, bound to a moto server and a store of this session with one bucket, ``lake``.

    It is only given, not set: most tests must not see it.
    """
    logging.getLogger("werkzeug").setLevel(logging.WARNING)  # a line per request would bury what a failure says
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    _, port = server.get_host_and_port()
    state_dir = tmp_path_factory.mktemp("jobs")
    endpoint, store = f"http://127.0.0.1:{port}", ObjectStore(state_dir / "lake", state_dir / "s3.log")
    if program():
        store.start()
    proxy = StoreProxy(store.endpoint or endpoint)
    settings = RunnerSettings(state_dir=state_dir, endpoint=endpoint, store=proxy.endpoint)
    variables = job_environment(settings, os.environ)
    place = {"LocationConstraint": REGION}
    s3(settings.store).create_bucket(Bucket="lake", CreateBucketConfiguration=place)  # type: ignore[arg-type]
    answer = DomainDispatcherApplication.__call__

    def untraced(self: DomainDispatcherApplication, environ: dict[str, Any], start_response: Any) -> Any:
        if environ["SERVER_PORT"] == str(port):
            sys.settrace(None)  # nobody asks which of moto's lines run, and noting them doubles what a request costs
        return answer(self, environ, start_response)

    with pytest.MonkeyPatch.context() as patch, services_listed_once():
        patch.setattr(DomainDispatcherApplication, "__call__", untraced)
        yield variables
    proxy.stop()
    store.stop()
    server.stop()


@pytest.fixture(scope="session")
def spark(job_variables: dict[str, str]) -> Iterator[SparkSession]:
    """The one Spark session of all tests, started as a job starts its own, with the lake's catalog in it."""
    from tidemark.base.spark import spark_session  # noqa: PLC0415 - most test runs need no Spark

    with pytest.MonkeyPatch.context() as environment:
        for name, value in job_variables.items():
            environment.setenv(name, value)
        session = spark_session("tests", "s3://lake/processed")
    yield session
    session.stop()


@pytest.fixture(scope="module")
def aws(job_variables: dict[str, str]) -> Iterator[None]:
    """The environment of a job, as far as the Python side of a job needs it.

    Never use moto's ``mock_aws`` beside it: that empties every server of this process.
    """
    with pytest.MonkeyPatch.context() as environment:
        for name, value in job_variables.items():
            if name.startswith("AWS_"):
                environment.setenv(name, value)
        forget()
        yield
        forget()

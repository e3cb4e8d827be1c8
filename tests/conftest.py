"""The embedded PostgreSQL that the tests share, and fresh databases on it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pytest

from local_stack.databases import Credentials, EmbeddedPostgres
from local_stack.simulator import create_schema, seed_history

NewDatabase = Callable[..., Credentials]
_numbers = count(1)


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedPostgres]:
    """One server for the whole session, without fsync: nothing of it survives the tests."""
    state_dir: Path = tmp_path_factory.mktemp("postgres")
    server = EmbeddedPostgres.start(state_dir, settings={"fsync": "off", "full_page_writes": "off"})
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

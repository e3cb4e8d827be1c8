"""The two databases of a stack: the user's own ones, or the embedded server with the simulated totesys history.

Promises: the jobs get no more rights than they need. In the embedded server that is a role with SELECT only for the
source and one that may create schemas in the warehouse; the superuser is for the simulator alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from psycopg import sql
from tidemark.base.database_url import Credentials
from tidemark.source import pooling

from local_stack.postgres.server import EmbeddedPostgres
from local_stack.simulator.day import create_schema, seed_history

SOURCE_DATABASE: Final = "totesys"
WAREHOUSE_DATABASE: Final = "warehouse"
READER: Final = "tidemark_reader"
LOADER: Final = "tidemark_loader"
# Its data goes with `tidemark down`, and after a crash of the machine everything starts from scratch anyway.
_THROWAWAY: Final = {"fsync": "off", "full_page_writes": "off"}


@dataclass(frozen=True, kw_only=True)
class DatabaseRef:
    """Where a database is: its address (user, host, port, name), and whether the stack made it."""

    embedded: bool
    address: str


@dataclass(frozen=True, kw_only=True)
class Places:
    """Both databases."""

    source: DatabaseRef
    warehouse: DatabaseRef


def check_direct(source: Credentials | None, warehouse: Credentials | None) -> None:
    """Refuse given databases whose address leads through a pooler, or to several servers.

    Raises
    ------
    SourceError, WarehouseError
        With what to use instead.
    """
    if source:
        pooling.check_direct("source", source, snapshots=True)
    if warehouse:
        # Nothing is exported there, but what the commands ask and the load does needs a session too.
        pooling.check_direct("warehouse", warehouse, snapshots=False)


def open_all(
    state_dir: Path, source: Credentials | None, warehouse: Credentials | None, say: Callable[[str], None]
) -> tuple[Places, Credentials, Credentials]:
    """Make the databases that were not given; return where both are, and the jobs' credentials."""
    server = None if source and warehouse else EmbeddedPostgres.start(state_dir, settings=_THROWAWAY)
    ours, theirs = source, warehouse
    if ours is None and server is not None:
        ours = _seeded_source(server, say)
    if theirs is None and server is not None:
        theirs = _empty_warehouse(server)
        say(f"embedded warehouse: {theirs}")
    assert ours is not None  # noqa: S101 # nosec B101 # given, or made above
    assert theirs is not None  # noqa: S101 # nosec B101
    places = Places(
        source=DatabaseRef(embedded=source is None, address=str(ours)),
        warehouse=DatabaseRef(embedded=warehouse is None, address=str(theirs)),
    )
    return places, ours, theirs


def _seeded_source(server: EmbeddedPostgres, say: Callable[[str], None]) -> Credentials:
    owner = server.create_database(SOURCE_DATABASE)
    with owner.connect() as connection:
        create_schema(connection)
        rows = seed_history(connection)
    reader = server.create_reader(SOURCE_DATABASE, READER)
    say(f"embedded source:    {reader}, seeded with {sum(rows.values()):,} rows in {len(rows)} tables")
    return reader


def _empty_warehouse(server: EmbeddedPostgres) -> Credentials:
    owner = server.create_database(WAREHOUSE_DATABASE)
    loader = server.create_reader(WAREHOUSE_DATABASE, LOADER, schemas=())
    with owner.connect() as connection:
        connection.execute(
            sql.SQL("GRANT CREATE, TEMPORARY ON DATABASE {} TO {}").format(
                sql.Identifier(WAREHOUSE_DATABASE), sql.Identifier(LOADER)
            )
        )
    return loader

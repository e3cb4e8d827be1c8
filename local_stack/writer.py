"""A connection with which the simulator may write to the source, or why it cannot have one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from psycopg import sql
from tidemark.base import database_url as connections

from local_stack.simulator.day import SimulationError
from local_stack.simulator.schema import TABLES

if TYPE_CHECKING:
    import psycopg

    from local_stack.stack import Stack

_HISTORY = ("sales_order", "purchase_order", "transaction", "payment", "design")


def open_writer(stack: Stack, url: str | None) -> psycopg.Connection:
    """Connect to the stack's source as a role that may write there.

    Parameters
    ----------
    stack
        The running stack.
    url
        A role for this; by default the embedded server's superuser, or the role of the jobs.

    Raises
    ------
    SimulationError
        If the database is not totesys, or the role may not write to it.
    """
    owner = connections.resolve(url) if url else stack.source_owner
    source = stack.source
    same_host = owner.host == source.host or (connections.is_local(owner.host) and connections.is_local(source.host))
    if not same_host or (owner.port, owner.dbname) != (source.port, source.dbname):
        raise SimulationError(f"{owner} is not the stack's source {source}; name the same database as another user")
    connection = owner.connect()
    try:
        _check(connection, str(owner))
    except BaseException:
        connection.close()
        raise
    return connection


def _check(connection: psycopg.Connection, who: str) -> None:
    for table in TABLES:
        name = sql.Identifier("public", table).as_string(connection)
        found = connection.execute("SELECT to_regclass(%s) IS NOT NULL", [name]).fetchone()
        if found is None or not found[0]:
            raise SimulationError(f"the source has no table public.{table}; only a totesys database can be simulated")
    for table in _HISTORY:
        name = sql.Identifier("public", table).as_string(connection)
        query = "SELECT has_table_privilege(%s, 'INSERT') AND has_table_privilege(%s, 'UPDATE')"
        found = connection.execute(query, [name, name]).fetchone()
        if found is None or not found[0]:
            raise SimulationError(
                f"{who} may not write to public.{table}, as is right for the jobs; "
                "name a role that may with --writer URL"
            )

"""Whether an address leads straight to one server: what pools or spreads connections breaks a tick halfway.

A tick reads on several connections that share one exported snapshot, and each keeps settings for as long as it lives.
:func:`check_direct` shows before any tick that this can work. It opens a handful of connections at once, and one to
each further address that the name stands for, and asks

- every session for its backend's process id, several times in changing order: a session that meets another backend, or
  a backend that another session has too, is a pooler in transaction or statement mode (PgBouncer, pgcat, RDS Proxy);
- every session when its server was started: two answers are two servers behind one name (a reader endpoint, a load
  balancer, ``localhost`` with one server on IPv4 and another on IPv6);
- two sessions (where snapshots are shared) to export a snapshot and to import it.

Poolers in session mode pass, if they lend as many connections as a tick needs. Nothing is written, nothing is set;
psycopg prepares no statements here, which a pooler would mix up. Every wait has an end.
"""

from __future__ import annotations

import asyncio
import socket
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any, Final

import psycopg

from tidemark.base import credentials as creds
from tidemark.base.errors import SourceError, TidemarkError, WarehouseError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tidemark.base.credentials import Credentials

CONNECTIONS: Final = 5
ANSWER_SECONDS: Final = 20.0
_ADDRESSES: Final = 8
_ADDRESS_SECONDS: Final = 3
_ROUNDS: Final = 4
_WHO: Final = (
    "SELECT pg_backend_pid(), to_char(pg_postmaster_start_time() AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US')"
)
_JOINT: Final = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
_INSTEAD: Final = (
    "give the server's own address and port, not those of a pooler, a proxy, a load balancer or a reader endpoint (a "
    "pooler in session mode will do: PgBouncer's pool_mode=session)"
)

_Connection = psycopg.AsyncConnection[Any]


class _IndirectError(Exception):
    """What stands between us and one server."""


def check_direct(kind: str, credentials: Credentials, *, snapshots: bool) -> None:
    """Refuse an address that does not lead each connection to a session of its own on one and the same server.

    Parameters
    ----------
    kind
        ``source`` or ``warehouse``, for messages.
    credentials
        The address and account.
    snapshots
        Whether a snapshot that one connection exports must be importable on another.

    Raises
    ------
    SourceError, WarehouseError
        If it does not, or no connection can be made; the message says what to use instead.
    """
    error: type[TidemarkError] = SourceError if kind == "source" else WarehouseError
    try:
        asyncio.run(_probe(credentials, snapshots))
    except _IndirectError as found:
        raise error(
            f"{kind} {credentials.place}: {found}",
            expected="every connection with a session of its own, on one server",
            do=_INSTEAD,
        ) from None
    except TimeoutError:
        raise error(
            f"{kind} {credentials.place}: {CONNECTIONS} connections at once got no answer in {ANSWER_SECONDS:.0f} s",
            expected="a server, or a pool, with as many connections free",
            do=f"raise the pool's size, or {_INSTEAD}",
        ) from None
    except psycopg.Error as failed:
        what, advice = creds.unreachable(kind, credentials, failed)
        raise error(what, do=advice) from None


async def _probe(credentials: Credentials, snapshots: bool) -> None:
    async with asyncio.timeout(credentials.connect_timeout + ANSWER_SECONDS), AsyncExitStack() as stack:
        # All end, well or not: a connection given up halfway would stay with the server for a minute.
        ended = await asyncio.gather(*(_open(stack, credentials) for _ in range(CONNECTIONS)), return_exceptions=True)
        sessions = [session for session in ended if isinstance(session, psycopg.AsyncConnection)]
        for failed in ended:
            if isinstance(failed, BaseException):
                raise failed
        others = [await _open_at(stack, credentials, address) for address in await _addresses(credentials)]
        await _one_backend_each(sessions)
        await _one_server([*sessions, *filter(None, others)])
        if snapshots:
            await _shared_snapshot(*sessions[:2])


async def _open(stack: AsyncExitStack, credentials: Credentials, **options: Any) -> _Connection:
    arguments = credentials.libpq("tidemark-probe") | options
    opened = await psycopg.AsyncConnection.connect(**arguments, autocommit=True, prepare_threshold=None)
    stack.push_async_callback(opened.close)
    return opened


async def _addresses(credentials: Credentials) -> list[str]:
    """Return the addresses that the host's name stands for, unless it is only one."""
    try:
        found = await asyncio.get_running_loop().getaddrinfo(
            credentials.host, credentials.port, type=socket.SOCK_STREAM
        )
    except OSError:
        return []  # libpq found one; whatever it is, there is nothing to compare
    addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
    return addresses[:_ADDRESSES] if len(addresses) > 1 else []


async def _open_at(stack: AsyncExitStack, credentials: Credentials, address: str) -> _Connection | None:
    """Connect to one of several addresses; None if nothing answers there, which drivers pass over as well."""
    try:
        return await _open(stack, credentials, hostaddr=address, connect_timeout=_ADDRESS_SECONDS)
    except psycopg.OperationalError:
        return None


async def _one_backend_each(sessions: Sequence[_Connection]) -> None:
    """Ask in changing order: a pooler that lends backends in turn must not come out even."""
    owners: dict[tuple[int, str], _Connection] = {}
    backends: dict[_Connection, tuple[int, str]] = {}
    for number in range(_ROUNDS):
        for session in sessions if number % 2 == 0 else reversed(sessions):
            backend = await _row(session, _WHO)
            if backends.setdefault(session, backend) != backend or owners.setdefault(backend, session) is not session:
                raise _IndirectError("a pooler lends its connections for one transaction or statement at a time")


async def _one_server(sessions: Sequence[_Connection]) -> None:
    started = {(await _row(session, _WHO))[1] for session in sessions}
    if len(started) > 1:
        raise _IndirectError(f"the connections lead to {len(started)} different servers")


async def _shared_snapshot(one: _Connection, other: _Connection) -> None:
    await one.execute(_JOINT.encode())
    exported = str((await _row(one, "SELECT pg_export_snapshot()"))[0])
    await other.execute(_JOINT.encode())
    try:
        await other.execute(f"SET TRANSACTION SNAPSHOT '{exported}'".encode())
    except (psycopg.errors.UndefinedObject, psycopg.errors.InvalidParameterValue):
        raise _IndirectError("a snapshot that one connection exports is unknown to the next") from None
    await other.execute(b"ROLLBACK")
    await one.execute(b"ROLLBACK")


async def _row(session: _Connection, query: str) -> tuple[Any, ...]:
    found = await (await session.execute(query.encode())).fetchone()
    return tuple(found or ())

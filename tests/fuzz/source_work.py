"""Random work on the shop, by several sessions, as an application, its batches and its administrators do it.

Everything is chosen by one seeded generator and by what the database answers in a fixed order, and only one session
acts at a time: a seed gives the same work again. Locks that another session holds are waited for in vain for a moment;
such a statement fails and its transaction is rolled back, which is work, too. :attr:`SourceWork.log` tells it all.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any, Final

import psycopg

from tests.fuzz.statements import random_write

if TYPE_CHECKING:
    from collections.abc import Callable

MOST_HELD: Final = 3
MOST_PREPARED: Final = 2
_RESCUE: Final = """
DO $$
BEGIN
    INSERT INTO customer VALUES ({key}, 'by a function', 1, '1');
    BEGIN
        UPDATE customer SET name = 'never seen' WHERE customer_id = {key};
        INSERT INTO country VALUES (1, 'taken');
    EXCEPTION WHEN unique_violation THEN
        UPDATE customer SET name = 'rescued' WHERE customer_id = {key} - 1;
    END;
EXCEPTION WHEN unique_violation THEN
    UPDATE customer SET name = name || '.' WHERE customer_id = {key};
END $$
"""
_REFILL: Final = """
BEGIN;
CREATE TEMP TABLE kept ON COMMIT DROP AS SELECT * FROM {table};
TRUNCATE {table};
INSERT INTO {table} SELECT * FROM kept WHERE abs(hashtextextended(kept::text, {salt})) % 10 > {lost};
COMMIT
"""


class SourceWork:
    """Work on one source.

    Parameters
    ----------
    connect
        Opens a session of the source's owner, in autocommit.
    seed
        Decides everything.
    """

    def __init__(self, connect: Callable[[], psycopg.Connection], seed: int) -> None:
        self._connect, self._random = connect, random.Random(seed)  # noqa: S311 - not for secrets
        self._main: psycopg.Connection | None = None
        self._held: list[psycopg.Connection] = []
        self._prepared: list[str] = []
        self._number = 0
        self.log: list[str] = []
        self.writes = 0

    def work(self, acts: int) -> None:
        """Do so many random things; a lost server is noted and met by new sessions."""
        doings = {
            self._write: 12,
            self._transaction: 4,
            self._hold: 3,
            self._go_on: 4,
            self._release: 3,
            self._rescue: 2,
            self._prepare: 2,
            self._decide_prepared: 2,
            self._refill: 1,
            self._maintain: 2,
        }
        for _ in range(acts):
            (do,) = self._random.choices(list(doings), list(doings.values()))
            try:
                do()
            except psycopg.OperationalError:  # a restarted server
                self.forget_sessions()

    def forget_sessions(self) -> None:
        """Drop all sessions, and with them what they had not committed; prepared transactions stay."""
        for session in [*self._held, *([self._main] if self._main else [])]:
            session.close()
        self._held, self._main = [], None
        self.log.append("-- all sessions gone")

    def finish(self) -> None:
        """End everything that is open, so that the database can be dropped."""
        self.forget_sessions()
        with self._connect() as session:
            for (name,) in session.execute(
                "SELECT gid FROM pg_prepared_xacts WHERE database = current_database()"
            ).fetchall():
                session.execute(f"ROLLBACK PREPARED '{name}'".encode())

    def _session(self) -> psycopg.Connection:
        if self._main is None:
            self._main = self._open()
        return self._main

    def _open(self) -> psycopg.Connection:
        session = self._connect()
        session.execute("SET lock_timeout = '30ms'")
        return session

    def _run(self, session: psycopg.Connection, statement: str) -> bool:
        """Run one statement; a refused one ends its transaction."""
        who = (
            "main"
            if session is self._main
            else f"session {self._held.index(session) if session in self._held else '-'}"
        )
        try:
            done = session.execute(statement.encode())
        except psycopg.OperationalError as error:
            if session.closed or session.broken:
                raise
            return self._refused(session, f"{who}: {statement}", error)
        except psycopg.Error as error:
            return self._refused(session, f"{who}: {statement}", error)
        self.writes += max(0, done.rowcount)
        self.log.append(f"{who}: {statement}  -- {done.statusmessage}")
        return True

    def _refused(self, session: psycopg.Connection, what: str, error: psycopg.Error) -> bool:
        session.execute("ROLLBACK")
        self.log.append(f"{what}  -- {type(error).__name__}, rolled back")
        return False

    def _keys(self, session: psycopg.Connection) -> Callable[[str], list[Any]]:
        def keys(query: str) -> list[Any]:
            return [row[0] for row in session.execute(query.encode()).fetchall()]

        return keys

    def _one_write(self, session: psycopg.Connection) -> bool:
        return self._run(session, random_write(self._random, self._keys(session)))

    def _write(self) -> None:
        self._one_write(self._session())

    def _transaction(self) -> None:
        """Several writes in one transaction, some of them in savepoints that are given up or kept."""
        session = self._session()
        going = self._run(session, "BEGIN")
        for _ in range(self._random.randint(1, 3)):
            going = going and self._one_write(session)
            if going and self._random.random() < 0.7:
                going = self._run(session, "SAVEPOINT here") and self._one_write(session)
                end = self._random.choice(["ROLLBACK TO SAVEPOINT here", "RELEASE SAVEPOINT here"])
                going = going and self._run(session, end)
        if going:
            self._run(session, self._random.choice(["COMMIT", "COMMIT", "ROLLBACK"]))

    def _hold(self) -> None:
        """Begin a transaction that stays open over ticks."""
        if len(self._held) == MOST_HELD:
            return
        session = self._open()
        self._held.append(session)
        self._run(session, "BEGIN")
        if not self._one_write(session):
            self._run(session, "BEGIN")

    def _go_on(self) -> None:
        if self._held:
            session = self._random.choice(self._held)
            if not self._one_write(session):
                self._run(session, "BEGIN")

    def _release(self) -> None:
        if self._held:
            session = self._random.choice(self._held)
            self._run(session, self._random.choice(["COMMIT", "COMMIT", "ROLLBACK"]))
            self._held.remove(session)
            session.close()

    def _rescue(self) -> None:
        self._run(self._session(), _RESCUE.format(key=self._random.randint(1, 30)))

    def _prepare(self) -> None:
        if len(self._prepared) == MOST_PREPARED:
            return
        session = self._session()
        self._number += 1
        name = f"{session.info.dbname} {self._number}"
        if (
            self._run(session, "BEGIN")
            and self._one_write(session)
            and self._run(session, f"PREPARE TRANSACTION '{name}'")
        ):
            self._prepared.append(name)

    def _decide_prepared(self) -> None:
        if self._prepared:
            name = self._prepared.pop(self._random.randrange(len(self._prepared)))
            self._run(self._session(), f"{self._random.choice(['COMMIT', 'COMMIT', 'ROLLBACK'])} PREPARED '{name}'")

    def _refill(self) -> None:
        """Empty a table and fill it again, a part of its rows lost."""
        table = self._random.choice(["orders", "customer", "stock", "tag", "staff"])
        lost, salt = self._random.choice([-1, 0, 2]), self._random.randint(1, 99)
        self._run(self._session(), _REFILL.format(table=table, lost=lost, salt=salt))

    def _maintain(self) -> None:
        """What administrators do: tables are rewritten, frozen and grown, and no row's contents change."""
        table = self._random.choice(["orders", "customer", "country", "stock", "tag", "staff"])
        self._number += 1
        statement = self._random.choice(
            [
                f"VACUUM FULL {table}",
                f"CLUSTER {table} USING {table}_pkey",
                f"VACUUM FREEZE {table}",
                f"ALTER TABLE {table} ADD COLUMN more_{self._number} text DEFAULT 'x'",
            ]
        )
        self._run(self._session(), statement)

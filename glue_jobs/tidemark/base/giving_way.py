"""Nobody waits for us: while our sessions hold locks, one more session looks for whom they block, and gives way.

Giving way means to end our own sessions: a migration on the source or an administrator's statement on the warehouse
goes on at once, and our work, of which nothing was committed, is done again. Promises: whoever waits for a lock that we
hold has it within a second, on a standby too; no session but our own is ever ended.
"""

from __future__ import annotations

import logging
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar

import psycopg

from tidemark.base.errors import GaveWayError
from tidemark.base.sessions import open_session

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import TracebackType

    from tidemark.base.credentials import Credentials

POLL_SECONDS: Final = 0.2
# Tries of a whole cut, or of a whole load.
TRIES, PAUSE_SECONDS = 4, 2.0
# Ours are known by name and by the role that they logged in as. Who waits may be another role's session: its process id
# is all that anybody may see.
_OURS: Final = "SELECT pid FROM pg_stat_activity WHERE usename = session_user AND application_name ^@ ANY(%s)"
# Who waits for nobody but us, or for others too, but for an object of which we hold a lock: in a queue behind somebody
# else's lock, nobody waits for us. One of our own runs may wait for another by an advisory lock: that is meant. On a
# standby the process that replays the log waits, and who blocks it PostgreSQL does not say; but what it wants conflicts
# with any lock.
_WAITING: Final = f"""
WITH ours AS MATERIALIZED (SELECT array({_OURS}) AS pids),
     waiting AS MATERIALIZED (
        SELECT w.*, pg_blocking_pids(w.pid) AS blockers, ours.pids AS ours FROM pg_locks w, ours
         WHERE NOT w.granted AND w.locktype <> 'advisory' AND w.pid <> ALL (ours.pids))
SELECT DISTINCT w.pid FROM waiting w
 WHERE (w.blockers <> '{{}}' AND w.blockers <@ w.ours)
    OR ((w.mode = 'AccessExclusiveLock' OR w.blockers && w.ours) AND EXISTS (
        SELECT FROM pg_locks o WHERE o.granted AND o.pid = ANY (w.ours) AND o.locktype = w.locktype
           AND (o.database, o.relation, o.page, o.tuple, o.virtualxid, o.transactionid, o.classid, o.objid, o.objsubid)
               IS NOT DISTINCT FROM
               (w.database, w.relation, w.page, w.tuple, w.virtualxid, w.transactionid, w.classid, w.objid, w.objsubid)
    ))
"""  # noqa: S608 - a constant
_END: Final = f"SELECT pg_terminate_backend(pid) FROM ({_OURS}) ours"  # noqa: S608 - a constant
_WHO: Final = "SELECT coalesce(usename::text, backend_type) FROM pg_stat_activity WHERE pid = %s"
_log = logging.getLogger("tidemark")
_Result = TypeVar("_Result")


def try_again(work: Callable[[], _Result]) -> _Result:
    """Do work that may have to give way: up to :data:`TRIES` times, with a pause.

    Raises
    ------
    GaveWayError
        If somebody waited for our locks, time after time.
    """
    for _ in range(TRIES - 1):
        try:
            return work()
        except GaveWayError as error:
            _log.warning("%s Trying again", error)
            time.sleep(PAUSE_SECONDS)
    return work()


class Watch:
    """Looks, until its ``with`` block ends, for sessions that wait for ours; ends ours when it finds one.

    Parameters
    ----------
    credentials
        How to open one more session, as the same role.
    applications
        What the application names of our sessions begin with: of this run's alone.
    """

    def __init__(self, credentials: Credentials, applications: list[str]) -> None:
        self._credentials, self._applications = credentials, applications
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._look, name="giving way", daemon=True)
        self.gave_way_to = ""
        """Who waited, once we have given way; empty before."""

    def __enter__(self) -> Self:
        self._connection = self._open()
        if not self._connection.execute(_OURS.encode(), (self._applications,)).fetchall():
            _log.warning("cannot see our own sessions on the server (a pooler renames them?), so cannot give way")
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._done.set()
        self._thread.join()
        self._connection.close()

    def given_up(self, place: str, what: str, do: str) -> GaveWayError:
        """Say for whom we have given way: with what, at which place."""
        return GaveWayError(f"{place}: {self.gave_way_to} waited for the {what}'s locks, so it was given up", do=do)

    @contextmanager
    def explaining(
        self, errors: type[Exception] | tuple[type[Exception], ...], place: str, what: str, do: str
    ) -> Iterator[None]:
        """Turn errors that come of giving way into :meth:`given_up`; others stay what they are.

        Raises
        ------
        GaveWayError
            In place of one of the errors, if we have given way.
        """
        try:
            yield
        except errors:
            if not self.gave_way_to:
                raise
            raise self.given_up(place, what, do) from None

    def _open(self) -> psycopg.Connection[Any]:
        connection = open_session(self._credentials, "tidemark-watch").connection
        # As whom we logged in: a role that is set for it would see, and end, nothing of ours.
        connection.execute("SET ROLE NONE; SET statement_timeout = 0")
        return connection

    def _look(self) -> None:
        before: set[int] = set()
        while not self._done.wait(POLL_SECONDS):
            try:
                if self._connection.closed:
                    self._connection = self._open()
                waiting = {row[0] for row in self._connection.execute(_WAITING.encode(), (self._applications,))}
                still = sorted(waiting & before)  # a lock that one gets at once is not a wait
                if still:
                    self._give_way(still[0])
                    return
                before = waiting
            except psycopg.Error as error:
                _log.warning("cannot see whether somebody waits for our locks: %s", type(error).__name__)
                self._connection.close()  # and try again: an administrator may have ended it

    def _give_way(self, pid: int) -> None:
        self.gave_way_to = f"session {pid}"  # before ours end: what they then meet is explained by it
        self._connection.execute(_END.encode(), (self._applications,))
        found = self._connection.execute(_WHO.encode(), (pid,)).fetchone()
        self.gave_way_to += f" of {found[0]}" if found and found[0] else ""

"""Nobody waits for us: while our sessions hold locks, one more session looks for whom they block, and gives way.

Giving way means to end our own sessions: a migration on the source or an administrator's statement on the warehouse
goes on at once, and our work, of which nothing was committed, is done again. Promises: whoever waits for a lock of ours
has it within a second; no session but our own is ever ended.
"""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, Any, Final, Self

import psycopg

from tidemark.sessions import open_session

if TYPE_CHECKING:
    from types import TracebackType

    from tidemark.credentials import Credentials

POLL_SECONDS: Final = 0.2
# One of our own runs may wait for another, by an advisory lock: that is meant.
# Ours are known by name and role. Who waits may be another role's session: its process id is all that anybody may see.
_OURS: Final = "SELECT pid FROM pg_stat_activity WHERE usename = current_user AND application_name ^@ ANY(%s)"
_WAITING: Final = f"""
WITH ours AS MATERIALIZED (SELECT array(({_OURS})) AS pids),
     waiting AS MATERIALIZED (SELECT DISTINCT pid FROM pg_locks WHERE NOT granted AND locktype <> 'advisory')
SELECT w.pid FROM waiting w, ours WHERE w.pid <> ALL (ours.pids) AND pg_blocking_pids(w.pid) && ours.pids ORDER BY 1
"""  # noqa: S608 - a constant
_END: Final = f"SELECT pg_terminate_backend(pid) FROM ({_OURS}) ours"  # noqa: S608 - a constant
_WHO: Final = "SELECT coalesce(usename::text, '?') FROM pg_stat_activity WHERE pid = %s"
_log = logging.getLogger("tidemark")


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
        self._connection = open_session(self._credentials, "tidemark-watch").connection
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._done.set()
        self._thread.join()
        self._connection.close()

    def _look(self) -> None:
        before: set[int] = set()
        while not self._done.wait(POLL_SECONDS):
            try:
                waiting = {row[0] for row in self._connection.execute(_WAITING, (self._applications,))}
                still = sorted(waiting & before)  # a lock that is had at once is no wait
                if still:
                    self.gave_way_to = self._name(still[0])
                    self._connection.execute(_END, (self._applications,))
                    return
                before = waiting
            except psycopg.Error as error:
                _log.warning("can no longer see whether somebody waits for our locks: %s", type(error).__name__)
                return

    def _name(self, pid: int) -> str:
        found: Any = self._connection.execute(_WHO, (pid,)).fetchone()
        return f"session {pid} of {found[0] if found else '?'}"

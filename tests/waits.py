"""How long somebody waited for Tidemark's locks: measured beside a wait of known length, and printed at a run's end.

A machine that is busy makes every wait longer, also one that has nothing to do with Tidemark. So the promise, one second,
is held against a yardstick: two plain sessions, one of which gives way to the other as the watch should.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any, Final, Self

from tidemark.base import giving_way

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    import pytest

    from local_stack.postgres.server import Credentials

PROMISED_SECONDS: Final = 1.0
# A job holds its locks so long, if it does not give way.
HOLD_SECONDS: Final = 20.0
# The yardstick's own, so that a watch that became slower is not held against itself.
_LOOK_SECONDS, _LOOKS = 0.2, 2
_PROPERTY: Final = "waited"
_LOCK: Final = "SELECT pg_advisory_lock(4711)"


class Yardstick:
    """Waits of known length, one after the other until the ``with`` block ends; ``slowness`` is how much too long."""

    def __init__(self, database: Credentials) -> None:
        self._database = database
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.slowness = 1.0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _run(self) -> None:
        with self._database.connect() as looking:
            while True:
                self.slowness = max(self.slowness, self._wait(looking) / (_LOOKS * _LOOK_SECONDS))
                if self._done.is_set():
                    return

    def _wait(self, looking: Any) -> float:
        took: list[float] = []
        with self._database.connect() as holder, self._database.connect() as waiter:
            holder.execute(_LOCK.encode())

            def wait() -> None:
                began = time.monotonic()
                waiter.execute(_LOCK.encode())
                took.append(time.monotonic() - began)

            thread = threading.Thread(target=wait, daemon=True)
            thread.start()
            for _ in range(_LOOKS):
                time.sleep(_LOOK_SECONDS)
                looking.execute(giving_way._WAITING.encode(), (["nobody"],)).fetchall()
            looking.execute("SELECT pg_terminate_backend(%s)", (holder.info.backend_pid,))
            thread.join(HOLD_SECONDS)
        return took[0]


class Other:
    """Another session that does something once, and how long that took it.

    Parameters
    ----------
    statements
        Run one after the other, each a transaction.
    """

    def __init__(self, database: Credentials, *statements: str) -> None:
        self._database, self._statements = database, statements
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.seconds = -1.0
        self.slowness = 1.0
        self.begun = False

    def begin(self) -> None:
        """Start, the first time; and hold the job up until the other one has what it wanted."""
        if not self.begun:
            self.begun = True
            with Yardstick(self._database) as yardstick:
                self.thread.start()
                self.thread.join(HOLD_SECONDS)
            self.slowness = yardstick.slowness

    def _run(self) -> None:
        with self._database.connect() as connection:
            began = time.monotonic()
            for statement in self._statements:
                connection.execute(statement.encode())
            self.seconds = time.monotonic() - began


class Waits:
    """Notes a test's waits for the matrix, and holds each against the promise."""

    def __init__(self, note: Callable[[str, object], None]) -> None:
        self._note = note

    def judge(self, job: str, what: str, seconds: float, slowness: float) -> None:
        """Note one, and fail if it was longer than it may be on a machine of this slowness (1: a quiet one)."""
        self._note(_PROPERTY, [job, what, seconds, slowness])
        assert seconds >= 0, f"{what} never got through"
        allowed = PROMISED_SECONDS * slowness
        assert seconds < allowed, f"{what} waited {seconds:.2f} s for the {job}, {allowed:.2f} s are allowed here"

    def nothing_to_wait_for(self, job: str, what: str) -> None:
        """Note that PostgreSQL lets both be at the same time."""
        self._note(_PROPERTY, [job, what, None, 1.0])


class Looks:
    """What every look of the watch saw, as it is patched in: whether somebody waited."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.seen: list[bool] = []
        opened = giving_way.Watch._open

        def noted(watch: giving_way.Watch) -> Any:
            connection = opened(watch)
            execute = connection.execute

            def look(query: Any, *values: Any) -> Any:
                found: Any = execute(query, *values)
                if query == giving_way._WAITING.encode():
                    found = found.fetchall()
                    self.seen.append(bool(found))
                return found

            monkeypatch.setattr(connection, "execute", look)
            return connection

        monkeypatch.setattr(giving_way.Watch, "_open", noted)

    def judge(self) -> None:
        """No clock is in this: the second look that sees somebody is the last, and two of them take half a second."""
        first = self.seen.index(True)
        assert self.seen[first : first + 2] == [True, True]
        assert sum(self.seen) == 2, f"the watch looked {sum(self.seen)} times at somebody who waited"
        two = 2 * giving_way.POLL_SECONDS
        assert two <= PROMISED_SECONDS / 2, f"two looks come after {two} s: a slow machine needs the other half second"


def matrix(reports: Iterable[Any]) -> list[str]:
    """Give a line per cell, of which each has its longest wait, of the reports of tests that noted any."""
    cells: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for report in reports:
        for name, value in getattr(report, "user_properties", ()):
            if name == _PROPERTY:
                job, what, seconds, slowness = value
                cells.setdefault((job, what), []).extend([] if seconds is None else [(seconds, slowness)])
    width = max((len(what) for _, what in cells), default=0)
    lines = []
    for (job, what), waits in sorted(cells.items()):
        longest, slowness = max(waits, default=(0.0, 1.0))
        told = (
            f"{longest:5.2f} s  (a plain wait beside it took {slowness:.1f} times its length)"
            if waits
            else "    -    they do not conflict"
        )
        lines.append(f"{job:<8} {what:<{width}} {told}")
    return lines

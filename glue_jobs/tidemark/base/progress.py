"""How far work on many tables has come, as lines of a job's log: ``mirrors: table 37 of 500``."""

from __future__ import annotations

import logging
import re
import threading
import time
from typing import TYPE_CHECKING, Final, TypeVar

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

T = TypeVar("T")
# Work that is done sooner says nothing.
_SECONDS_BETWEEN: Final = 2.0
_LINE: Final = re.compile(r"\S+: table \d+ of \d+$")
_log = logging.getLogger("tidemark.progress")


class Progress:
    """Counts tables that are done, in whatever thread, and says it once in a while."""

    def __init__(self, what: str, tables: int) -> None:
        self._what, self._tables, self._done = what, tables, 0
        self._lock, self._said = threading.Lock(), time.monotonic()

    def add_one(self) -> None:
        """Count one more."""
        with self._lock:
            self._done += 1
            now = time.monotonic()
            if now - self._said < _SECONDS_BETWEEN:
                return
            self._said = now
            _log.info("%s: table %d of %d", self._what, self._done, self._tables)


def counted(what: str, tables: Collection[T]) -> Iterator[T]:
    """Go through some tables and say how far it has come."""
    progress = Progress(what, len(tables))
    for table in tables:
        yield table
        progress.add_one()


def progress_in(line: str) -> str:
    """Return what a line of a log says of progress; nothing if it says something else."""
    found = _LINE.search(line.rstrip())
    return found.group() if found else ""

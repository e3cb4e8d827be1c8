"""A job whose memory does not hold what it works on: how that shows, and what is said of it.

Promises: one rule for all jobs. Java that runs out of memory says so, or is ended, by itself or by the system: whoever
calls it then, hears of a connection only.
"""

from __future__ import annotations

import contextlib
import logging
from typing import TYPE_CHECKING, Final

from tidemark.base.errors import MemoryShortError, TidemarkError

if TYPE_CHECKING:
    from collections.abc import Iterator

EXPECTED: Final = "rows that fit the job's memory a few at a time"
# In an error's message, in lower case: Java's own words, what Spark says of a machine that was lost, py4j's of a Java
# that is gone, Spark's of one that is going.
_SAID: Final = (
    "outofmemory",
    "java heap space",
    "gc overhead limit",
    "executorlostfailure",
    "answer from java side is empty",
    "trying to connect to the java server",
    "error while sending or receiving",
    "sparkcontext was shut down",
    "stopped sparkcontext",
)
_CALLING: Final = "An error occurred while calling "
_log = logging.getLogger("tidemark")


def advice(job: str) -> str:
    """What to do where a job's memory is too small."""
    return f"give the {job} job workers with more memory, or leave its widest columns out of source.yml"


def is_short(error: BaseException) -> bool:
    """Whether an error says that memory ran out, or that Java is gone, which is mostly why."""
    if isinstance(error, TidemarkError):
        return False
    if isinstance(error, MemoryError | ConnectionError):  # nobody but py4j lets one of a connection through
        return True
    try:
        said = str(error)
    except Exception:  # noqa: BLE001 - an error of Java asks Java for its message: that is gone
        return True
    gone = type(error).__name__ == "Py4JError" and said.startswith(_CALLING) and "Trace:" not in said
    return gone or any(words in said.lower() for words in _SAID)


class Work:
    """What a job is working on, several things at once: if memory runs out, all of them may be the reason.

    Parameters
    ----------
    job
        Its name, for what is to be done.
    """

    def __init__(self, job: str) -> None:
        self._job = job
        self._under_way: list[str] = []

    @contextlib.contextmanager
    def on(self, what: str, widest: int = 0) -> Iterator[None]:
        """Do some work; ``widest`` are the bytes of the widest row that it has to do with, if that is known.

        Raises
        ------
        MemoryShortError
            If memory ran out.
        """
        named = f"{what} (rows of up to {widest:,} bytes)" if widest else what
        self._under_way.append(named)
        try:
            yield
        except Exception as error:
            if not is_short(error):
                raise
            _log.warning("memory ran out, or Java is gone: %s", type(error).__name__)
            raise MemoryShortError(  # what has failed with it stays named
                f"the job's memory ran out, or its Java was ended, during the work on {', '.join(self._under_way)}",
                expected=EXPECTED,
                do=f"{advice(self._job)}; the next tick repeats",
            ) from None
        self._under_way.remove(named)

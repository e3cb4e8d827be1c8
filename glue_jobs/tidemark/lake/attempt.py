"""The note of an attempt to write the lake, by which the next one knows whether that came to its end.

Promises: the note is there before the first write, and goes after the last commit. Without it nothing needs to be
undone, so nobody need look at every table; with it, whoever comes next looks at all.
"""

from __future__ import annotations

from typing import Final

from tidemark.base import storage

_NOTE: Final = "tidemark/attempt"


def begin(processed_uri: str, execution: str) -> None:
    """Note an attempt, before it writes anything."""
    storage.put(_at(processed_uri), execution.encode())


def has_ended(processed_uri: str) -> bool:
    """Whether all attempts so far have come to their end."""
    return storage.get(_at(processed_uri)) is None


def end(processed_uri: str) -> None:
    """Remove the note, after all was committed."""
    storage.delete(_at(processed_uri))


def _at(processed_uri: str) -> str:
    return f"{processed_uri.rstrip('/')}/{_NOTE}"

"""Which of a table's snapshots shows a state that a batch has named, although that snapshot itself may have expired.

A compaction changes no rows: what it makes of a state stands for it. Glue's own optimizers, and whoever else looks
after tables, may let the state go as soon as there is such a one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

_COMPACTION: Final = "replace"


@dataclass(frozen=True)
class Step:
    """How a snapshot was made: of which one (None: of none), and by which of Iceberg's operations."""

    parent: int | None
    operation: str


def standing_for(wanted: int, current: int | None, step_of: Callable[[int], Step | None]) -> int | None:
    """Return the newest snapshot, from the current one back, that has the rows of a wanted one; None if none has.

    Parameters
    ----------
    step_of
        How a snapshot was made; None for one that has expired.
    """
    # The newest snapshot with the rows of the one that is looked at: only compactions lie between them.
    newest = at = current
    while at is not None:
        step = step_of(at)
        if at == wanted:
            return None if step is None and newest == at else newest
        if step is None:
            return None
        if step.operation != _COMPACTION:
            newest = step.parent
        at = step.parent
    return None

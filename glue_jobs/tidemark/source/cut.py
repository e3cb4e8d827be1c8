"""Which server was asked, and what its snapshot shows."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Identity:
    """Which server, and which life of it, a cut was taken from: xmins of different ones cannot be compared."""

    system_identifier: str
    timeline: str
    started: str
    database: str


@dataclass(frozen=True, kw_only=True)
class Cut:
    """One consistent cut of the source.

    Parameters
    ----------
    xmin, xmax
        Bounds of the snapshot, 64 bit: all transactions below ``xmin`` had ended, none from ``xmax`` on had begun.
    time
        The source's clock, ISO 8601 with offset.
    lsn
        Insert position right after the snapshot; the manifest waits until it is on the source's disk. None on a
        standby.
    visible_xids
        Transactions from ``xmin`` on whose rows this cut already shows, so that the next cut need not read them again.
        None if they were too many to list.
    """

    xmin: int
    xmax: int
    time: str
    lsn: str | None
    visible_xids: tuple[int, ...] | None = ()

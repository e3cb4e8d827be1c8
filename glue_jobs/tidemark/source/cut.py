"""Which server was asked, and what its snapshot shows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

# Before the server's address, which stands for the identifier that it does not tell.
NOT_TOLD: Final = "address "


@dataclass(frozen=True, kw_only=True)
class Identity:
    """Which server, and which life of it, a cut was taken from: xmins of different ones cannot be compared."""

    system_identifier: str
    timeline: str
    started: str
    database: str

    def may_be(self, other: Identity) -> bool:
        """Whether both may be lives of one database: True unless they tell that they are not."""
        unknown = any(one.system_identifier.startswith(NOT_TOLD) for one in (self, other))
        return self.database == other.database and (unknown or self.system_identifier == other.system_identifier)


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

    @property
    def surely_used(self) -> int:
        """Every life of this server that has what the cut showed has used all transaction ids below this one.

        All below ``xmin`` had ended, and what the cut shows of later ones is in the log that the manifest waited for.
        Ids beyond, of transactions that went on, may be given out again after a crash.
        """
        return self.xmax if self.visible_xids is None else max((self.xmin, *(xid + 1 for xid in self.visible_xids)))

"""Errors a person can act on, and how a job ends when it meets one.

Owns the one exception that users see. Promises: a :class:`TidemarkError` reaches the log, and Glue's ErrorMessage, as a
single line that says what was found, where, what was expected and what to do; never a stack trace, never a secret.
"""

from __future__ import annotations

import logging

_log = logging.getLogger("tidemark")


class TidemarkError(Exception):
    """A condition that the user can fix.

    Parameters
    ----------
    what
        What was found, and where.
    expected
        What was expected instead, if that is not obvious.
    do
        What to do about it.
    """

    def __init__(self, what: str, *, expected: str = "", do: str = "") -> None:
        self.what, self.expected, self.do = what, expected, do
        parts = [what.rstrip(".")]
        if expected:
            parts.append(f"expected: {expected.rstrip('.')}")
        if do:
            parts.append(f"to do: {do.rstrip('.')}")
        super().__init__("; ".join(" ".join(part.split()) for part in parts) + ".")


class ModelError(TidemarkError):
    """The model folder says something that cannot be: names file, table and column."""


class SourceError(TidemarkError):
    """The source database cannot be reached, read, or trusted to have given one consistent cut."""


class GaveWayError(TidemarkError):
    """Somebody else waited for our locks, so the work was given up; it can be tried again at once."""


class MemoryShortError(TidemarkError):
    """A job's memory does not hold what it works on."""


class ContractError(SourceError):
    """The source's tables or columns are not what the model says."""


class ShrinkError(SourceError):
    """A source table lost more rows than the shrink guard lets pass unasked."""


class LandingError(TidemarkError):
    """The landing area and the run disagree (a lost race, a missing or foreign object)."""


class LakeError(TidemarkError):
    """The lake is not as the last run left it."""


class WarehouseError(TidemarkError):
    """The warehouse cannot be reached, written, or does not fit the lake."""


class ReconcileError(WarehouseError):
    """Row counts of source, lake and warehouse differ: nothing was committed."""

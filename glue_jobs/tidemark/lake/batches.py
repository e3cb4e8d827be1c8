"""What a batch did: the rows of ``etl_batches``, typed. A batch is one manifest and all that is written because of it.

Owns the form of those rows: their columns are read and written here alone. Knows neither Spark nor the reader, because
transform, load and command line all import it. Promises: ``AppliedBatch.from_row(batch.to_row()) == batch``; names of
the user's star tables never stand beside words of the program, so a star table may be called anything that the model
allows.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

Status = Literal["refreshed", "skipped"]

COLUMNS: Final[dict[str, tuple[str, str]]] = {
    "batch": ("bigint", "Manifest that was applied"),
    "execution": ("string", "Execution that applied it"),
    "lake_id": ("string", "Identity of the landing area"),
    "model_digest": ("string", "Digest of the model folder that was used"),
    "cut_time": ("timestamp", "Time of the cut (the source's clock, UTC)"),
    "applied_at": ("timestamp", "When the transform ended"),
    "changes": ("string", "JSON: what was done to each star table, as status and rows by kind"),
    "inferred_members": ("string", "JSON: rows added per dimension because facts refer to them, calendar included"),
    "quarantined_rows": ("string", "JSON: rows per star table that only quarantine holds"),
    "open_quarantine": ("bigint", "Quarantine entries open after this batch"),
    "snapshots": ("string", "JSON: Iceberg snapshot of every star table after this batch"),
    "columns": ("string", "JSON: per star table and column, the last batch up to which its stored values are filled"),
}
_JSON: Final = ("changes", "inferred_members", "quarantined_rows", "snapshots", "columns")


@dataclass(frozen=True, kw_only=True)
class TableChange:
    """What a batch did to one star table.

    Parameters
    ----------
    status
        ``skipped``: its rows depend on inputs that no batch has landed yet, so nothing was done.
    new, changed, deleted
        Rows, or keys of a fact, that the source got, changed and lost.
    rejected
        Rows that break the star's contract and went to quarantine.
    backfilled
        Current versions in which values of new columns were filled in.
    ahead
        New and changed ones that say that they changed after the cut: a time zone or a clock is wrong.
    """

    status: Status = "refreshed"
    new: int = 0
    changed: int = 0
    deleted: int = 0
    rejected: int = 0
    backfilled: int = 0
    ahead: int = 0

    @property
    def counts(self) -> dict[str, int]:
        """Rows by kind, without the kinds that there are none of."""
        found = {field.name: getattr(self, field.name) for field in fields(self) if field.name != "status"}
        return {kind: number for kind, number in found.items() if number}

    @property
    def written(self) -> int:
        """Rows whose state in the star table is another now."""
        return self.new + self.changed + self.deleted + self.backfilled

    @property
    def words(self) -> str:
        """The change for people: ``3 new, 1 changed``; empty if there is none."""
        if self.status == "skipped":
            return "skipped: it needs inputs that no batch has landed yet"
        return ", ".join(f"{number:,} {kind}" for kind, number in self.counts.items())

    def __add__(self, later: TableChange) -> TableChange:
        """Return what two batches did, one after the other."""
        skipped = self.status == later.status == "skipped"
        both = {kind: self.counts.get(kind, 0) + later.counts.get(kind, 0) for kind in {**self.counts, **later.counts}}
        return TableChange(status="skipped" if skipped else "refreshed", **both)


@dataclass(frozen=True, kw_only=True)
class AppliedBatch:
    """One row of ``etl_batches``: a batch that was applied, and the state that it left.

    Parameters
    ----------
    batch, execution, lake_id, model_digest
        The number of the manifest, the execution that applied it, the landing area, and the model that was used.
    cut_time, applied_at
        Time of the cut (the source's clock), and when the transform ended.
    changes
        What was done to every star table that was looked at; star tables and nothing else.
    inferred_members
        Rows added per dimension because facts refer to them, the calendar included.
    quarantined_rows, open_quarantine
        Rows per star table that only the quarantine holds; quarantine entries that were open then, in all.
    snapshots
        The Iceberg snapshot of every star table and of the quarantine; None while a table never had data.
    columns
        Per star table and column, the last batch up to which its stored values are filled (0: never).
    """

    batch: int
    execution: str
    lake_id: str
    model_digest: str
    cut_time: datetime
    applied_at: datetime
    changes: Mapping[str, TableChange]
    inferred_members: Mapping[str, int]
    quarantined_rows: Mapping[str, int]
    open_quarantine: int
    snapshots: Mapping[str, int | None]
    columns: Mapping[str, Mapping[str, int]]

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> AppliedBatch:
        """Read a row of ``etl_batches``; its times are aware, its maps JSON."""
        maps = {name: json.loads(row[name]) for name in _JSON}
        changes = {table: TableChange(**change) for table, change in maps["changes"].items()}
        return cls(**{name: row[name] for name in COLUMNS if name not in _JSON}, **{**maps, "changes": changes})

    def to_row(self) -> dict[str, Any]:
        """Return the row, in the order and (for SQL) the types of :data:`COLUMNS`."""
        row = {name: getattr(self, name) for name in COLUMNS}
        row["changes"] = {table: {"status": change.status, **change.counts} for table, change in self.changes.items()}
        return row | {name: json.dumps(row[name]) for name in _JSON}


_NEVER: Final = datetime.min.replace(tzinfo=UTC)
# The state of a lake before its first batch.
BEFORE_FIRST: Final = AppliedBatch(
    batch=0,
    execution="",
    lake_id="",
    model_digest="",
    cut_time=_NEVER,
    applied_at=_NEVER,
    changes={},
    inferred_members={},
    quarantined_rows={},
    open_quarantine=0,
    snapshots={},
    columns={},
)

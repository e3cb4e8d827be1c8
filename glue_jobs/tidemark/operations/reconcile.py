"""Does the warehouse say what the source said? Row counts of source, lake and warehouse side by side.

Three comparisons, each of things that were counted apart: the source's rows at the last cut (from the manifest) with
the mirror's in the lake; every star table's present rows in the lake with the warehouse's and with the source's less
those in quarantine; and all versions of every fact, value by value, between lake and warehouse. The source's rows now
are shown as well, and if they have moved on since the cut, that is not a difference.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING

from tidemark.base.concurrency import by_item, concurrently
from tidemark.base.errors import TidemarkError
from tidemark.model.definition import Fact
from tidemark.operations.compare_rows import compare_star
from tidemark.source.contents import open_source

if TYPE_CHECKING:
    from tidemark.lake.batches import AppliedBatch
    from tidemark.lake.reader import LakeReader
    from tidemark.model.definition import Dimension, Model
    from tidemark.operations.pipeline import Pipeline
    from tidemark.warehouse.protocol import WarehouseReader


@dataclass(frozen=True, kw_only=True)
class TableCounts:
    """One source table, and one star table made of it; None where that does not exist.

    Parameters
    ----------
    source_now, at_cut, mirror
        Rows in the source now and at the cut, and in the lake's mirror.
    star, part_of
        The star table whose rows are this table's, and those that it adds columns to.
    star_lake, warehouse, held
        Present rows in the lake and in the warehouse, and rows held in quarantine.
    filtered
        Whether the star table's SQL leaves source rows out.
    versions_differing
        Versions of a fact that are not the same in lake and warehouse.
    """

    source: str
    source_now: int | None
    at_cut: int | None
    mirror: int
    star: str = ""
    part_of: tuple[str, ...] = ()
    star_lake: int | None = None
    warehouse: int | None = None
    held: int = 0
    filtered: bool = False
    versions_differing: int = 0

    @property
    def difference(self) -> str:
        """What does not agree; empty if all does."""
        if self.at_cut != self.mirror:
            return "lake differs from source"
        if self.star and self.star_lake != self.warehouse:
            return "warehouse differs from lake"
        if self.star and not self.filtered and self.star_lake != self.mirror - self.held:
            return "star differs from mirror"
        return f"{self.versions_differing} versions differ" if self.versions_differing else ""

    @property
    def agrees(self) -> bool:
        """Whether everything agrees."""
        return not self.difference

    @property
    def moved_on(self) -> bool:
        """Whether the source has another number of rows now than at the cut."""
        return self.source_now is not None and self.source_now != self.at_cut


@dataclass(frozen=True, kw_only=True)
class Reconciliation:
    """All lines, at the lake's last batch; `ledger_batch` is the last one that the warehouse has."""

    batch: int
    cut_time: datetime
    ledger_batch: int
    lines: tuple[TableCounts, ...]

    @property
    def agrees(self) -> bool:
        """Whether nothing differs and the warehouse has the lake's last batch."""
        return self.ledger_batch == self.batch and all(line.agrees for line in self.lines)

    @property
    def moved_on(self) -> tuple[str, ...]:
        """Source tables that have another number of rows now than at the cut."""
        return tuple(dict.fromkeys(line.source for line in self.lines if line.moved_on))


def reconcile(pipeline: Pipeline) -> Reconciliation:
    """Count and compare everything.

    Raises
    ------
    TidemarkError
        If nothing has been published yet.
    """
    model, lake = pipeline.model, pipeline.lake
    applied = lake.last_batch(pipeline.landing.published())
    if applied is None:
        raise TidemarkError("the lake is empty", do="run a first tick, with: tidemark tick")
    manifest = pipeline.landing.read(applied.batch)
    mirrors = by_item(model.tables, lake.mirror_rows)
    found = concurrently(model.star_tables, lambda star: lake.present_rows(star, applied))
    stars = {star.name: rows for star, rows in zip(model.star_tables, found, strict=True)}
    with open_source(pipeline.source) as source, pipeline.warehouse.reader() as warehouse:
        ledger = warehouse.loaded_through()
        lines: list[TableCounts] = []
        for name, table in model.tables.items():
            entry = manifest.tables.get(name)
            users = tuple(star.name for star in model.star_tables if name in star.joins)
            now, cut = source.count(table), entry.count if entry else None
            basis = TableCounts(source=name, source_now=now, at_cut=cut, mirror=mirrors[name], part_of=users)
            driven = [star for star in model.star_tables if star.driver == name]
            lines += [
                replace(
                    basis,
                    star=star.name,
                    star_lake=stars[star.name],
                    warehouse=warehouse.present_rows(star) if ledger else 0,
                    held=applied.quarantined_rows.get(star.name, 0),
                    filtered=star.filtered,
                    versions_differing=_differing(warehouse, model, lake, applied, star) if ledger else 0,
                )
                for star in driven
            ] or [basis]
    return Reconciliation(batch=applied.batch, cut_time=applied.cut_time, ledger_batch=ledger, lines=tuple(lines))


def _differing(
    warehouse: WarehouseReader, model: Model, lake: LakeReader, applied: AppliedBatch, star: Dimension | Fact
) -> int:
    """Count the versions of a fact that lake and warehouse do not agree about; not done for dimensions."""
    if not isinstance(star, Fact):
        return 0
    return sum(1 for _ in compare_star(warehouse, model, lake, applied, star))

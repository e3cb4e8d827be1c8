"""What lake and warehouse must hold, put together from the source's own answers and nothing of Tidemark's code.

At every committed cut the source is asked for its tables, and by SQL of PostgreSQL for the rows of the star: which are
good, which are bad (``tests/fuzz/answers.py``). From this sequence of states alone follow every mirror, every version,
every dimension row, the calendar and the open quarantine. The rules are those of docs/guarantees.md.

The model may change, also between a cut and its application. A cut knows what its own model read; what becomes of it
is decided by the model that applies it. So states are folded only when they are applied, with both models.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Final

from tests.fuzz.answers import FACT_COLUMNS, State
from tests.fuzz.models import BASE, OPTIONAL

if TYPE_CHECKING:
    from collections.abc import Collection

    from tests.fuzz.answers import Row
    from tests.fuzz.models import Model

FACT_HISTORY: Final = (
    "version",
    "valid_from",
    "valid_to",
    "is_current",
    "is_deleted",
    "recorded_batch",
    "closed_batch",
)
DIMENSION_HISTORY: Final = ("is_deleted", "is_inferred", "recorded_batch")
_MICROSECOND: Final = timedelta(microseconds=1)


@dataclass(frozen=True)
class Version:
    """One version of a row of a fact."""

    row: Row
    updated: datetime
    number: int
    valid_from: datetime
    recorded_batch: int
    valid_to: datetime | None = None
    is_deleted: bool = False
    closed_batch: int | None = None

    def published(self) -> Row:
        history = (self.number, self.valid_from, self.valid_to, self.valid_to is None, self.is_deleted)
        return (*self.row, *history, self.recorded_batch, self.closed_batch)


def next_version(last: Version | None, row: Row, updated: datetime, batch: int, cut: datetime) -> Version:
    """A version begins when the source says, if that moved forward and is no lie; else at the cut."""
    begin = min(updated, cut)
    if last is not None:
        earliest = last.valid_to or last.valid_from + _MICROSECOND
        if updated <= last.updated or begin < earliest:
            begin = max(cut, earliest)
    return Version(row, updated, last.number + 1 if last else 1, begin, batch)


@dataclass(frozen=True)
class Member:
    """One row of the customer dimension."""

    row: Row
    is_deleted: bool
    is_inferred: bool
    recorded_batch: int

    def published(self) -> Row:
        return (*self.row, self.is_deleted, self.is_inferred, self.recorded_batch)


@dataclass(frozen=True)
class Cut:
    """A committed cut, and the model that read it."""

    batch: int
    time: datetime
    state: State
    model: Model


@dataclass(frozen=True)
class AppliedCut:
    """One application of a cut: what the applying model's optional columns are to it.

    Parameters
    ----------
    known
        The cut has read them.
    unknown
        It has not: versions keep the last value, and nothing follows from it.
    fresh
        Known, but not at the run before, and the run that knew them last: to versions written since, a difference is no
        change of the row, it is filled in.
    """

    cut: Cut
    model: Model
    known: frozenset[str]
    unknown: frozenset[str]
    fresh: dict[str, int]

    def fillable(self, last: Version) -> set[str]:
        """The columns that were not known ever since a version was written."""
        return {name for name, batch in self.fresh.items() if last.recorded_batch > batch}

    def row(self, key: int, last: Version | None) -> Row:
        """The key's row by this run's model, where ``last`` is its current version."""
        row = self.cut.state.fact(key, self.model)
        row = _with(row, None, set(OPTIONAL) - self.known)
        return _with(row, last.row, self.unknown) if last else row

    def differ(self, row: Row, last: Version) -> bool:
        """Whether a row is another than the current version: only what this run compares counts."""
        apart = (set(OPTIONAL) - self.model) | self.fillable(last)
        return _with(row, None, apart) != _with(last.row, None, apart)


def _with(row: Row, other: Row | None, columns: Collection[str]) -> Row:
    """A row with the other one's values in some columns; with NULL, if there is no other."""
    return tuple(
        (other[place] if other else None) if name in columns else row[place] for place, name in enumerate(FACT_COLUMNS)
    )


@dataclass
class Oracle:
    """The cuts up to the last observed one, and the expected lake after the last applied one.

    ``known`` is the last applied cut after which each optional column was known; ``foreign`` counts cuts that another model applied than the one that had read them.
    """

    batch: int = 0
    state: State | None = None
    model: Model = BASE
    applied: int = 0
    chains: dict[int, list[Version]] = field(default_factory=dict)
    members: dict[int, Member] = field(default_factory=dict)
    known: dict[str, int] = field(default_factory=dict)
    foreign: int = 0
    _waiting: list[Cut] = field(default_factory=list)
    _last: State | None = None

    def observe(self, batch: int, cut: datetime, state: State, model: Model = BASE) -> None:
        """Take in the state of the source at the next committed cut, and the model that read it."""
        assert batch == self.batch + 1, f"manifest {batch} after {self.batch}"
        self.batch, self.state, self.model = batch, state, model
        self._waiting.append(Cut(batch, cut, state, model))

    def apply(self, batch: int, model: Model = BASE) -> None:
        """Fold all observed cuts up to ``batch``: one model has applied them."""
        assert self.applied <= batch <= self.batch, (
            f"batch {batch} was applied, {self.applied} before, {self.batch} is landed"
        )
        while self._waiting and self._waiting[0].batch <= batch:
            cut = self._waiting.pop(0)
            optional = model.intersection(OPTIONAL)
            known = optional & cut.model
            before = {name: self.known.get(name, 0) for name in known}
            fresh = {name: batch for name, batch in before.items() if not batch or batch != cut.batch - 1}
            self._fold(AppliedCut(cut, model, known, optional - known, fresh))
            self.known |= dict.fromkeys(known, cut.batch)
            self.foreign += cut.model != model
            self._last = cut.state
        self.applied = batch

    def _fold(self, run: AppliedCut) -> None:
        state, batch = run.cut.state, run.cut.batch
        self._customers(state, batch)
        opened = [*self._changed(run), *self._new(run)]
        for key in set(self.chains) - set(state.facts) - set(state.bad_facts):
            last = self.chains[key][-1]
            if last.valid_to is None:
                end = max(run.cut.time, last.valid_from + _MICROSECOND)
                self.chains[key][-1] = replace(last, valid_to=end, is_deleted=True, closed_batch=batch)
        for version in opened:
            if version.row[3] not in self.members:
                self.members[version.row[3]] = Member((version.row[3], "Unknown", None, None), False, True, batch)

    def _customers(self, state: State, batch: int) -> None:
        for key, row in state.dimensions.items():
            wanted = Member(row, is_deleted=False, is_inferred=False, recorded_batch=batch)
            have = self.members.get(key)
            if have is None or replace(have, recorded_batch=batch) != wanted:
                self.members[key] = wanted
        for key in set(self.members) - set(state.dimensions) - state.bad_dimensions:
            have = self.members[key]
            if not have.is_deleted and not have.is_inferred:
                self.members[key] = replace(have, is_deleted=True, recorded_batch=batch)

    def _changed(self, run: AppliedCut) -> list[Version]:
        """Versions of keys that are current, and differ; where only fresh columns do, the current one is filled."""
        opened = []
        for key, row in run.cut.state.bad_facts.items():
            last = self.chains[key][-1] if key in self.chains else None
            if last is not None and last.valid_to is None:
                there = {name for name in run.fillable(last) if row[FACT_COLUMNS.index(name)] is not None}
                self.chains[key][-1] = replace(last, row=_with(last.row, row, there))
        for key in run.cut.state.facts:
            last = self.chains[key][-1] if key in self.chains else None
            if last is None or last.valid_to is not None:
                continue
            row = run.row(key, last)
            if not run.differ(row, last):
                self.chains[key][-1] = replace(last, row=_with(last.row, row, run.fillable(last)))
                continue
            version = next_version(last, row, run.cut.state.updated[key], run.cut.batch, run.cut.time)
            self.chains[key][-1] = replace(last, valid_to=version.valid_from, closed_batch=run.cut.batch)
            self.chains[key].append(version)
            opened.append(version)
        return opened

    def _new(self, run: AppliedCut) -> list[Version]:
        """Versions of keys that are new, or come back."""
        opened = []
        for key in run.cut.state.facts:
            chain = self.chains.setdefault(key, [])
            if chain and chain[-1].valid_to is None:
                continue
            last = chain[-1] if chain else None
            version = next_version(last, run.row(key, None), run.cut.state.updated[key], run.cut.batch, run.cut.time)
            chain.append(version)
            opened.append(version)
        return opened

    def fact_rows(self) -> list[Row]:
        """All rows of ``fact_order``, by key and version."""
        return [version.published() for key in sorted(self.chains) for version in self.chains[key]]

    def dimension_rows(self) -> list[Row]:
        """All rows of ``dim_customer``, by key."""
        return [self.members[key].published() for key in sorted(self.members)]

    def days(self) -> list[date]:
        """All days of the calendar: whole years."""
        versions = (version for chain in self.chains.values() for version in chain)
        years = {day.year for version in versions for day in (version.row[1], version.row[5])}
        return [
            date(year, 1, 1) + timedelta(days=n)
            for year in sorted(years)
            for n in range(366)
            if n < 365 or year % 4 == 0
        ]

    def quarantine(self) -> list[tuple[str, str]]:
        """Table and key of every open quarantine entry."""
        state = self._last
        if state is None:
            return []
        bad = [("fact_order", str(key)) for key in state.bad_facts]
        return sorted([*bad, *(("dim_customer", str(key)) for key in state.bad_dimensions)])

"""What lake and warehouse must hold, put together from the source's own answers and nothing of Tidemark's code.

At every committed cut the source is asked for its tables, and by SQL of PostgreSQL for the rows of the star: which are
good, which are bad. From this sequence of states alone follow every mirror, every version, every dimension row, the
calendar and the open quarantine. The rules are those of docs/guarantees.md.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING, Any, Final

from tests.fuzz.shop import COLUMNS

if TYPE_CHECKING:
    import psycopg

    from local_stack.databases import Credentials

Row = tuple[Any, ...]

FACT_COLUMNS: Final = ("order_id", "created_date", "created_time", "customer_id", "amount", "due_date", "note")
FACT_HISTORY: Final = ("version", "valid_from", "valid_to", "is_current", "is_deleted", "recorded_seq", "closed_seq")
DIMENSION_COLUMNS: Final = ("customer_id", "name", "country", "code")
DIMENSION_HISTORY: Final = ("is_deleted", "is_inferred", "recorded_seq")
_FACT: Final = r"""
SELECT order_id, created_at::date, to_char(created_at, 'HH24:MI:SS.US'), customer_id, amount,
       CASE WHEN due ~ '^\d{4}-\d{2}-\d{2}$' AND pg_input_is_valid(due, 'date') THEN due::date END, note, last_updated
  FROM orders
"""
_DIMENSION: Final = """
SELECT customer_id, name, label, CASE WHEN pg_input_is_valid(code, 'integer') THEN code::integer END,
       code IS NULL OR pg_input_is_valid(code, 'integer')
  FROM customer LEFT JOIN country USING (country_id)
"""
_MICROSECOND: Final = timedelta(microseconds=1)


def plain(value: object) -> object:
    """Bring a value to a form in which source, lake and warehouse can be compared: times are naive, in UTC."""
    if isinstance(value, datetime):
        return value.astimezone(UTC).replace(tzinfo=None) if value.tzinfo else value
    return f"{value:%H:%M:%S.%f}" if isinstance(value, time) else value


@dataclass(frozen=True)
class State:
    """The source at one cut: its tables, and what the star must make of them (key -> row)."""

    tables: dict[str, list[Row]]
    facts: dict[int, Row]
    updated: dict[int, datetime]
    bad_facts: frozenset[int]
    dimensions: dict[int, Row]
    bad_dimensions: frozenset[int]

    @classmethod
    def take(cls, connection: psycopg.Connection) -> State:
        """Ask the source, in one transaction of its own."""
        with connection.transaction():
            connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
            tables = {
                name: sorted(
                    (tuple(row) for row in connection.execute(f"SELECT {', '.join(columns)} FROM {name}".encode())),
                    key=repr,
                )
                for name, columns in COLUMNS.items()
            }
            facts = connection.execute(_FACT.encode()).fetchall()
            dimensions = connection.execute(_DIMENSION.encode()).fetchall()
        return cls(
            tables,
            {row[0]: tuple(row[:7]) for row in facts if row[5] is not None},
            {row[0]: row[7] for row in facts},
            frozenset(row[0] for row in facts if row[5] is None),
            {row[0]: tuple(row[:4]) for row in dimensions if row[4]},
            frozenset(row[0] for row in dimensions if not row[4]),
        )

    @classmethod
    def take_from(cls, database: Credentials) -> State:
        """Ask a database in a session of its own."""
        with database.connect() as connection:
            return cls.take(connection)


@dataclass(frozen=True)
class Version:
    """One version of a row of a fact."""

    row: Row
    updated: datetime
    number: int
    valid_from: datetime
    recorded_seq: int
    valid_to: datetime | None = None
    is_deleted: bool = False
    closed_seq: int | None = None

    def published(self) -> Row:
        history = (self.number, self.valid_from, self.valid_to, self.valid_to is None, self.is_deleted)
        return (*self.row, *history, self.recorded_seq, self.closed_seq)


def next_version(last: Version | None, row: Row, updated: datetime, seq: int, cut: datetime) -> Version:
    """A version begins when the source says, if that moved forward and is no lie; else at the cut."""
    begin = min(updated, cut)
    if last is not None:
        earliest = last.valid_to or last.valid_from + _MICROSECOND
        if updated <= last.updated or begin < earliest:
            begin = max(cut, earliest)
    return Version(row, updated, last.number + 1 if last else 1, begin, seq)


@dataclass(frozen=True)
class Member:
    """One row of the customer dimension."""

    row: Row
    is_deleted: bool
    is_inferred: bool
    recorded_seq: int

    def published(self) -> Row:
        return (*self.row, self.is_deleted, self.is_inferred, self.recorded_seq)


@dataclass
class Oracle:
    """The expected lake after the last observed cut."""

    seq: int = 0
    state: State | None = None
    chains: dict[int, list[Version]] = field(default_factory=dict)
    members: dict[int, Member] = field(default_factory=dict)

    def observe(self, seq: int, cut: datetime, state: State) -> None:
        """Take in the state of the source at the next committed cut."""
        assert seq == self.seq + 1, f"manifest {seq} after {self.seq}"
        self.seq, self.state = seq, state
        self._customers(state, seq)
        opened = [*self._changed(state, seq, cut), *self._new(state, seq, cut)]
        for key in set(self.chains) - set(state.facts) - state.bad_facts:
            last = self.chains[key][-1]
            if last.valid_to is None:
                end = max(cut, last.valid_from + _MICROSECOND)
                self.chains[key][-1] = replace(last, valid_to=end, is_deleted=True, closed_seq=seq)
        for version in opened:
            if version.row[3] not in self.members:
                self.members[version.row[3]] = Member((version.row[3], "Unknown", None, None), False, True, seq)

    def _customers(self, state: State, seq: int) -> None:
        for key, row in state.dimensions.items():
            wanted = Member(row, is_deleted=False, is_inferred=False, recorded_seq=seq)
            have = self.members.get(key)
            if have is None or replace(have, recorded_seq=seq) != wanted:
                self.members[key] = wanted
        for key in set(self.members) - set(state.dimensions) - state.bad_dimensions:
            have = self.members[key]
            if not have.is_deleted and not have.is_inferred:
                self.members[key] = replace(have, is_deleted=True, recorded_seq=seq)

    def _changed(self, state: State, seq: int, cut: datetime) -> list[Version]:
        """Versions of keys that are current, and differ."""
        opened = []
        for key, row in state.facts.items():
            last = self.chains[key][-1] if key in self.chains else None
            if last is None or last.valid_to is not None or last.row == row:
                continue
            version = next_version(last, row, state.updated[key], seq, cut)
            self.chains[key][-1] = replace(last, valid_to=version.valid_from, closed_seq=seq)
            self.chains[key].append(version)
            opened.append(version)
        return opened

    def _new(self, state: State, seq: int, cut: datetime) -> list[Version]:
        """Versions of keys that are new, or come back."""
        opened = []
        for key, row in state.facts.items():
            chain = self.chains.setdefault(key, [])
            if chain and chain[-1].valid_to is None:
                continue
            version = next_version(chain[-1] if chain else None, row, state.updated[key], seq, cut)
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
        state = self.state
        if state is None:
            return []
        bad = [("fact_order", str(key)) for key in state.bad_facts]
        return sorted([*bad, *(("dim_customer", str(key)) for key in state.bad_dimensions)])

"""The six invariants, held against lake and warehouse. Each failure names its invariant (docs/guarantees.md)."""

from __future__ import annotations

import threading
from collections import Counter
from datetime import datetime
from typing import TYPE_CHECKING, Any

from tests.fuzz.answers import DIMENSION_COLUMNS, FACT_COLUMNS, Row, State, plain
from tests.fuzz.models import BASE, OPTIONAL, mirrored
from tests.fuzz.oracle import DIMENSION_HISTORY, FACT_HISTORY, Oracle

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    import psycopg
    from tidemark.lake.reader import LakeReader
    from tidemark.landing.area import Landing

    from local_stack.postgres.server import Credentials
    from tests.fuzz.models import Model

STAR = ("fact_order", "dim_customer", "dim_date")
# What only one of the two has: the warehouse's identity key, and the lake's notes for its next run.
_ONLY_HERE = {"order_record_id", "_updated_at"}
_CLOSING = {"valid_to", "is_current", "is_deleted", "closed_batch"}


def observe(oracle: Oracle, landing: Landing, source: Credentials, model: Model = BASE) -> None:
    """Ask the source what the manifests show that were committed just now, for a model: it was quiet since."""
    for batch in landing.after(oracle.batch):
        cut = plain(datetime.fromisoformat(landing.read(batch).cut.time))
        assert isinstance(cut, datetime)
        oracle.observe(batch, cut, State.take_from(source), model)


def equal(found: Iterable[Row], wanted: Iterable[Row], what: str) -> None:
    """Compare rows; say which differ."""
    here, there = Counter(found), Counter(wanted)
    if here != there:
        extra, missing = (sorted(rows.elements(), key=repr) for rows in (here - there, there - here))
        raise AssertionError(f"{what}: found but not expected {extra[:5]}; expected but not found {missing[:5]}")


class Published:
    """Lake and warehouse of a shop, to be checked after every tick that ended at Published.

    Parameters
    ----------
    reader
        The lake.
    connect
        Opens a session of the warehouse.
    """

    def __init__(self, reader: LakeReader, connect: Callable[[], psycopg.Connection]) -> None:
        self._reader, self._connect = reader, connect
        self.versions: dict[int, dict[str, Any]] = {}
        self.fingerprints: dict[int, Row] = {}
        self.checked = 0
        self._lake_tables: dict[tuple[str, str], tuple[list[str], list[dict[str, Any]]]] = {}

    def check(self, oracle: Oracle, loaded: Model = BASE) -> None:
        """Check all invariants against what the oracle expects.

        Parameters
        ----------
        loaded
            The optional columns of all models that were loaded so far: once there, a column stays in the warehouse.
        """
        assert oracle.state is not None
        self._lake_tables.clear()
        run = self._reader.last_batch()
        assert run is not None
        assert run.batch == oracle.batch, f"the lake is at {run.batch}, the last cut is {oracle.batch}"
        for table, columns in mirrored(oracle.model).items():
            found = self._lake(table, columns, source=True)
            equal(found, oracle.state.seen(oracle.model)[table], f"(1) mirror {table}")
        facts = self._lake("fact_order", (*FACT_COLUMNS, *FACT_HISTORY))
        equal(facts, oracle.fact_rows(), "(2) (3) fact_order")
        members = self._lake("dim_customer", (*DIMENSION_COLUMNS, *DIMENSION_HISTORY))
        equal(members, oracle.dimension_rows(), "(2) dim_customer")
        equal(self._lake("dim_date", ("date_id",)), [(day,) for day in oracle.days()], "(2) dim_date")
        listed = self._lake("quarantine", ("table_name", "key", "resolved_batch")) if run.open_quarantine else []
        equal([row[:2] for row in listed if row[2] is None], oracle.quarantine(), "(2) open quarantine")
        with self._connect() as connection:
            self._check_warehouse(connection, oracle.batch, loaded)
        self.checked += 1

    def _check_warehouse(self, connection: psycopg.Connection, batch: int, loaded: Model) -> None:
        star = self._reader.model.name
        for table in STAR:
            cursor = connection.execute(f"SELECT * FROM {star}.{table}".encode())
            names = [column.name for column in cursor.description or ()]
            rows = [dict(zip(names, map(plain, row), strict=True)) for row in cursor.fetchall()]
            # What a load that failed has added for a model that was then taken back: there, and empty, unless a later
            # load has brought what batches of that model had written.
            unsure = set(names) & set(OPTIONAL) - loaded if table == "fact_order" else set()
            never_loaded = {name for name in unsure if all(row[name] is None for row in rows)}
            for row in rows:
                for name in never_loaded:
                    del row[name]
            common = tuple(name for name in names if name not in _ONLY_HERE | never_loaded)
            equal([tuple(row[name] for name in common) for row in rows], self._lake(table, common), f"(4) {table}")
            if table == "fact_order":
                lacking = loaded - set(names)
                assert not lacking, f"(4) fact_order lacks {sorted(lacking)}, which was loaded"
                self._check_unchanged(rows)
        runs = connection.execute("SELECT after_batch, batch FROM etl.load_ledger ORDER BY batch").fetchall()
        assert [row[0] for row in runs] == [0, *(row[1] for row in runs[:-1])], f"(4) the ledger has a gap: {runs}"
        assert runs[-1][1] == batch, f"(4) the ledger is at {runs[-1][1]}, not {batch}"
        left = connection.execute("SELECT relname FROM pg_class WHERE relname LIKE 'stage%'").fetchall()
        assert left == [], f"(6) staging tables were left: {left}"
        _, self.fingerprints[batch] = fingerprint(connection, star) or (0, ())

    def _check_unchanged(self, rows: list[dict[str, Any]]) -> None:
        """A version is closed once; optional columns are filled while it is current. Nothing else ever changes.

        A column that the warehouse has only just got brings what the lake had all the time, also of closed versions.
        """
        now = {row["order_record_id"]: row for row in rows}
        for record, before in self.versions.items():
            assert record in now, f"(5) a version is gone or was rewritten: {before}"
            may_change = _CLOSING | set(OPTIONAL) if before["is_current"] else set(OPTIONAL) - set(before)
            after = now[record]
            differing = {name: after[name] for name in after if after[name] != before.get(name)}
            done = "a version is gone or was rewritten" if before["is_current"] else "a closed version was changed"
            assert set(differing) <= may_change, f"(5) {done}: {before} -> {differing}"
        self.versions = now

    def _lake(self, name: str, columns: tuple[str, ...], *, source: bool = False) -> list[Row]:
        model = self._reader.model
        there, rows = self._whole(model.source_database if source else model.star_database, name)
        # A fact has an optional column from the first model on that declares it; a mirror must have it where it is asked.
        lacking = [column for column in columns if column not in there and (source or column not in OPTIONAL)]
        assert not lacking, f"(1) {name} lacks {lacking}"
        return [tuple(plain(row.get(column)) for column in columns) for row in rows]

    def _whole(self, database: str, name: str) -> tuple[list[str], list[dict[str, Any]]]:
        """All columns and rows of a table of the lake, which is read once for a check."""
        if (database, name) not in self._lake_tables:
            table = self._reader._table(database, name)
            assert table is not None, name
            self._lake_tables[database, name] = table.schema().column_names, table.scan().to_arrow().to_pylist()
        return self._lake_tables[database, name]


def fingerprint(connection: psycopg.Connection, star: str) -> tuple[int, Row] | None:
    """Return the ledger's batch, and what one snapshot of the warehouse shows beside it; None before the first load."""
    with connection.transaction():
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        there = connection.execute("SELECT to_regclass('etl.load_ledger') IS NOT NULL").fetchone()
        if there is None or not there[0]:
            return None
        batch = connection.execute("SELECT max(batch) FROM etl.load_ledger").fetchone()
        if batch is None or batch[0] is None:
            return None
        parts: list[Any] = []
        for table in STAR:
            # A column that a load adds is seen at once, also by older snapshots: NULL in it is no content of theirs.
            row = "jsonb_strip_nulls(to_jsonb(t))::text"
            query = f"SELECT count(*), sum(hashtextextended({row}, 0)) FROM {star}.{table} t"
            parts += connection.execute(query.encode()).fetchone() or ()
    return batch[0], tuple(parts)


class Watcher:
    """A reader of the warehouse beside the loads: whatever it sees must be exactly one published run."""

    def __init__(self, connect: Callable[[], psycopg.Connection], star: str) -> None:
        self._connect, self._star = connect, star
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self.seen: dict[int, set[Row]] = {}
        self.looks = 0

    def __enter__(self) -> Watcher:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stop.is_set():
            try:
                with self._connect() as connection:
                    while not self._stop.wait(0.5):  # it reads all of the star
                        found = fingerprint(connection, self._star)
                        self.looks += 1
                        if found is not None:
                            self.seen.setdefault(found[0], set()).add(found[1])
            except Exception:  # noqa: BLE001 - a server that restarts; the next session looks again
                self._stop.wait(0.2)

    def check(self, published: dict[int, Row]) -> None:
        """Hold what was seen against the published runs' fingerprints."""
        for batch, seen in self.seen.items():
            assert len(seen) == 1, f"(6) batch {batch} was seen in {len(seen)} forms: {seen}"
            if batch in published:
                assert seen == {published[batch]}, (
                    f"(6) batch {batch} was seen as {seen}, published was {published[batch]}"
                )

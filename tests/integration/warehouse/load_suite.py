"""What the load promises, of any warehouse: written against the protocols, run by one test class per kind.

What it takes several ticks to show is in ``test_ticks_loaded.py``: each of these is loaded into all kinds at once.

A kind's class says where a new warehouse is, and how a person's own SQL and the ledger get there; for all else the
suite asks the protocols. Schemas, tables and columns are called in SQL as the model calls them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest
from tidemark.base import storage
from tidemark.base.credentials import Credentials
from tidemark.base.errors import ReconcileError, WarehouseError
from tidemark.lake.batches import AppliedBatch
from tidemark.lake.reader import LakeReader
from tidemark.landing.area import Landing
from tidemark.model.added_columns import warehouse_columns
from tidemark.operations.compare_rows import compare_stars
from tidemark.warehouse.kinds import open_warehouse
from tidemark.warehouse.protocol import NotLoadedError, PlainRow, StoredVersion, Warehouse

from tests.integration.conftest import Harness

NewPlace = Callable[[], Credentials]
STEPS = ("create_or_evolve", "merge_calendar", "merge_dimension", "merge_fact", "present_rows", "record")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class KilledError(Exception):
    """The process dies here."""


def killed(*_: object, **__: object) -> None:
    raise KilledError


@dataclass(frozen=True)
class Meddled:
    """A warehouse whose loads let ``meddle`` know the name of each step before they take it."""

    warehouse: Warehouse
    meddle: Callable[[str], None]

    @property
    def from_scratch(self) -> str:
        return self.warehouse.from_scratch

    @contextmanager
    def load(self) -> Iterator[Any]:
        with self.warehouse.load() as load:
            yield _MeddledLoad(load, self.meddle)

    def reader(self) -> Any:
        return self.warehouse.reader()

    def forget(self) -> None:
        self.warehouse.forget()


class _MeddledLoad:
    def __init__(self, load: object, meddle: Callable[[str], None]) -> None:
        self._load, self._meddle = load, meddle

    def __getattr__(self, step: str) -> Any:
        self._meddle(step)
        return getattr(self._load, step)


class LoadSuite:
    """The suite; a subclass whose name begins with Test runs it."""

    kind: ClassVar[str]

    @pytest.fixture(scope="class")
    @classmethod
    def new_place(cls) -> NewPlace:
        """Give a function that makes a place for a warehouse in which nothing is yet."""
        raise NotImplementedError

    def ask(self, place: Credentials, statement: str) -> list[tuple[Any, ...]]:
        """Do what a person does by hand, or ask for rows; ``LEDGER`` stands for the table of the loads."""
        raise NotImplementedError

    def ledger(self, place: Credentials) -> list[tuple[Any, ...]]:
        """Each load's run, and the one before; in order."""
        return self.ask(place, "SELECT batch, after_batch FROM LEDGER ORDER BY batch")

    @pytest.fixture(scope="class")
    @classmethod
    def loaded(cls, ready: Harness, new_place: NewPlace) -> Credentials:
        """A warehouse at the third run; tests read it."""
        place = new_place()
        assert ready.load_into(open_warehouse(cls.kind, ready.model, place)) == 3
        return place

    @pytest.fixture
    def empty(self, new_place: NewPlace) -> Credentials:
        """Another, empty warehouse."""
        return new_place()

    def warehouse(self, shop: Harness, place: Credentials) -> Warehouse:
        return open_warehouse(self.kind, shop.model, place)

    def load(self, shop: Harness, place: Credentials) -> int:
        return shop.load_into(self.warehouse(shop, place))

    def rows(self, shop: Harness, place: Credentials, table: str) -> list[PlainRow]:
        with self.warehouse(shop, place).reader() as reader:
            return sorted(reader.rows(table), key=repr)

    def named(self, shop: Harness, rows: list[PlainRow], table: str) -> list[dict[str, Any]]:
        names = [column.name for column in warehouse_columns(shop.model, table)]
        return [dict(zip(names, row, strict=True)) for row in rows]

    def contents(self, shop: Harness, place: Credentials) -> dict[str, Any]:
        """All that a load writes."""
        tables = {name: self.rows(shop, place, name) for name in shop.model.star_names}
        return tables | {"the ledger": self.ledger(place)}

    def number_of_rows(self, shop: Harness, place: Credentials) -> int:
        """Rows in the star and in the ledger; their tables, empty, may be there before a load commits."""
        found = 0
        with self.warehouse(shop, place).reader() as reader:
            for name in shop.model.star_names:
                with suppress(NotLoadedError):
                    found += sum(1 for _ in reader.rows(name))
            return found + reader.loaded_through()

    def versions(self, shop: Harness, place: Credentials, *key: str) -> list[StoredVersion]:
        with self.warehouse(shop, place).reader() as reader:
            return reader.versions(shop.model.facts["fact_order"], key)

    def notes(
        self, shop: Harness, place: Credentials, order: int, moment: datetime, known: int | None = None
    ) -> list[str | None]:
        """The notes of an order's versions that were true at a moment."""
        with self.warehouse(shop, place).reader() as reader:
            rows = list(reader.as_of(shop.model.facts["fact_order"], moment, known))
        return [row["note"] for row in self.named(shop, rows, "fact_order") if row["order_id"] == order]

    def differences(self, shop: Harness, place: Credentials) -> list[Any]:
        """What is not the same in lake and warehouse, the calendar included."""
        run = last_batch(shop)
        with self.warehouse(shop, place).reader() as reader:
            found: list[Any] = list(compare_stars(reader, shop.model, shop.reader_of_the_lake(), run))
        days = {row["date_id"]: row for row in self.named(shop, self.rows(shop, place, "dim_date"), "dim_date")}
        lake = {(row["date_id"] - date(1970, 1, 1)).days: row for row in shop.lake("dim_date")}
        for day in lake.keys() | days.keys():
            here, there = dict(lake.get(day, {})), days.get(day, {})
            here.pop("recorded_batch", None)
            if here | {"date_id": day} != there:
                found.append((here, there))
        return found

    # Exactly once.

    def test_a_load_again_writes_nothing(self, ready: Harness, loaded: Credentials) -> None:
        before, steps = self.contents(ready, loaded), list[str]()
        assert ready.load_into(Meddled(self.warehouse(ready, loaded), steps.append)) == 3
        assert steps == ["loaded_through"], "it looks at the ledger, and no further"
        assert self.contents(ready, loaded) == before
        assert self.ledger(loaded) == [(3, 0)]

    def test_the_warehouse_holds_what_the_lake_holds(self, ready: Harness, loaded: Credentials) -> None:
        assert self.differences(ready, loaded) == []
        orders = self.named(ready, self.rows(ready, loaded, "fact_order"), "fact_order")
        lake = {(row["order_id"], row["version"]): row for row in ready.lake("fact_order")}
        assert len(orders) == len(lake) == 3002
        for row in orders:
            there = lake[row["order_id"], row["version"]]
            plain = ("customer_id", "amount", "note", "is_current", "is_deleted", "recorded_batch", "closed_batch")
            assert [row[name] for name in plain] == [there[name] for name in plain]
            assert row["due_date"] == (there["due_date"] - date(1970, 1, 1)).days
            for name in ("valid_from", "valid_to"):
                assert row[name] == (there[name] and (there[name] - _EPOCH) // timedelta(microseconds=1))
        customers = self.named(ready, self.rows(ready, loaded, "dim_customer"), "dim_customer")
        late = [(row["customer_id"], row["name"], row["is_deleted"]) for row in customers if row["recorded_batch"] > 1]
        assert late == [(20, "customer 20", True)]
        assert len(self.rows(ready, loaded, "dim_date")) == 365

    def test_two_loads_at_once_are_one(self, ready: Harness, empty: Credentials) -> None:
        """The second waits until the first has ended, and then finds the work done."""
        with ThreadPoolExecutor(2) as pool:
            assert list(pool.map(self.load, [ready, ready], [empty, empty])) == [3, 3]
        assert self.ledger(empty) == [(3, 0)]
        assert len(self.rows(ready, empty, "fact_order")) == 3002

    # All or nothing.

    @pytest.mark.parametrize("step", STEPS)
    def test_a_load_killed_before_its_commit_leaves_nothing(
        self, ready: Harness, empty: Credentials, step: str
    ) -> None:
        def meddle(name: str) -> None:
            if name == step:
                raise KilledError

        with pytest.raises(KilledError):
            ready.load_into(Meddled(self.warehouse(ready, empty), meddle))
        assert self.number_of_rows(ready, empty) == 0
        assert self.load(ready, empty) == 3
        assert self.differences(ready, empty) == []

    def test_a_load_killed_after_its_commit_only_removes_the_markers(
        self, ready: Harness, empty: Credentials, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with monkeypatch.context() as patched:
            patched.setattr(Landing, "publish", killed)
            with pytest.raises(KilledError):
                self.load(ready, empty)
        storage.delete(f"{ready.landing.uri}/published.json")
        ready.landing.mark_pending(3)
        before = self.contents(ready, empty)
        assert self.load(ready, empty) == 3
        assert self.contents(ready, empty) == before
        assert ready.pending() == []
        assert ready.landing.published() == 3

    def test_a_difference_rolls_everything_back(
        self, ready: Harness, empty: Credentials, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with monkeypatch.context() as patched:
            patched.setattr(LakeReader, "present_rows", lambda *_: 2998)
            with pytest.raises(ReconcileError) as failed:
                self.load(ready, empty)
        said = str(failed.value)
        assert "batch 3 does not reconcile: dim_customer: source 19 less 0 held back, lake 2998, warehouse 19; " in said
        assert "fact_order: source 2999 less 0 held back, lake 2998, warehouse 2999" in said
        assert self.number_of_rows(ready, empty) == 0
        assert self.load(ready, empty) == 3

    def test_nothing_is_seen_before_the_commit(self, ready: Harness, empty: Credentials) -> None:
        seen: dict[str, int] = {}

        def meddle(step: str) -> None:
            if step in ("merge_fact", "present_rows", "record"):
                seen[step] = self.number_of_rows(ready, empty)

        assert ready.load_into(Meddled(self.warehouse(ready, empty), meddle)) == 3
        assert seen == {"merge_fact": 0, "present_rows": 0, "record": 0}
        assert self.number_of_rows(ready, empty) > 3002

    # What does not belong together.

    def test_a_warehouse_of_another_lake_is_refused(
        self, ready: Harness, empty: Credentials, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.load(ready, empty)
        runs, ours = LakeReader.batches, last_batch(ready).lake_id

        def others(self: LakeReader, condition: str | None = None) -> list[AppliedBatch]:
            return [replace(run, lake_id="other") for run in runs(self, condition)]

        before = self.contents(ready, empty)
        monkeypatch.setattr(LakeReader, "batches", others)
        said = rf"was loaded from another lake \(up to batch 3\); expected: lake id {ours}, found other; to do: "
        with pytest.raises(WarehouseError, match=said):
            self.load(ready, empty)
        assert self.contents(ready, empty) == before

    def test_a_warehouse_ahead_of_its_lake_is_refused(self, ready: Harness, empty: Credentials) -> None:
        self.load(ready, empty)
        warehouse, run = self.warehouse(ready, empty), last_batch(ready)
        with warehouse.load() as load:
            assert load.loaded_through(run.lake_id) == 3
            load.record(SimpleNamespace(applied=replace(run, batch=9), after=3), {}, {})
        with pytest.raises(
            WarehouseError,
            match=r"the warehouse is at batch 9, ahead of the lake at batch 3; expected: a lake that is never set back; "
            rf"to do: restore the lake's bucket, or {warehouse.from_scratch} to load from scratch",
        ):
            self.load(ready, empty)
        assert self.ledger(empty) == [(3, 0), (9, 3)]

    def test_a_lake_without_runs_is_nothing_to_load(
        self, module_pipelines: Callable[[], Harness], empty: Credentials
    ) -> None:
        shop = module_pipelines()
        assert self.load(shop, empty) == 0
        with self.warehouse(shop, empty).reader() as reader:
            assert reader.loaded_through() == 0
            fact, dimension = shop.model.facts["fact_order"], shop.model.dimensions["dim_customer"]
            for ask in (
                lambda: reader.rows("dim_date"),
                lambda: reader.present_rows(dimension),
                lambda: reader.versions(fact, ["5"]),
                lambda: list(reader.as_of(fact, _EPOCH)),
            ):
                with pytest.raises(NotLoadedError, match=rf"the warehouse has no {shop.model.name}\.\w+ yet"):
                    ask()

    # Asked by people.

    def test_present_and_past_are_one_question_away(self, ready: Harness, loaded: Credentials) -> None:
        (first, second, third) = self.versions(ready, loaded, "5")
        assert (first.valid_to, second.valid_to, third.valid_to) == (second.valid_from, third.valid_from, None)
        assert [one.values["note"] for one in (first, second, third)] == [None, "second", "third"]
        assert [(one.number, one.recorded_batch, one.closed_batch) for one in (first, second, third)] == [
            (1, 1, 2),
            (2, 2, 3),
            (3, 3, None),
        ]
        with self.warehouse(ready, loaded).reader() as reader:
            counts = [reader.present_rows(table) for table in ready.model.star_tables]
            assert dict(zip([table.name for table in ready.model.star_tables], counts, strict=True)) == {
                "dim_customer": 19,
                "fact_order": 2999,
            }
        assert self.versions(ready, loaded, "987654") == []
        with pytest.raises(ValueError, match="five"):
            self.versions(ready, loaded, "five")

        assert self.notes(ready, loaded, 5, first.valid_from) == [None]
        assert self.notes(ready, loaded, 5, second.valid_from) == ["second"], "true from its begin on, not at its end"
        assert self.notes(ready, loaded, 5, third.valid_from) == ["third"]
        assert self.notes(ready, loaded, 5, datetime(2020, 1, 1, tzinfo=UTC)) == []
        assert self.notes(ready, loaded, 5, third.valid_from, 1) == [None], "as far as batch 1 knew"
        assert self.notes(ready, loaded, 5, third.valid_from, 2) == ["second"]
        assert self.notes(ready, loaded, 5, third.valid_from, 3) == ["third"]
        (gone,) = self.versions(ready, loaded, "6")
        assert gone.is_deleted
        assert gone.valid_to is not None
        assert self.notes(ready, loaded, 6, gone.valid_to - timedelta(microseconds=1)) == ["note 6"]
        assert self.notes(ready, loaded, 6, gone.valid_to) == []
        assert self.notes(ready, loaded, 6, gone.valid_to, 2) == ["note 6"], "batch 2 did not know of its end"

    def test_what_is_forgotten_is_loaded_again(self, ready: Harness, empty: Credentials) -> None:
        warehouse = self.warehouse(ready, empty)
        warehouse.forget()
        self.load(ready, empty)
        before = self.contents(ready, empty)
        warehouse.forget()
        assert self.number_of_rows(ready, empty) == 0
        assert self.load(ready, empty) == 3
        assert self.contents(ready, empty) == before

    # What test_ticks_loaded.py asks.

    def grown(self, shop: Harness, place: Credentials) -> None:
        """Look at what else a kind makes of a model that grew."""


def last_batch(shop: Harness) -> AppliedBatch:
    run = shop.reader_of_the_lake().last_batch()
    assert run is not None
    return run

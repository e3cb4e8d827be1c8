"""A campaign in one process: source work, ticks, faults at the boundaries of the jobs, and the oracle after each tick."""

from __future__ import annotations

import random
from collections import Counter
from contextlib import AbstractContextManager, nullcontext
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from tidemark.lake_reader import LakeReader

from tests.fuzz.checks import Published, Watcher
from tests.fuzz.oracle import Oracle, State, plain
from tests.fuzz.sabotage import BadNetwork, KilledError, Sabotage, When
from tests.fuzz.source_work import SourceWork
from tests.integration.conftest import PROCESSED

if TYPE_CHECKING:
    from collections.abc import Callable

    from local_stack.databases import Credentials
    from tests.integration.conftest import Pipeline

# Where the shop's jobs can die. What a tick has nothing to write to is not reached, and the tick then goes through.
DEADLY: Final = (
    *("data files", "put manifests", "put pending", "put published", "delete pending", "publish"),
    *("append orders", "merge orders", "merge customer", "merge country", "merge stock", "merge tag"),
    *("append fact_order", "merge fact_order", "append dim_customer", "merge dim_customer", "append dim_date"),
    *("merge quarantine", "append etl_runs"),
    *("stage dim_customer", "stage fact_order", "load dim_customer", "load fact_order", "ledger", "warehouse commit"),
)
_TERMINATE: Final = (
    "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
    " WHERE datname = current_database() AND application_name LIKE 'tidemark%'"
)


class Campaign:
    """One shop under fire.

    Parameters
    ----------
    shop
        A fresh one, grown by :func:`tests.fuzz.shop.grow`.
    seed
        Decides work and faults.
    """

    def __init__(self, shop: Pipeline, seed: int) -> None:
        self.shop, self.seed = shop, seed
        self._random = random.Random(seed)  # noqa: S311 - not for secrets
        self.work = SourceWork(shop.source.connect, seed)
        self.oracle = Oracle()
        warehouse = shop.warehouse()
        self.published = Published(LakeReader(shop.model, PROCESSED), warehouse.connect)
        self.watcher = Watcher(warehouse.connect, shop.model.name)
        self.counts: Counter[str] = Counter()

    def run(self, ticks: int) -> None:
        """Tick so often; the last time without a fault. A failure carries the seed and the log of the work."""
        try:
            with self.watcher:
                for number in range(ticks):
                    self.work.work(self._random.randint(8, 25))
                    self.tick(None if number in (0, ticks - 1) else self._fault())
            self.watcher.check(self.published.fingerprints)
        except BaseException as error:
            error.add_note(self.report())
            raise
        finally:
            self.work.finish()

    def tick(self, fault: Fault | None) -> None:
        """Run the three jobs; only with a fault may they fail. A tick that ends well is checked."""
        self.counts["ticks"] += 1
        self.work.log.append(f"-- tick, {fault or 'no fault'}")
        accept = {"accept": "*", "full": self._random.random() < 0.1}
        accept["landing_format"] = self._random.choice(["parquet", "parquet", "csv"])
        try:
            with fault.armed() if fault else nullcontext():
                self._jobs(accept)
        except (KilledError, Exception) as error:
            if fault is None or not fault.struck or isinstance(error, AssertionError):
                raise
            self.work.log.append(f"-- the tick failed: {type(error).__name__}: {str(error)[:150]}")
            self.counts[f"failed: {fault.kind}"] += 1
            self._observe()
            return
        if fault is not None and fault.struck:
            self.counts[f"survived: {fault.kind}"] += 1
        self.published.check(self.oracle)
        assert self.shop.pending() == []
        assert self.shop.landing.published() == self.oracle.seq

    def _jobs(self, options: dict[str, Any]) -> None:
        manifest = self.shop.extract(**options)
        self._observe()
        if manifest is None:
            assert State.take_from(self.shop.source) == self.oracle.state, "an idle tick, and the source has changed"
            self.counts["idle"] += 1
        if self.shop.pending():
            self.shop.transform()
            self.shop.load()

    def _observe(self) -> None:
        """Ask the source what the manifests show that were committed just now: it was quiet since."""
        for seq in self.shop.landing.after(self.oracle.seq):
            cut = plain(datetime.fromisoformat(self.shop.landing.read(seq).cut.time))
            assert isinstance(cut, datetime)
            self.oracle.observe(seq, cut, State.take_from(self.shop.source))

    def _fault(self) -> Fault | None:
        kind = self._random.choices(["kill", "network", "source", "warehouse", ""], [8, 3, 1, 1, 1])[0]
        when: When = self._random.choice(["before", "after"])
        if kind == "kill":
            return Fault(kind, Sabotage(self._random.choice(DEADLY), when))
        if kind == "network":
            unlike_the_work = random.Random(self._random.random())  # noqa: S311 - not for secrets
            return Fault(kind, BadNetwork(unlike_the_work, self._random.choice([3, 10, 60])))
        if kind == "source":
            return Fault(kind, Sabotage("data files", "before", _terminator(self.shop.source)))
        if kind == "warehouse":
            boundary = self._random.choice(["stage fact_order", "load dim_customer", "ledger", "warehouse commit"])
            return Fault(kind, Sabotage(boundary, "before", _terminator(self.shop.warehouse())))
        return None

    def report(self) -> str:
        """Seed, counts and the end of the log."""
        done = ", ".join(f"{count} {what}" for what, count in sorted(self.counts.items()))
        told = "\n".join(self.work.log[-400:])
        return f"seed {self.seed}: {self.work.writes} rows written, {done}, {self.watcher.looks} looks\n{told}"


class Fault:
    """A fault of some kind, whatever does it."""

    def __init__(self, kind: str, by: Sabotage | BadNetwork) -> None:
        self.kind, self.by = kind, by

    def armed(self) -> AbstractContextManager[object]:
        return self.by.armed()

    @property
    def struck(self) -> bool:
        """Whether it has happened."""
        return self.by.fired if isinstance(self.by, Sabotage) else bool(self.by.suffered)

    def __str__(self) -> str:
        by = self.by
        return (
            f"{self.kind} {by.when} {by.boundary}" if isinstance(by, Sabotage) else f"{self.kind}, {by.budget} faults"
        )


def _terminator(database: Credentials) -> Callable[[], None]:
    """End the jobs' sessions in a database, as an administrator may."""

    def terminate() -> None:
        with database.connect() as connection:
            connection.execute(_TERMINATE.encode())

    return terminate

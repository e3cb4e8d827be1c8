"""A campaign in one process: source work, ticks, faults at the boundaries of the jobs, and the oracle after each tick.

Between two ticks the model may change and the lake's files may be compacted, whatever the last one has left behind.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Final

from tests import servers
from tests.fuzz.checks import Watcher
from tests.fuzz.models import SWITCHES, named
from tests.fuzz.sabotage import BadNetwork, KilledError, Sabotage, When, terminator
from tests.fuzz.scene import Scene
from tests.fuzz.source_work import SourceWork
from tests.integration.conftest import by_spark_alone

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.integration.conftest import Harness

# Where the shop's jobs can die. What a tick has nothing to write to is not reached, and the tick then goes through.
DEADLY: Final = (
    *("data files", "put manifests", "put pending", "put published", "delete pending", "publish"),
    *("append orders", "merge orders", "merge customer", "merge country", "merge stock", "merge tag"),
    *("append staff", "merge staff", "create"),
    *("append fact_order", "merge fact_order", "append dim_customer", "merge dim_customer", "append dim_date"),
    *("merge quarantine", "append etl_batches"),
    *("stage dim_customer", "stage fact_order", "load dim_customer", "load fact_order", "ledger", "warehouse commit"),
)
# Where a death leaves a manifest that nothing was published of, whatever was to do: another model may have to apply it.
LEAVING: Final[tuple[tuple[str, When], ...]] = (("put manifests", "after"), ("append etl_batches", "before"))

_COMPACTIONS: Final = 0.03
_MAINTENANCES: Final = 0.06
_BY_SPARK: Final = 0.3


class Campaign:
    """One shop under fire.

    Parameters
    ----------
    shop
        A fresh one, grown by :func:`tests.fuzz.shop.grow`.
    seed
        Decides work and faults.
    say
        Is told of each tick.
    """

    def __init__(self, shop: Harness, seed: int, say: Callable[[str], None]) -> None:
        self.shop, self.seed, self._say = shop, seed, say
        self._random = random.Random(seed)  # noqa: S311 - not for secrets
        self._maintenance = random.Random(seed)  # noqa: S311 - not for secrets
        self.work = SourceWork(shop.source.connect, seed)
        self.scene = Scene(shop)
        self.watcher = Watcher(shop.warehouse().connect, shop.model.name)
        self.counts: Counter[str] = Counter()

    def run(self, ticks: int, seconds: float = 0.0) -> None:
        """Tick so often, and on for so long; then once without a fault. A failure carries seed, counts and log."""
        deadline = time.monotonic() + seconds
        try:
            with self.watcher, servers.clerk(self.shop.new_database("clerks").connect, 0.05):
                while self.counts["ticks"] < ticks or time.monotonic() < deadline:
                    self.work.work(self._random.randint(8, 25))
                    self._change_model()
                    self._maintain()
                    fault = self._fault()
                    self.tick(fault)
                    self._say(f"tick {self.counts['ticks']}: {fault or 'no fault'}; cut {self.scene.oracle.batch}")
                self.tick(None)
            self.watcher.check(self.scene.published.fingerprints)
        except BaseException as error:
            error.add_note("\n".join([self.summary(), *self.work.log[-400:]]))
            raise
        finally:
            self.work.finish()

    def _change_model(self) -> None:
        """Sometimes switch a part of the model on or off; rather when something waits that the present one has read."""
        if self._random.random() < (0.75 if self.scene.waiting else 0.25):
            self.scene.turn(self._random.choice(SWITCHES))
            self.counts["model changes"] += 1
            self.work.log.append(f"-- the model is now: {named(self.scene.model)}")

    def _maintain(self) -> None:
        """Sometimes rewrite the lake's files, as Glue's optimizer may, or maintain it, whatever a tick has left."""
        chance = self._maintenance.random()
        if chance < _COMPACTIONS:
            self.scene.compact()
            self.counts["compactions"] += 1
            self.work.log.append("-- compaction")
        elif chance < _COMPACTIONS + _MAINTENANCES:
            self.scene.maintain(days_later=self._maintenance.choice([0, 2, 30]))
            self.counts["maintenances"] += 1
            self.work.log.append("-- maintenance")

    def tick(self, fault: Fault | None) -> None:
        """Run the three jobs; only with a fault may they fail. A tick that ends well is checked."""
        self.counts["ticks"] += 1
        self.work.log.append(f"-- tick, {fault or 'no fault'}")
        full = self._random.random() < 0.1
        landing_format = self._random.choice(["parquet", "parquet", "csv"])
        by_spark = by_spark_alone() if self._random.random() < _BY_SPARK else nullcontext()
        try:
            with fault.armed() if fault else nullcontext(), by_spark:
                self.scene.run_jobs(full=full, landing_format=landing_format)
        except (KilledError, Exception) as error:
            if fault is None or not fault.struck or isinstance(error, AssertionError):
                raise
            self.work.log.append(f"-- the tick failed: {type(error).__name__}: {str(error)[:150]}")
            self.counts[f"failed: {fault.kind}"] += 1
            self.scene.observe()
            self._settle()
            return
        if fault is not None and fault.struck:
            self.counts[f"survived: {fault.kind}"] += 1
        self._settle()
        self.scene.check()

    def _settle(self) -> None:
        if self.scene.settle():
            self.counts["ticks that applied what another model had read"] += 1

    def _fault(self) -> Fault | None:
        kind = self._random.choices(["kill", "leave", "network", "source", "warehouse", ""], [6, 4, 3, 1, 1, 1])[0]
        when: When = self._random.choice(["before", "after"])
        if kind == "kill":
            return Fault(kind, Sabotage(self._random.choice(DEADLY), when))
        if kind == "leave":
            return Fault("kill", Sabotage(*self._random.choice(LEAVING)))
        if kind == "network":
            unlike_the_work = random.Random(self._random.random())  # noqa: S311 - not for secrets
            return Fault(kind, BadNetwork(unlike_the_work, self._random.choice([3, 10, 60])))
        if kind == "source":
            return Fault(kind, Sabotage("data files", "before", terminator(self.shop.source)))
        if kind == "warehouse":
            boundary = self._random.choice(["stage fact_order", "load dim_customer", "ledger", "warehouse commit"])
            return Fault(kind, Sabotage(boundary, "before", terminator(self.shop.warehouse())))
        return None

    def summary(self) -> str:
        """Seed and counts."""
        done = ", ".join(f"{count} {what}" for what, count in sorted(self.counts.items()))
        cuts, checked = self.scene.oracle.batch, self.scene.published.checked
        return (
            f"campaign, seed {self.seed}: {self.work.writes} rows written, {cuts} cuts, {checked} checked, {done}, "
            f"{self.watcher.looks} looks at the warehouse"
        )


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

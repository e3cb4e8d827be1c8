"""A shop, its oracle and its checks: what a test needs to let a job die and to see what the next tick makes of it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from tidemark.base.quoting import spark as quoted
from tidemark.base.quoting import spark_literal
from tidemark.base.spark import CATALOG
from tidemark.lake.reader import LakeReader
from tidemark.lake.retention import Retention

from tests.fuzz.answers import State
from tests.fuzz.checks import Published, observe
from tests.fuzz.models import BASE, OPTIONAL, Model, ModelFolder
from tests.fuzz.oracle import Oracle
from tests.fuzz.sabotage import KilledError, Sabotage
from tests.integration.conftest import PROCESSED

if TYPE_CHECKING:
    from tests.integration.conftest import Harness

_FROM_TWO_FILES: Final = "map('min-input-files', '2')"


class Scene:
    """One shop that is watched by the oracle, under the model that :meth:`turn` has left."""

    def __init__(self, shop: Harness) -> None:
        self.shop = shop
        self.oracle = Oracle()
        self.model: Model = BASE
        self._folder = ModelFolder(shop.folder)
        self._lake = LakeReader(shop.model, PROCESSED)
        self._loaded = (0, BASE)  # up to which run; the optional columns of all models that were loaded
        self.published = Published(self._lake, shop.warehouse().connect)

    def turn(self, switch: str) -> None:
        """Switch a part of the model on or off; nothing may run. What was applied before is settled first."""
        self.settle()
        self.model = self.model ^ {switch}
        self._folder.write(self.model)

    def compact(self) -> None:
        """Rewrite the files of each of the lake's tables into few."""
        spark, model = self.shop.spark, self.shop.model
        there = {row["namespace"] for row in spark.sql(f"SHOW NAMESPACES IN {CATALOG}").collect()}
        for database in sorted(there.intersection([model.source_database, model.star_database])):
            for row in spark.sql(f"SHOW TABLES IN {quoted(CATALOG, database)}").collect():
                name = spark_literal(f"{database}.{row['tableName']}")
                spark.sql(f"CALL {CATALOG}.system.rewrite_data_files(table => {name}, options => {_FROM_TWO_FILES})")

    def maintain(self, days_later: int) -> None:
        """Maintain the lake as some days later; next to nothing is kept, so that whatever is missed is gone."""
        self.shop.maintain(Retention(1, 0), now=datetime.now(UTC) + timedelta(days=days_later))

    def observe(self) -> None:
        """Ask the source what the manifests show that were committed just now: it was quiet since."""
        observe(self.oracle, self.shop.landing, self.shop.source, self.model)

    def settle(self) -> int:
        """Let the oracle apply what the jobs have, by the present model; return how much another had read."""
        before, run = self.oracle.foreign, self._lake.last_batch()
        if run is not None:
            self.oracle.apply(run.batch, self.model)
        loaded, columns = self._loaded
        if self.ledger() > loaded:
            self._loaded = self.ledger(), columns | self.model.intersection(OPTIONAL)
        return self.oracle.foreign - before

    @property
    def waiting(self) -> bool:
        """Whether a cut is landed that is not applied yet."""
        return self.oracle.applied < self.oracle.batch

    def ledger(self) -> int:
        """The last run that the warehouse has."""
        warehouse = self.shop.warehouse()
        if self.shop.query("SELECT to_regclass('etl.load_ledger')", warehouse) == [(None,)]:
            return 0
        return int(self.shop.query("SELECT coalesce(max(batch), 0) FROM etl.load_ledger", warehouse)[0][0])

    def tick(self) -> None:
        """Run the three jobs, and check."""
        self.run_jobs()
        self.check()

    def run_jobs(self, **options: Any) -> None:
        """Run the three jobs as the state machine does; deletes are meant."""
        manifest = self.shop.extract(accept="*", **options)
        self.observe()
        if manifest is None:
            assert self.model == self.oracle.model, "the tick was idle, and the model has changed"
            state, before = State.take_from(self.shop.source), self.oracle.state
            unchanged = before is not None and state.seen(self.model) == before.seen(self.model)
            assert unchanged, "the tick was idle, and the source has changed"
        if self.shop.pending():
            self.shop.transform()
            self.shop.load()

    def check(self) -> None:
        """Check all that must hold after a tick that ended at Published."""
        self.settle()
        self.published.check(self.oracle, self._loaded[1])
        assert self.shop.pending() == []
        assert self.shop.landing.published() == self.oracle.batch

    def dies(self, job: Callable[[], object], when_and_where: str) -> None:
        """Let a job die at one boundary."""
        when, boundary = when_and_where.split(" ", 1)
        sabotage = Sabotage(boundary, "before" if when == "before" else "after")
        with sabotage.armed(), suppress(KilledError):
            job()
        assert sabotage.fired, f"{when_and_where} was not reached, but {sabotage.reached}"

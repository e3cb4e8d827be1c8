"""A shop, its oracle and its checks: what a test needs to let a job die and to see what the next tick makes of it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from tidemark.lake_reader import LakeReader

from tests.fuzz.checks import Published, observe
from tests.fuzz.oracle import Oracle, State
from tests.fuzz.sabotage import KilledError, Sabotage
from tests.integration.conftest import PROCESSED

if TYPE_CHECKING:
    from tests.integration.conftest import Pipeline


class Scene:
    """One shop that is watched by the oracle."""

    def __init__(self, shop: Pipeline) -> None:
        self.shop = shop
        self.oracle = Oracle()
        self.published = Published(LakeReader(shop.model, PROCESSED), shop.warehouse().connect)

    def observe(self) -> None:
        """Ask the source what the manifests show that were committed just now: it was quiet since."""
        observe(self.oracle, self.shop.landing, self.shop.source)

    def ledger(self) -> int:
        """The last run that the warehouse has."""
        return int(self.shop.query("SELECT max(seq) FROM etl.load_ledger", self.shop.warehouse())[0][0])

    def tick(self) -> None:
        """Run the three jobs, and check."""
        self.run_jobs()
        self.check()

    def run_jobs(self, **options: Any) -> None:
        """Run the three jobs as the state machine does; deletes are meant."""
        manifest = self.shop.extract(accept="*", **options)
        self.observe()
        if manifest is None:
            state = State.take_from(self.shop.source)
            assert state == self.oracle.state, "the tick was idle, and the source has changed"
        if self.shop.pending():
            self.shop.transform()
            self.shop.load()

    def check(self) -> None:
        """Check all that must hold after a tick that ended at Published."""
        self.published.check(self.oracle)
        assert self.shop.pending() == []
        assert self.shop.landing.published() == self.oracle.seq

    def dies(self, job: Callable[[], object], when_and_where: str) -> None:
        """Let a job die at one boundary."""
        when, boundary = when_and_where.split(" ", 1)
        sabotage = Sabotage(boundary, "before" if when == "before" else "after")
        with sabotage.armed(), suppress(KilledError):
            job()
        assert sabotage.fired, f"{when_and_where} was not reached, but {sabotage.reached}"

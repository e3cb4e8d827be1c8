"""A short campaign with a fixed seed; ``make fuzz`` runs long ones, with real kills (docs/guarantees.md)."""

from __future__ import annotations

import os

import pytest

from tests.fuzz.campaign import Campaign
from tests.integration.conftest import Pipeline

# A death after the first facts, a bad network, a death right after the warehouse commit; and so it goes on for SECONDS.
SEED = int(os.environ.get("FUZZ_SEED", "2418"))
SECONDS = float(os.environ.get("FUZZ_SECONDS", "0"))
TICKS = 3


@pytest.fixture(scope="module")
def campaign(grown_shop: Pipeline) -> Campaign:
    return Campaign(grown_shop, SEED)


def test_random_work_and_random_faults_leave_no_trace(campaign: Campaign) -> None:
    campaign.run(TICKS, SECONDS)
    print(f"\n{campaign.summary()}")  # noqa: T201 - shown by pytest -s
    assert campaign.scene.published.checked >= 1
    assert campaign.watcher.looks > 0


def test_the_checks_notice_what_is_wrong(campaign: Campaign) -> None:
    scene = campaign.scene
    if not scene.oracle.seq:
        scene.tick()
    scene.check()
    warehouse = scene.shop.warehouse()

    def change(statement: str) -> None:
        with warehouse.connect() as connection:
            connection.execute(statement.format(fact=f"{scene.shop.model.name}.fact_order").encode())

    row = "WHERE order_record_id = (SELECT max(order_record_id) FROM {fact})"
    change(f"UPDATE {{fact}} SET amount = amount + 1 {row}")
    with pytest.raises(AssertionError, match=r"\(4\) fact_order: found but not expected"):
        scene.check()
    change(f"UPDATE {{fact}} SET amount = amount - 1 {row}")

    change(f"UPDATE {{fact}} SET order_record_id = DEFAULT {row}")
    with pytest.raises(AssertionError, match=r"\(5\) a version is gone or was rewritten"):
        scene.check()

    chain = next(iter(scene.oracle.chains.values()))
    version = chain.pop()
    with pytest.raises(AssertionError, match=r"\(3\) fact_order: found but not expected"):
        scene.check()
    chain.append(version)

    assert scene.oracle.state is not None
    scene.oracle.state.tables["tag"].append(("never", "there"))
    with pytest.raises(AssertionError, match=r"\(1\) mirror tag: .* expected but not found \[\('never', 'there'\)\]"):
        scene.check()

    campaign.watcher.seen[scene.oracle.seq] = {(1,), (2,)}
    with pytest.raises(AssertionError, match=r"\(6\) run \d+ was seen in 2 forms"):
        campaign.watcher.check({})

"""A short campaign with a fixed seed; ``make fuzz`` runs long ones, with real kills (docs/guarantees.md)."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.fuzz.answers import FACT_COLUMNS
from tests.fuzz.campaign import Campaign
from tests.fuzz.scene import Scene
from tests.integration.conftest import Harness

# The first tick dies before it is recorded; the model gets a table that what waits has not, and a bad network. The third
# dies as the first did; the model gets a column that what waits has not, and a death right after the warehouse commit.
# And so it goes on for SECONDS.
SEED = int(os.environ.get("FUZZ_SEED", "46131"))
SECONDS = float(os.environ.get("FUZZ_SECONDS", "0"))
TICKS = int(os.environ.get("FUZZ_TICKS", "4"))
SEEDS = range(SEED, SEED + int(os.environ.get("FUZZ_CAMPAIGNS", "1")))


@pytest.fixture(scope="module")
def campaign(request: pytest.FixtureRequest, grow_shop: Callable[[int], Harness]) -> Campaign:
    seed: int = request.param
    return Campaign(grow_shop(seed), seed, lambda line: print(line, flush=True))  # noqa: T201 - shown by pytest -s


@pytest.mark.parametrize("campaign", SEEDS, indirect=True)
def test_random_work_and_random_faults_leave_no_trace(campaign: Campaign) -> None:
    campaign.run(TICKS, SECONDS)
    print("", campaign.summary(), sep="\n")  # noqa: T201 - shown by pytest -s
    assert campaign.scene.published.checked >= 1
    assert campaign.watcher.looks > 0
    assert campaign.counts["model changes"] > 0
    assert campaign.counts["ticks that applied what another model had read"] > 0


@pytest.mark.parametrize("campaign", SEEDS[:1], indirect=True)
def test_the_checks_notice_what_is_wrong(campaign: Campaign) -> None:
    scene = campaign.scene
    scene.tick()
    if "shelf" not in scene.model:
        scene.turn("shelf")
    scene.shop.execute("UPDATE orders SET amount = amount + 1 WHERE order_id < 50")
    scene.tick()
    warehouse = scene.shop.warehouse()

    def change(statement: str) -> None:
        with warehouse.connect() as connection:
            connection.execute(statement.format(fact=f"{scene.shop.model.name}.fact_order").encode())

    row = "WHERE order_record_id = (SELECT max(order_record_id) FROM {fact})"
    change(f"UPDATE {{fact}} SET amount = amount + 1 {row}")
    with pytest.raises(AssertionError, match=r"\(4\) fact_order: found but not expected"):
        scene.check()
    change(f"UPDATE {{fact}} SET amount = amount - 1 {row}")

    _a_wrong_fill_is_noticed(scene, change)

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

    campaign.watcher.seen[scene.oracle.batch] = {(1,), (2,)}
    with pytest.raises(AssertionError, match=r"\(6\) batch \d+ was seen in 2 forms"):
        campaign.watcher.check({})


def _a_wrong_fill_is_noticed(scene: Scene, change: Callable[[str], None]) -> None:
    """In the warehouse alone; in both; in a version that had ended, where the same in a current one is right."""
    which = "WHERE order_record_id = (SELECT max(order_record_id) FROM {fact} WHERE is_current AND shelf IS NOT NULL)"
    change(f"UPDATE {{fact}} SET shelf = shelf || '!' {which}")
    with pytest.raises(AssertionError, match=r"\(4\) fact_order: found but not expected"):
        scene.check()
    change(f"UPDATE {{fact}} SET shelf = left(shelf, -1) {which}")

    key, chain = next((key, chain) for key, chain in scene.oracle.chains.items() if chain[-1].valid_to is None)
    version = chain[-1]
    place = FACT_COLUMNS.index("shelf")
    wrong = (*version.row[:place], "another", *version.row[place + 1 :])
    chain[-1] = replace(version, row=wrong)
    with pytest.raises(AssertionError, match=rf"\(3\) fact_order: found but not expected \[\({key}, "):
        scene.check()
    chain[-1] = version

    current = next(row for row in scene.published.versions.values() if row["is_current"])
    current["shelf"] = "as it was"
    scene.check()
    closed = next(row for row in scene.published.versions.values() if not row["is_current"])
    shelf, closed["shelf"] = closed["shelf"], "as it was"
    with pytest.raises(AssertionError, match=r"\(5\) a closed version was changed"):
        scene.check()
    closed["shelf"] = shelf

"""``tidemark demo`` as a user runs it, once: what it says, what it writes, and that it leaves nothing behind."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]
import pytest

TABLES = {
    *("address", "counterparty", "currency", "department", "staff", "design", "payment_type"),
    *("sales_order", "purchase_order", "transaction", "payment"),
}
FACTS = {"fact_sales_order", "fact_purchase_order", "fact_payment"}
COMMAND = (sys.executable, "-c", "from tidemark_cli.main import main; main()", "demo")
TIME_LIMIT_SECONDS = 900


@dataclass(frozen=True)
class Demo:
    """One finished demo."""

    code: int
    output: str
    figures: dict[str, Any]
    state_dir: Path


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Demo:
    folder = tmp_path_factory.mktemp("demo")
    state_dir, figures = folder / "state", folder / "figures.json"
    done = subprocess.run(  # noqa: S603 - our own command
        [*COMMAND, "--state", str(state_dir), "--json", str(figures)],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=TIME_LIMIT_SECONDS,
        check=False,
    )
    return Demo(done.returncode, done.stdout + done.stderr, json.loads(figures.read_text()), state_dir)


def versions(demo: Demo, fact: str, key: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = demo.figures["versions"][f"{fact} {demo.figures[key]}"]
    return found


def test_every_figure_agrees(demo: Demo) -> None:
    assert demo.code == 0, demo.output
    assert demo.figures["ok"] is True
    assert demo.figures["disagreeing"] == []
    assert demo.figures["error"] == ""
    assert demo.figures["checks"] > 40


def test_the_output_is_short_and_plain(demo: Demo) -> None:
    lines = demo.output.splitlines()
    assert "\x1b" not in demo.output
    assert "Traceback" not in demo.output
    assert len(lines) <= 150
    assert max(map(len, lines)) <= 130


def test_the_ticks_end_where_they_must(demo: Demo) -> None:
    ends = [(tick["tick"], tick["status"], tick["ended_at"]) for tick in demo.figures["executions"]]
    assert ends == [
        ("first", "SUCCEEDED", "Published"),
        ("second", "SUCCEEDED", "Published"),
        ("third", "SUCCEEDED", "Published"),
        ("idle", "SUCCEEDED", "NothingToDo"),
    ]
    assert "TransformToLake" not in demo.figures["executions"][3]["states"]
    assert demo.figures["idle_tick"]["before"] == demo.figures["idle_tick"]["after"]
    assert demo.figures["idle_tick"]["after"]["manifests"] == 3


def test_the_first_tick_takes_everything(demo: Demo) -> None:
    first = demo.figures["first_tick"]
    assert set(first["source"]) == TABLES
    assert first["landed"] == first["source"]
    assert first["source"]["payment"] > 13_000


def test_a_payment_is_due_then_paid(demo: Demo) -> None:
    due, paid = versions(demo, "fact_payment", "payment")
    assert due["valid_to"] == paid["valid_from"]
    assert "07:55:11" in paid["valid_from"]
    assert paid["changed"]["paid"] is True
    assert (due["recorded_batch"], due["closed_batch"]) == (1, 2)
    assert (paid["recorded_batch"], paid["closed_batch"]) == (2, None)


def test_a_silent_change_makes_a_version(demo: Demo) -> None:
    before, after = versions(demo, "fact_sales_order", "silent_order")
    assert list(after["changed"]) == ["design_id"]
    assert before["valid_to"] == after["valid_from"]


def test_a_deleted_order_is_closed_and_kept(demo: Demo) -> None:
    (only,) = versions(demo, "fact_sales_order", "deleted_order")
    assert only["is_deleted"] is True
    assert only["closed_batch"] == 2


def test_the_late_order_arrives_in_the_tick_after_its_commit(demo: Demo) -> None:
    assert demo.figures["second_tick"]["late_order_seen"] == 0
    assert demo.figures["late_order"]["recorded_batch"] == [3]


def test_as_of(demo: Demo) -> None:
    assert len(demo.figures["as_of"]) >= 6
    assert all(row["answer"] == row["expected"] for row in demo.figures["as_of"])
    assert any(row["answer"] > 1 for row in demo.figures["as_of"])


def test_source_lake_and_warehouse_are_equal(demo: Demo) -> None:
    lines = demo.figures["reconciliation"]
    assert {line["source"] for line in lines} == TABLES
    assert {line["star"] for line in lines} >= FACTS
    for line in lines:
        assert line["equal"], line
        assert line["source_now"] == line["lake"], line
        if line["star"]:
            assert line["source_now"] == line["star_lake"] == line["warehouse"], line
        else:
            assert line["part_of"], line
    contents = demo.figures["contents"]
    assert set(contents) == FACTS
    assert all(found["source"] == found["warehouse"] for found in contents.values())
    assert len({found["source"][1] for found in contents.values()}) == 3


def test_revenue_is_shown(demo: Demo) -> None:
    assert len(demo.figures["revenue"]["rows"]) == 5
    assert "2024-08" in demo.figures["revenue"]["months"]


def test_nothing_is_left_running_and_no_database_behind(demo: Demo) -> None:
    assert demo.figures["stopped"] is True
    place = str(demo.state_dir)
    left = [
        process
        for process in psutil.process_iter(["pid", "cmdline", "cwd"])
        if process.info["cwd"] == place or any(place in word for word in process.info["cmdline"] or [])
    ]
    _, alive = psutil.wait_procs(left, timeout=10)  # the daemon has let go of everything; Python is still cleaning up
    assert alive == []
    assert not (demo.state_dir / "postgres").exists()
    assert not (demo.state_dir / "tidemark.json").exists()
    assert (demo.state_dir / "logs").is_dir()

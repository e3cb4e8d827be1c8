"""What the benchmarks say is what was: of processes, of requests to S3, on the page."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from benchmarks import page
from benchmarks.measure import CommandFailedError, Cost, measure
from benchmarks.page import Run
from benchmarks.store import traffic
from local_stack.aws import sdk
from local_stack.aws.object_store import ObjectStore, program


def run(text: str, log: Path, helpers: list[int] | None = None) -> Cost:
    return measure([sys.executable, "-c", text], {}, log, [os.getpid()], helpers or [])


def test_a_command_is_measured_whole(tmp_path: Path) -> None:
    work = "kept = bytearray(200_000_000)\nimport time\nwhile time.process_time() < 0.7: pass"
    cost = run(work, tmp_path / "log")
    assert cost.cpu >= 0.5
    assert cost.peak_mb > 200
    assert cost.steps == {}


def test_who_works_for_it_counts(tmp_path: Path) -> None:
    """A process that was there before and burns CPU while the command waits."""
    burns = "while True: pass"
    process = subprocess.Popen([sys.executable, "-c", burns])  # noqa: S603 - the text above
    try:
        idle = run("import time; time.sleep(0.5)", tmp_path / "log")
        cost = run("import time; time.sleep(0.5)", tmp_path / "log", [process.pid])
    finally:
        process.kill()
        process.wait()
    assert cost.cpu > idle.cpu + 0.1


def test_what_failed_is_not_measured(tmp_path: Path) -> None:
    with pytest.raises(CommandFailedError, match=r"ended with 3:\nno table$"):
        run("import sys; print('no table', end=''); sys.exit(3)", tmp_path / "log")


@pytest.mark.skipif(program() is None, reason="there is no SeaweedFS for this machine")
def test_requests_to_the_store_are_told_by_itself(tmp_path: Path) -> None:
    store = ObjectStore(tmp_path / "lake", tmp_path / "log")
    store.start()
    try:
        assert store._process
        starter = store._process.pid
        s3 = sdk.s3(store.endpoint)
        s3.create_bucket(Bucket="lake")
        before = traffic(starter)
        s3.put_object(Bucket="lake", Key="a", Body=b"x" * 3_000_000)
        s3.get_object(Bucket="lake", Key="a")["Body"].read()
        deadline = time.monotonic() + 30  # it counts a request when it has answered it
        while (seen := traffic(starter).since(before)).read_mb < 3 and time.monotonic() < deadline:
            time.sleep(0.05)
        assert (seen.written_mb, seen.read_mb) == (3.0, 3.0)
        assert seen.requests in (2, 3), "the bucket's, perhaps, was counted late"
    finally:
        store.stop()


def test_the_page_shows_the_last_of_several_runs_beside_ours() -> None:
    def of(tool: str, seconds: float, **steps: float) -> Run:
        cost = Cost(seconds=seconds, cpu=1.25, database_cpu=0.5, peak_mb=99.6, steps=steps)
        return Run(size="1000 rows", work="50 updates", tool=tool, keeps="all", cost=cost)

    text = page.markdown([of("Tidemark", 9, Load=2), of("Tidemark", 8, Load=2), of("Sling", 2)], "the command", 0.5)
    assert "    the command\n" in text
    assert "| Sling | all |" in text
    assert "| 50 updates | **8.0 s**; CPU 1.2, database 0.5; 100 MB | **2.0 s** (0.25x); CPU 1.2," in text
    assert "| 1000 rows | 50 updates | Tidemark | 2.0 | 6.0 | 0 | 0.0 | 0.0 |" in text

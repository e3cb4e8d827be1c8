"""Java kept between job runs: who gets it, and that it never outlives a run that went wrong."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from local_stack.aws import java, spark_submit
from local_stack.aws.glue_runner import GlueRunner, JobRun
from local_stack.aws.job_environment import RunnerSettings
from tests.processes import is_alive, is_gone

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# As Spark begins: it asks for a Java. What is tested here is the Java, and Spark in it takes most of the time.
USES_JAVA = """
import sys, time
from pyspark import SparkContext

SparkContext._ensure_initialized()
java = SparkContext._jvm.java
print("JAVA", java.lang.ProcessHandle.current().pid(), "no application", flush=True)
end = sys.argv[2]
if end == "fails":
    raise SystemExit("the source is closed today")
if end == "waits":
    time.sleep(60)
"""
USES_SPARK = USES_JAVA.replace(
    "SparkContext._ensure_initialized()",
    "from pyspark.sql import SparkSession; spark = SparkSession.builder.getOrCreate(); assert spark.range(3).count() == 3",
).replace('"no application"', "spark.sparkContext.applicationId")
DAEMON = """
import sys
from pathlib import Path
from local_stack.aws.glue_runner import GlueRunner
from local_stack.aws.job_environment import RunnerSettings
from tests.processes import is_alive, is_gone

folder = Path(sys.argv[1])
runner = GlueRunner(RunnerSettings(state_dir=folder, endpoint="http://127.0.0.1:1"))
run = runner.start("jr_1", str(folder / "job.py"), {"--end": "well"}, 1)
assert run.done.wait(120)
print(run.log, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "job.py").write_text(USES_JAVA, encoding="utf-8")
    return tmp_path


@pytest.fixture
def runner(folder: Path) -> Iterator[GlueRunner]:
    runner = GlueRunner(RunnerSettings(state_dir=folder, endpoint="http://127.0.0.1:1"))
    yield runner
    runner.stop_all()


@pytest.fixture
def start(runner: GlueRunner, folder: Path) -> Callable[..., JobRun]:
    numbers = count(1)

    def start(end: str = "well", minutes: float = 2.0) -> JobRun:
        run_id = f"jr_{next(numbers)}"
        return runner.start(run_id, str(folder / "job.py"), {"--end": end, "--execution": run_id}, minutes)

    return start


def java_of(run: JobRun) -> tuple[int, str]:
    """Process id of a run's Java, and the application of its Spark, as soon as it says so."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        text = run.log.read_text() if run.log.exists() else ""
        for line in text.splitlines(keepends=True):
            if line.startswith("JAVA ") and line.endswith("\n"):
                _, pid, application = line.rstrip().split(maxsplit=2)
                return int(pid), application
        assert not run.done.is_set(), text
        time.sleep(0.05)
    raise AssertionError(run.log.read_text())


def finished(run: JobRun) -> tuple[int, str]:
    assert run.done.wait(120)
    return java_of(run)


def test_one_java_serves_job_after_job_each_with_a_spark_and_a_log_of_its_own(
    start: Callable[..., JobRun], folder: Path
) -> None:
    (folder / "job.py").write_text(USES_SPARK, encoding="utf-8")
    run = start()
    first = finished(run)
    again = start()
    second = finished(again)
    assert [run.state, again.state] == ["SUCCEEDED", "SUCCEEDED"]
    assert first[0] == second[0], "the same Java"
    assert first[1] != second[1], "another application"
    assert "NativeCodeLoader" in run.log.read_text(), "what Java says is in the log of the run that it serves"
    assert run.log != again.log


def test_two_jobs_at_once_have_a_java_each(start: Callable[..., JobRun]) -> None:
    both = start("waits"), start()
    assert java_of(both[0])[0] != finished(both[1])[0]


@pytest.mark.parametrize(
    ("end", "state"),
    [("fails", "FAILED"), ("killed", "FAILED"), ("its script alone killed", "FAILED"), ("stopped", "STOPPED")],
)
def test_a_run_that_went_wrong_takes_its_java_with_it(
    runner: GlueRunner, start: Callable[..., JobRun], end: str, state: str
) -> None:
    run = start("fails" if end == "fails" else "waits")
    pid, _ = java_of(run)
    if end == "killed":
        os.killpg(run.process.pid, signal.SIGKILL)
    elif end.endswith("alone killed"):
        os.kill(run.process.pid, signal.SIGKILL)
    elif end == "stopped":
        runner.stop(run.run_id)
    assert run.done.wait(30)
    assert not is_alive(pid), "before the run counts as ended"
    assert run.state == state


def test_a_run_whose_time_is_up_takes_its_java_with_it(start: Callable[..., JobRun]) -> None:
    finished(start())
    run = start("waits", minutes=0.2)
    pid, _ = java_of(run)
    assert run.done.wait(90)
    assert (run.state, is_alive(pid)) == ("TIMEOUT", False)


def test_a_java_that_was_killed_while_it_waited_is_replaced(start: Callable[..., JobRun], folder: Path) -> None:
    pid, _ = finished(start())
    os.kill(pid, signal.SIGKILL)
    (folder / "job.py").write_text(USES_SPARK, encoding="utf-8")
    run = start()
    assert finished(run)[0] != pid
    assert run.state == "SUCCEEDED"


def test_a_job_whose_java_dies_fails(start: Callable[..., JobRun], folder: Path) -> None:
    text = USES_JAVA.replace("time.sleep(60)", "time.sleep(3); java.lang.ProcessHandle.current().pid()")
    (folder / "job.py").write_text(text, encoding="utf-8")
    run = start("waits")
    os.kill(java_of(run)[0], signal.SIGKILL)
    assert run.done.wait(60)
    assert run.state == "FAILED"


@pytest.mark.parametrize(
    ("last", "state", "told"),
    [
        ("raise error", "FAILED", "py4j.protocol.Py4JJavaError: Java has ended, and what it said of this is lost"),
        ("spark.range(3).count()", "FAILED", "Connection"),
        ("", "SUCCEEDED", ""),
    ],
)
def test_how_a_script_ended_is_told_though_its_java_is_gone(
    start: Callable[..., JobRun], folder: Path, last: str, state: str, told: str
) -> None:
    """Its exceptions ask Java for their message, and so does the end of its Spark."""
    dies = f"""
import os, signal
from py4j.protocol import Py4JJavaError
try:
    java.util.Optional.empty().get()
except Py4JJavaError as found:
    error = found
os.kill(java.lang.ProcessHandle.current().pid(), signal.SIGKILL)
time.sleep(1)
{last}
"""
    (folder / "job.py").write_text(USES_SPARK + dies, encoding="utf-8")
    run = start()
    assert run.done.wait(120)
    assert (run.state, told in run.error) == (state, True), run.error


def test_a_java_is_replaced_after_a_number_of_runs(
    start: Callable[..., JobRun], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(java, "_MOST_RUNS", 2)
    first, second, third = (finished(start())[0] for _ in range(3))
    assert first == second != third
    assert is_gone(first)


def test_an_idle_java_is_let_go(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(java, "_LOOK_SECONDS", 0.1)
    settings = RunnerSettings(state_dir=folder, endpoint="http://127.0.0.1:1", keep_warm_seconds=0.5)
    runner = GlueRunner(settings)
    pid, _ = finished(runner.start("jr_1", str(folder / "job.py"), {"--end": "well"}, 2))
    assert is_gone(pid)
    runner.stop_all()


def test_each_job_its_own_java_if_none_is_to_be_kept(folder: Path) -> None:
    settings = RunnerSettings(state_dir=folder, endpoint="http://127.0.0.1:1", keep_warm_seconds=0)
    runner = GlueRunner(settings)
    assert java.WarmJava(settings).environment("jr_1", folder / "log") == {}
    pid, _ = finished(runner.start("jr_1", str(folder / "job.py"), {"--end": "well"}, 2))
    assert is_gone(pid)
    runner.stop_all()


def test_whoever_does_not_know_the_token_or_has_no_run_gets_none(folder: Path) -> None:
    warm = java.WarmJava(RunnerSettings(state_dir=folder, endpoint="http://127.0.0.1:1"))
    told = warm.environment("jr_1", folder / "log")
    port = int(told[spark_submit.PORT])
    assert spark_submit.ask(port, "0" * 64, "jr_1") == ""
    assert spark_submit.ask(port, told[spark_submit.TOKEN], "jr_2") == ""
    warm.release("jr_1", keep=True)
    assert spark_submit.ask(port, told[spark_submit.TOKEN], "jr_1") == "", "that run is over"
    warm.stop()
    assert told[spark_submit.TOKEN] not in repr(warm)


def test_what_pyspark_reads_is_what_java_would_have_written() -> None:
    assert spark_submit.decoded(spark_submit.encoded(25333, "a secret")) == (25333, "a secret")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_java_ends_with_the_daemon_whatever_ends_that(folder: Path, number: int) -> None:
    daemon = subprocess.Popen(  # noqa: S603 - this Python
        [sys.executable, "-c", DAEMON, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[3],
    )
    assert daemon.stdout is not None
    log = Path(daemon.stdout.readline().decode().strip())
    pid = int(next(line for line in log.read_text().splitlines() if line.startswith("JAVA ")).split()[1])
    assert is_alive(pid)
    daemon.send_signal(number)
    daemon.communicate()
    assert is_gone(pid)

"""The processes of job runs, with tiny scripts: each started as a Python of its own, and forked from a warm one."""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import sys
import time
from dataclasses import replace
from itertools import count
from typing import TYPE_CHECKING, Protocol

import psutil  # type: ignore[import-untyped]
import pytest

from local_stack.aws import fork_server, glue_runner
from local_stack.aws.glue_runner import GlueRunner, JobRun
from local_stack.aws.job_environment import RunnerSettings
from local_stack.aws.warm_python import Forked
from tests.processes import is_gone

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

WARM = "colorsys"
ARGUMENTS = {"--execution": "e1", "--password": "hunter2"}
EVERYTHING = """
import os, signal, sys, threading
print(sys.argv, sys.path, sys.flags, __name__, os.getcwd(), sys.stdin.read())
print({name: value for name, value in os.environ.items() if not name.startswith(("TIDEMARK_JAVA", "SPARK_HOME"))})
print(os.getsid(0) == os.getpid() == os.getpgid(0), threading.active_count())
print({number: signal.getsignal(number) for number in signal.valid_signals()}, signal.pthread_sigmask(0, []))
print(sorted(os.readlink(f"/proc/self/fd/{fd}").split(":")[0] for fd in os.listdir("/proc/self/fd") if int(fd) < 3))
print(sys.stdout.encoding, sys.stdout.line_buffering, sys.stdout.write_through, sys.stdin.fileno())
"""
STUBBORN = """
import signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
print(child.pid, flush=True)
time.sleep(60)
"""


class Start(Protocol):
    """Start a script."""

    def __call__(self, text: str, /, *, minutes: float = 1.0) -> JobRun: ...


@pytest.fixture
def settings(tmp_path: Path) -> RunnerSettings:
    (tmp_path / "library").mkdir()
    return RunnerSettings(
        state_dir=tmp_path,
        endpoint="http://127.0.0.1:1",
        seconds_per_minute=20,
        library_dir=tmp_path / "library",
    )


def warmed(settings: RunnerSettings, imports: str = f"import {WARM}") -> RunnerSettings:
    script = settings.state_dir / "imports.py"
    script.write_text(imports, encoding="utf-8")
    return replace(settings, imports=script)


@pytest.fixture(params=["a Python of its own", "forked"])
def runner(request: pytest.FixtureRequest, settings: RunnerSettings) -> Iterator[GlueRunner]:
    forked = request.param == "forked"
    runner = GlueRunner(warmed(settings) if forked else settings)
    yield runner
    assert any(isinstance(run.process, Forked) for run in runner._runs.values()) is forked
    runner.stop_all()


@pytest.fixture
def warm(settings: RunnerSettings) -> Iterator[GlueRunner]:
    runner = GlueRunner(warmed(settings))
    yield runner
    runner.stop_all()


@pytest.fixture
def start(runner: GlueRunner) -> Start:
    return starting(runner)


def starting(runner: GlueRunner) -> Start:
    numbers = count(1)

    def start(text: str, /, *, minutes: float = 1.0) -> JobRun:
        number = next(numbers)
        script = runner.settings.state_dir / f"extract{number}.py"
        script.write_text(text, encoding="utf-8")
        return runner.start(f"jr_{number}", str(script), ARGUMENTS, minutes)

    return start


def ended(run: JobRun) -> tuple[str, str]:
    assert run.done.wait(20)
    return run.state, run.error


def written(run: JobRun, lines: int = 0) -> list[str]:
    """What a run has written, as soon as there are so many lines, or at its end."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        done = run.done.is_set()
        found = (
            [line for line in run.log.read_text().splitlines() if not line.startswith("#")] if run.log.exists() else []
        )
        if done or (lines and len(found) >= lines):
            return found
        time.sleep(0.02)
    raise AssertionError(f"{run.state}: {run.log.read_text()}")


LATE = """
import runpy, signal, sys

real = signal.signal
signal.signal = lambda number, handler: real(number, (lambda *_: None) if callable(handler) else handler)
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def test_the_end_of_a_job_is_heard_though_python_comes_too_late_to_a_signal(tmp_path: Path) -> None:
    """As it does if the signal comes between Python's last instruction before it waits, and the waiting."""
    (tmp_path / "nothing.py").touch()
    ours, theirs = socket.socketpair()
    given = [
        fork_server.__file__,
        str(theirs.fileno()),
        "60",
        str(tmp_path / "nothing.py"),
        str(tmp_path / "nothing.py"),
    ]
    command = [sys.executable, "-c", LATE, *given]
    with ours, open(os.devnull, "w") as output:  # noqa: PTH123 - a file descriptor
        server = subprocess.Popen(command, pass_fds=[theirs.fileno()])  # noqa: S603
        try:
            theirs.close()
            told = fork_server.ask(ours, fork_server.Request(["job"], {}), output.fileno(), output.fileno())
            with os.fdopen(told, "rb", buffering=0) as heard:
                assert int(heard.readline()) > 0
                assert select.select([heard], [], [], 20)[0], "nothing within 20 seconds"
                assert heard.readline() == b"0\n"
            ours.close()
            assert server.wait(20) == 0
        finally:
            server.kill()
            server.wait()


def fork_server_of(runner: GlueRunner) -> psutil.Process:
    assert runner._python._server is not None
    return psutil.Process(runner._python._server[0].pid)


def test_output_is_kept_and_argument_values_are_not(start: Start) -> None:
    run = start("import sys; print('out'); print('err', file=sys.stderr); sys.exit('why')")
    assert ended(run) == ("FAILED", "SystemExit: why")
    first, *lines, last = run.log.read_text().splitlines()
    assert first.startswith("# job run jr_1 started 20")
    assert first.endswith("arguments --execution --password")
    assert set(lines) == {"out", "err", "why"}
    assert "FAILED after" in last
    assert "hunter2" not in run.log.read_text()


def test_the_exception_is_the_message_whatever_else_is_written(start: Start) -> None:
    run = start("""
import atexit, sys
atexit.register(sys.stderr.write, "Traceback (most recent call last):\\nOSError: JVM going down\\n")
raise ValueError("the cause\\nsecond line")
""")
    assert ended(run) == ("FAILED", "ValueError: the cause\nsecond line")
    assert "OSError: JVM going down" in run.log.read_text()


@pytest.mark.parametrize("code", ["", "0", "None"])
def test_a_script_may_end_itself_well(start: Start, code: str) -> None:
    assert ended(start(f"import sys; sys.exit({code})")) == ("SUCCEEDED", "")


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("import os; os._exit(3)", "The script ended with exit code 3 and said nothing."),
        ("import os; os.kill(os.getpid(), 9)", "The process was killed by SIGKILL (out of memory?)"),
        ("import os; os.kill(os.getpid(), 15)", "The process was killed by SIGTERM"),
        ("import os; os.abort()", "The process was killed by SIGABRT"),
        ("import sys; sys.exit(4)", "SystemExit: 4"),
        ("nonsense (", "SyntaxError: '(' was never closed"),
    ],
)
def test_how_a_script_ended_is_told(start: Start, text: str, error: str) -> None:
    state, said = ended(start(text))
    assert (state, said.partition(" (extract")[0]) == ("FAILED", error)


def test_a_script_is_the_main_program_and_finds_its_neighbours_only(start: Start, tmp_path: Path) -> None:
    (tmp_path / "neighbour.py").write_text("")
    run = start("""
import sys, neighbour
assert __name__ == "__main__" and sys.argv == [__file__, "--execution", "e1", "--password", "hunter2"], sys.argv
assert not [name for name in sys.path if name.endswith("local_stack")], sys.path
""")
    assert ended(run) == ("SUCCEEDED", "")


def test_a_script_that_ignores_sigterm_is_killed_with_its_children(runner: GlueRunner, start: Start) -> None:
    run = start(STUBBORN)
    child = int(written(run, 1)[0])
    runner.stop_all()
    assert run.state == "STOPPED"
    assert is_gone(child)
    runner.stop("jr_1")
    assert run.state == "STOPPED"


def test_time_limit(start: Start) -> None:
    assert ended(start("import time; time.sleep(60)", minutes=0.02))[0] == "TIMEOUT"


def test_a_missing_script_fails_with_its_name(runner: GlueRunner, tmp_path: Path) -> None:
    state, error = ended(runner.start("jr_1", str(tmp_path / "nowhere.py"), {}, 1))
    assert state == "FAILED"
    assert "nowhere.py" in error


def test_many_at_once_each_with_its_own_output_and_end(start: Start) -> None:
    runs = [start(f"import time; time.sleep(0.2); print({number}); raise SystemExit({number})") for number in range(8)]
    assert [ended(run) for run in runs] == [("SUCCEEDED", "")] + [("FAILED", f"SystemExit: {n}") for n in range(1, 8)]
    assert [written(run) for run in runs] == [[str(number)] for number in range(8)]


def test_a_forked_job_has_what_one_of_its_own_python_has(settings: RunnerSettings, warm: GlueRunner) -> None:
    plain = GlueRunner(settings)
    found = []
    for runner in (plain, warm):
        run = starting(runner)(EVERYTHING)
        assert ended(run) == ("SUCCEEDED", "")
        found.append(written(run))
        run.log.unlink()
    assert found[0] == found[1]
    assert len(found[0]) == EVERYTHING.count("print")
    plain.stop_all()


def test_what_is_preloaded_is_there_and_what_a_job_does_to_it_is_not(warm: GlueRunner) -> None:
    start = starting(warm)
    text = f"import sys; print({WARM!r} in sys.modules, hasattr(sys, 'mine')); sys.mine = 1; import os; os.chdir('/')"
    assert [written(start(text)) for _ in range(2)] == [["True False"]] * 2


def test_a_changed_library_is_imported_anew_and_a_job_under_way_is_left_alone(settings: RunnerSettings) -> None:
    (settings.library_dir / "rule.py").write_text("VALUE = 1")
    runner = GlueRunner(warmed(settings, "import rule"))
    start = starting(runner)
    under_way = start("import rule, time; time.sleep(1); print(rule.VALUE); raise SystemExit(7)")
    (settings.library_dir / "rule.py").write_text("VALUE = 22")
    assert written(start("import rule; print(rule.VALUE)"))[-1] == "22"
    assert ended(under_way) == ("FAILED", "SystemExit: 7")
    assert isinstance(under_way.process, Forked)
    runner.stop_all()


def test_a_library_that_cannot_be_imported_is_the_jobs_failure(settings: RunnerSettings) -> None:
    (settings.library_dir / "rule.py").write_text("raise ValueError('broken today')")
    runner = GlueRunner(warmed(settings, "import rule"))
    start = starting(runner)
    assert ended(start("import rule")) == ("FAILED", "ValueError: broken today")
    assert ended(start("pass")) == ("SUCCEEDED", "")
    runner.stop_all()


def test_a_fork_server_that_was_killed_is_replaced(warm: GlueRunner) -> None:
    start = starting(warm)
    assert ended(start("pass")) == ("SUCCEEDED", "")
    under_way = start("import time; time.sleep(1); print('there')")
    server = fork_server_of(warm)
    server.kill()
    run = start("pass")
    assert ended(run) == ("SUCCEEDED", "")
    assert ended(under_way)[0] == "FAILED", "nobody can say how it ended"
    assert "there" in under_way.log.read_text(), "and not before it has"
    assert isinstance(start("pass").process, Forked)
    assert fork_server_of(warm).pid != server.pid


def test_a_fork_server_ends_with_the_runner_and_after_idle_time(settings: RunnerSettings) -> None:
    runner = GlueRunner(replace(warmed(settings), keep_warm_seconds=0.3))
    start = starting(runner)
    long = start("import time; time.sleep(1)")
    first = fork_server_of(runner)
    assert ended(long) == ("SUCCEEDED", ""), "while a job runs it is not idle"
    first.wait(10)
    assert ended(start("pass")) == ("SUCCEEDED", "")
    runner.stop_all()
    again = GlueRunner(warmed(settings))
    server = fork_server_of(again)
    again.stop_all()
    assert is_gone(server.pid)


def test_a_fork_server_of_whom_nobody_can_ask_ends(warm: GlueRunner) -> None:
    assert warm._python._server is not None
    process, connection = warm._python._server
    connection.close()  # as when the daemon is killed
    assert process.wait(20) == 0
    with pytest.raises(OSError, match=r"closed|descriptor"):
        fork_server.ask(connection, fork_server.Request([], {}), 1, 2)
    assert ended(starting(warm)("pass")) == ("SUCCEEDED", "")


def test_a_job_forked_has_its_scripts_name(warm: GlueRunner) -> None:
    run = starting(warm)("import time; time.sleep(60)")
    assert psutil.Process(run.process.pid).name() == "extract1"
    os.killpg(run.process.pid, signal.SIGKILL)
    assert ended(run) == ("FAILED", "The process was killed by SIGKILL (out of memory?)")


def test_runs_that_ended_long_ago_are_forgotten(settings: RunnerSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(glue_runner, "_ENDED_RUNS_KEPT", 2)
    runner = GlueRunner(settings)
    start = starting(runner)
    going = start("import time; time.sleep(60)")
    for _ in range(4):
        ended(start("pass"))
    assert list(runner._runs) == ["jr_1", "jr_3", "jr_4", "jr_5"], "the last one was not over when it was counted"
    runner.stop_all()
    assert going.state == "STOPPED"

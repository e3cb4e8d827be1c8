"""Glue on one machine: every job run is the real entry script, started as a process.

Owns the life of those processes and promises that

- a run's state is RUNNING, then exactly one of SUCCEEDED, FAILED, TIMEOUT, STOPPED, by the script's exit code, the
  job's time limit, or a call of :meth:`GlueRunner.stop`;
- what a run says of its failure is the exception that ended the script, and nothing that it wrote, as in Glue;
- a run that ends takes its whole process group with it; its Java, too, unless it ended well and let it go;
- all output is kept in ``logs/<run id>/<job>.log`` of the state directory, and argument *values* are never written;
- a script sees a small environment of its own and nothing else of the user's: no credentials, no proxies.

Nothing here knows moto; ``local_stack.aws.server`` binds it to the Glue API.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess  # nosec B404 # playing Glue means starting processes
import sys
import threading
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final, Literal

from local_stack.aws import glue_launcher
from local_stack.aws.glue_launcher import ScriptEnd, read_end
from local_stack.aws.java import WarmJava
from local_stack.aws.job_environment import RunnerSettings, job_environment
from local_stack.aws.warm_python import WarmPython

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from local_stack.aws.warm_python import JobProcess

JobState = Literal["RUNNING", "SUCCEEDED", "FAILED", "TIMEOUT", "STOPPED"]

_GRACE_SECONDS: Final = 3.0
_ENDED_RUNS_KEPT: Final = 100
_UNSAFE: Final = re.compile(r"[^A-Za-z0-9._-]")


@dataclass(kw_only=True)
class JobRun:
    """One started script. Written by its own thread only, read by anybody."""

    run_id: str
    log: Path
    process: JobProcess
    state: JobState = "RUNNING"
    error: str = ""
    started: datetime = field(default_factory=lambda: datetime.now(UTC))
    ended: datetime | None = None
    stop_requested: threading.Event = field(default_factory=threading.Event)
    done: threading.Event = field(default_factory=threading.Event)


class GlueRunner:
    """Starts, watches and stops job runs."""

    def __init__(self, settings: RunnerSettings) -> None:
        self.settings = settings
        self._java = WarmJava(settings)
        self._python = WarmPython(settings)
        self._python.start()
        self._runs: dict[str, JobRun] = {}

    def start(self, run_id: str, script: str, arguments: Mapping[str, str], timeout_minutes: float) -> JobRun:
        """Start a script and return at once.

        Parameters
        ----------
        run_id, script
            Glue's id of the job run, and the path of the script, the job's ``ScriptLocation``.
        arguments
            ``--name`` -> value, the job's own and those of this run together.
        timeout_minutes
            After this the run is killed and ends as TIMEOUT.
        """
        log = log_path(self.settings.state_dir, arguments.get("--execution") or run_id, script)
        log.parent.mkdir(parents=True, exist_ok=True)
        end, told = os.pipe()
        try:
            process = self._process(script, arguments, told, self._java.environment(run_id, log))
        except BaseException:
            os.close(end)
            self._java.release(run_id, keep=False)
            raise
        finally:
            os.close(told)
        self._forget_the_oldest()
        self._runs[run_id] = run = JobRun(run_id=run_id, log=log, process=process)
        limit = timeout_minutes * self.settings.seconds_per_minute
        threading.Thread(target=self._watch, args=(run, limit, sorted(arguments), end), daemon=True).start()
        return run

    def _process(self, script: str, arguments: Mapping[str, str], told: int, java: dict[str, str]) -> JobProcess:
        """Start a script's process: forked from a warm Python, or of its own."""
        given = script_arguments(script, arguments)
        return self._python.fork(given, java, told) or subprocess.Popen(  # noqa: S603 - ours, no shell
            [sys.executable, "-P", glue_launcher.__file__, str(told), *given],
            env=job_environment(self.settings, os.environ) | java,
            cwd=self.settings.state_dir,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            pass_fds=(told,),
        )

    def stop(self, run_id: str) -> None:
        """Kill a run's process group and wait until the run has ended as STOPPED; nothing if it had ended before."""
        run = self._runs[run_id]
        if not run.done.is_set():
            run.stop_requested.set()
            kill_group(run.process)
            run.done.wait(2 * _GRACE_SECONDS)

    def has_ended(self, run_id: str, within: float) -> bool:
        """Whether a run ends within some seconds; returns as soon as it does."""
        return self._runs[run_id].done.wait(within)

    def stop_all(self) -> None:
        """Stop every run that is still going, and every process that waits for one."""
        for run_id in list(self._runs):
            self.stop(run_id)
        self._java.stop()
        self._python.stop()

    def _forget_the_oldest(self) -> None:
        ended = [run_id for run_id, run in list(self._runs.items()) if run.done.is_set()]
        for run_id in ended[:-_ENDED_RUNS_KEPT]:
            self._runs.pop(run_id, None)  # two jobs may be started at once

    def _watch(self, run: JobRun, limit: float, names: Sequence[str], end: int) -> None:
        """Keep a process's output until it ends or its time is up; then decide the run's state."""
        process, timed_out = run.process, False
        with run.log.open("ab") as log:
            started = f"{run.started:%Y-%m-%dT%H:%M:%SZ}"
            _write(log, f"# job run {run.run_id} started {started}, arguments {' '.join(names)}\n")
            pump = threading.Thread(target=_pump, args=(process.stdout, log), daemon=True)
            pump.start()
            try:
                process.wait(limit)
            except subprocess.TimeoutExpired:
                timed_out = True
                kill_group(process)
            if process.returncode != 0:
                self._java.release(run.run_id, keep=False)  # first of all: it may be writing
            pump.join(_GRACE_SECONDS)  # it ends with the last process that writes: children get time to clean up
            kill_group(process)
            told = read_end(end)
            self._java.release(run.run_id, keep=told.stopped)
            stopped, insists = run.stop_requested.is_set(), self.settings.insists_on_spark
            state, run.error = outcome(process.wait(), told, timed_out, stopped, insists)
            run.ended = datetime.now(UTC)
            seconds = (run.ended - run.started).total_seconds()
            _write(log, f"# job run {run.run_id} ended {run.ended:%Y-%m-%dT%H:%M:%SZ}, {state} after {seconds:.1f} s\n")
        run.state = state
        run.done.set()


def _write(log: IO[bytes], text: str) -> None:
    """Write one line and let readers see it at once."""
    log.write(text.encode())
    log.flush()


def _pump(stream: IO[bytes], log: IO[bytes]) -> None:
    """Copy a stream to the log line by line."""
    with contextlib.suppress(ValueError, OSError):  # the log is closed under a grandchild that outlives its group
        for line in stream:
            log.write(line)
            log.flush()


def kill_group(process: JobProcess) -> None:
    """End a process and its group: SIGTERM, a short grace, SIGKILL. Also sweeps up children of an ended process."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_GRACE_SECONDS)
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def outcome(code: int, end: ScriptEnd, timed_out: bool, stopped: bool, insists: bool = False) -> tuple[JobState, str]:
    """State and ErrorMessage of a run whose process has ended."""
    if stopped:
        return "STOPPED", "The job run was stopped."
    if timed_out:
        return "TIMEOUT", "The job run took longer than its time limit."
    if code == 0 and insists and not end.spark:
        return "FAILED", "User did not initialize spark context!"
    if code == 0:
        return "SUCCEEDED", ""
    if code < 0:
        name = signal.Signals(-code).name
        return "FAILED", f"The process was killed by {name}" + (" (out of memory?)" if name == "SIGKILL" else "")
    return "FAILED", end.error or f"The script ended with exit code {code} and said nothing."


def script_arguments(script: str, arguments: Mapping[str, str]) -> list[str]:
    """Build what the launcher is given: ``--name value …`` after the script, an empty value dropped, as Glue does.

    Parameters
    ----------
    script, arguments
        What to run.
    """
    return [script, *(part for pair in arguments.items() for part in pair if part)]


def log_path(state_dir: Path, execution: str, script: str) -> Path:
    """Where the output of a job goes: ``logs/<execution>/<job key>.log``, one file per job and execution."""
    folder = _UNSAFE.sub("_", execution).lstrip(".") or "_"
    return state_dir / "logs" / folder / f"{Path(script).stem}.log"

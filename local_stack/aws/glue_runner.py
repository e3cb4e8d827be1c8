"""Glue on one machine: every job run is the real entry script, started as a process.

Owns the life of those processes and promises that

- a run's state is RUNNING, then exactly one of SUCCEEDED, FAILED, TIMEOUT, STOPPED, by the script's exit code, the
  job's time limit, or a call of :meth:`GlueRunner.stop`;
- what a run says of its failure is the exception that ended the script, and nothing that it wrote, as in Glue;
- a run that ends takes its whole process group with it, the JVM included;
- all output is kept in ``logs/<run id>/<job>.log`` of the state directory, and argument *values* are never written;
- a script sees a small environment of its own and nothing else of the user's: no credentials, no proxies.

Nothing here knows moto; ``local_stack.aws.server`` binds it to the Glue API.
"""

from __future__ import annotations

import contextlib
import os
import re
import shlex
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
from local_stack.isolation import variables

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

JobState = Literal["RUNNING", "SUCCEEDED", "FAILED", "TIMEOUT", "STOPPED"]

_PASSED_ON: Final = ("PATH", "HOME", "JAVA_HOME", "LANG", "TZ")
_GRACE_SECONDS: Final = 3.0
# A run of seconds never repays the second compiler, nor two cores a parallel collector. Nothing is said about a class
# archive that does not fit: Java then works without it.
# The first compiler alone gets a code cache of 48 MB, which Spark fills in a minute; then Java only interprets.
_FAST_START: Final = (
    "-XX:TieredStopAtLevel=1 -XX:ReservedCodeCacheSize=256m -XX:+UseSerialGC -XX:CompileThresholdScaling=3 "
    "-Xshare:auto -Xlog:disable -Xlog:all=error:stderr"
)
_UNSAFE: Final = re.compile(r"[^A-Za-z0-9._-]")


@dataclass(frozen=True, kw_only=True)
class RunnerSettings:
    """What every job process of one local stack has in common.

    Parameters
    ----------
    state_dir
        Logs and temporary files go below it.
    endpoint
        URL of the local AWS.
    library_dir, jars_dir
        Folders of the ``tidemark`` package (becomes PYTHONPATH) and of Spark's additional jars.
    class_archive
        Java's archive of preloaded classes (AppCDS) for exactly these jars; used if the file is there, and saves about
        a third of a cold start.
    cores, driver_memory
        Size of the Spark session.
    seconds_per_minute
        Length of a minute of a job's time limit; tests make it short.
    insists_on_spark
        Be as strict as YARN under Glue: a script that ends well without ever having started a SparkContext has failed.
    """

    state_dir: Path
    endpoint: str
    library_dir: Path = Path(__file__).resolve().parents[2] / "glue_jobs"
    jars_dir: Path = Path(sys.prefix) / "jars"
    class_archive: Path = Path(sys.prefix) / "spark.jsa"
    cores: int = 2
    driver_memory: str = "2g"
    seconds_per_minute: float = 60.0
    insists_on_spark: bool = False


@dataclass(kw_only=True)
class JobRun:
    """One started script. Written by its own thread only, read by anybody."""

    run_id: str
    log: Path
    process: subprocess.Popen[bytes]
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
        log = log_path(self.settings.state_dir, arguments.get("--run_id") or run_id, script)
        log.parent.mkdir(parents=True, exist_ok=True)
        end, told = os.pipe()
        try:
            process = subprocess.Popen(  # noqa: S603 # nosec B603 # our own script, no shell
                command_line(script, arguments, told),
                env=job_environment(self.settings, os.environ),
                cwd=self.settings.state_dir,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                pass_fds=(told,),
            )
        except BaseException:
            os.close(end)
            raise
        finally:
            os.close(told)
        self._runs[run_id] = run = JobRun(run_id=run_id, log=log, process=process)
        limit = timeout_minutes * self.settings.seconds_per_minute
        threading.Thread(target=self._watch, args=(run, limit, sorted(arguments), end), daemon=True).start()
        return run

    def stop(self, run_id: str) -> None:
        """Kill a run's process group and wait until the run has ended as STOPPED; nothing if it had ended before."""
        run = self._runs[run_id]
        if not run.done.is_set():
            run.stop_requested.set()
            kill_group(run.process)
            run.done.wait(2 * _GRACE_SECONDS)

    def stop_all(self) -> None:
        """Stop every run that is still going."""
        for run_id in list(self._runs):
            self.stop(run_id)

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
            pump.join(_GRACE_SECONDS)  # it ends with the last process that writes: the JVM gets time to clean up
            kill_group(process)
            stopped, insists = run.stop_requested.is_set(), self.settings.insists_on_spark
            state, run.error = outcome(process.returncode, read_end(end), timed_out, stopped, insists)
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


def kill_group(process: subprocess.Popen[bytes]) -> None:
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


def command_line(script: str, arguments: Mapping[str, str], told: int) -> list[str]:
    """Build the command of a job run: ``--name value …`` after the script, an empty value dropped, as Glue does.

    Parameters
    ----------
    script, arguments
        What to run.
    told
        File descriptor to which the launcher tells the script's end.
    """
    given = (part for pair in arguments.items() for part in pair if part)
    return [sys.executable, "-P", glue_launcher.__file__, str(told), script, *given]


def log_path(state_dir: Path, execution: str, script: str) -> Path:
    """Where the output of a job goes: ``logs/<execution>/<job key>.log``, one file per job and execution."""
    folder = _UNSAFE.sub("_", execution).lstrip(".") or "_"
    return state_dir / "logs" / folder / f"{Path(script).stem}.log"


def job_environment(settings: RunnerSettings, outer: Mapping[str, str]) -> dict[str, str]:
    """Build the whole environment of a job process; a few harmless variables of `outer`, the daemon's, are kept."""
    tmp = settings.state_dir / "tmp"
    tmp.mkdir(parents=True, exist_ok=True)
    archive = settings.class_archive if settings.class_archive.exists() else None
    submit = spark_submit_args(
        settings.endpoint, settings.jars_dir, settings.cores, settings.driver_memory, tmp, archive
    )
    passed_on = {name: value for name, value in outer.items() if name in _PASSED_ON or name.startswith("COVERAGE_")}
    return passed_on | {
        **variables(settings.endpoint),
        "PYTHONPATH": str(settings.library_dir),
        "PYTHONUNBUFFERED": "1",
        "PYSPARK_PYTHON": sys.executable,
        "PYSPARK_SUBMIT_ARGS": submit,
        "SPARK_LAUNCHER_OPTS": _FAST_START,
        "SPARK_LOCAL_IP": "127.0.0.1",
        "TMPDIR": str(tmp),
    }


def spark_submit_args(
    endpoint: str, jars_dir: Path, cores: int, driver_memory: str, tmp_dir: Path, class_archive: Path | None = None
) -> str:
    """Put all that Spark must know because it runs here and not in Glue into ``PYSPARK_SUBMIT_ARGS``.

    Parameters
    ----------
    endpoint, cores, driver_memory
        URL of the local AWS, and the size of the session.
    jars_dir
        Folder of the additional jars; a class path with a wildcard costs no copying, unlike ``--jars``.
    tmp_dir
        For Spark's scratch files, Java's temporary files and Spark's own (unused) warehouse folder.
    class_archive
        Java's archive of preloaded classes, if there is one.
    """
    conf = {
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        # A few thousand rows on two cores: generating and compiling code for them costs more than it saves.
        "spark.sql.shuffle.partitions": str(cores),
        "spark.sql.adaptive.enabled": "false",
        "spark.sql.codegen.wholeStage": "false",
        "spark.sql.codegen.factoryMode": "NO_CODEGEN",
        # Nor does it pay to ask first which files a merge will meet.
        "spark.sql.optimizer.runtime.rowLevelOperationGroupFilter.enabled": "false",
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.local.dir": str(tmp_dir),
        "spark.sql.warehouse.dir": str(tmp_dir / "spark-warehouse"),
        "spark.hadoop.fs.s3a.endpoint": endpoint,
        "spark.hadoop.fs.s3a.path.style.access": "true",
        "spark.hadoop.fs.s3a.connection.ssl.enabled": "false",
        "spark.hadoop.fs.s3a.aws.credentials.provider": "org.apache.hadoop.fs.s3a.SimpleAWSCredentialsProvider",
        "spark.hadoop.fs.s3a.access.key": "local",
        "spark.hadoop.fs.s3a.secret.key": "local",
        "spark.sql.catalog.lake.glue.endpoint": endpoint,
        "spark.sql.catalog.lake.s3.endpoint": endpoint,
        "spark.sql.catalog.lake.s3.path-style-access": "true",
    }
    words = ["--master", f"local[{cores}]", "--driver-memory", driver_memory]
    words += ["--driver-class-path", str(jars_dir / "*")]
    java = [*_FAST_START.split(), f"-Djava.io.tmpdir={tmp_dir}"]
    java += [f"-XX:SharedArchiveFile={class_archive}"] if class_archive else []
    words += ["--driver-java-options", shlex.join(java)]
    words += [word for name, value in conf.items() for word in ("--conf", f"{name}={value}")]
    return shlex.join([*words, "pyspark-shell"])

"""The real stack under fire: the real state machine and job processes, killed with SIGKILL at random moments.

The source works on while a tick transforms and loads; while it extracts, the source is quiet, so that the oracle can ask
what the cut has seen. The server of source and warehouse does not wait for its disk at a commit: a crash loses commits
and uses their transaction ids again.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

import psutil  # type: ignore[import-untyped]
from tidemark.operations.executions import Execution, describe, start_execution

from local_stack import lifecycle
from local_stack.postgres.server import Credentials
from local_stack.stack import Stack
from tests import servers
from tests.fuzz.answers import State
from tests.fuzz.checks import Published, Watcher, observe
from tests.fuzz.models import BASE
from tests.fuzz.oracle import Oracle
from tests.fuzz.sabotage import terminator
from tests.fuzz.shop import grow
from tests.fuzz.source_work import SourceWork
from tests.shop import SHOP_MODEL

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SHOP: Final = SHOP_MODEL
SETTINGS: Final[dict[str, str | int]] = {"synchronous_commit": "off", "wal_writer_delay": "10s"}
_BEFORE_THE_CUT: Final = ("", "Begin", "ReadInput", "ExtractSource")
_JOBS: Final = ("extract", "transform", "load")
# What happens, and during which job; an overlap at any time.
_FAULTS: Final = {
    "kill extract": 5,
    "kill transform": 8,
    "kill load": 5,
    "java extract": 1,
    "java transform": 2,
    "python extract": 1,
    "python load": 1,
    "crash extract": 2,
    "crash transform": 1,
    "crash load": 2,
    "end extract": 1,
    "end load": 2,
    "overlap": 2,
    "": 1,
}


@dataclass
class Fault:
    """Something that happens once in a tick, so many seconds after the job that it is meant for has begun."""

    what: str
    after: float
    struck: bool = False
    begun: float | None = None

    @property
    def job(self) -> str:
        return self.what.partition(" ")[2]


@dataclass
class Siege:
    """One stack in a folder of its own.

    Parameters
    ----------
    folder
        Where; removed at the end.
    seed
        Decides work and faults, as far as time allows.
    major
        The server's version.
    say
        Called with a line for every tick.
    """

    folder: Path
    seed: int
    say: Callable[[str], None]
    major: int = servers.NEWEST
    counts: Counter[str] = field(default_factory=Counter)
    seconds: dict[str, float] = field(default_factory=lambda: dict.fromkeys(_JOBS, 4.0))

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)  # noqa: S311 - not for secrets
        self._oracle = Oracle()
        self._server = servers.start(self.folder / "databases", self.major, SETTINGS)
        self._stack = self._start()
        self._published = Published(self._stack.lake, lambda: self._database("warehouse").connect())
        self._work = SourceWork(lambda: self._database("shop").connect(), self.seed)

    def _start(self) -> Stack:
        model = self.folder / "model"
        shutil.copytree(SHOP, model)
        source = self._server.create_database("shop")
        with source.connect() as connection:
            connection.execute((SHOP / "schema.sql").read_bytes())
            grow(connection, model)
        wanted = lifecycle.UpOptions(
            model_dir=model,
            source=self._server.create_reader("shop", "shop_reader"),
            warehouse=self._server.create_database("warehouse"),
        )
        return lifecycle.up(self.folder / "state", wanted, self.say)

    def close(self) -> None:
        """Stop and remove everything."""
        lifecycle.down(self.folder / "state")
        self._server.destroy()
        shutil.rmtree(self.folder, ignore_errors=True)

    def run(self, seconds: float, kills: int = 0) -> None:
        """Tick for so long, and until so many jobs were killed; then once more without a fault."""
        deadline = time.monotonic() + seconds
        watcher = Watcher(lambda: self._database("warehouse").connect(), self._stack.model.name)
        self._server.create_database("other")
        try:
            with watcher, servers.clerk(lambda: self._database("other").connect()):
                while time.monotonic() < deadline or self.counts["SIGKILLs"] < kills:
                    self._work.work(self._random.randint(8, 30))
                    (what,) = self._random.choices(list(_FAULTS), list(_FAULTS.values()))
                    # A state ends some time after its job: the last moments would mostly be too late.
                    typical = 0.9 * self.seconds.get(what.partition(" ")[2], 10.0)
                    self._tick(Fault(what, self._random.uniform(0.0, typical)))
                self._tick(Fault("", 0.0))
            watcher.check(self._published.fingerprints)
            wanted, done = self.counts["aimed at a job"], self.counts["hit a job"]
            assert wanted < 5 or done > 0, f"{wanted} faults were meant for jobs, and none hit one"
            self.counts["looks at the warehouse"] = watcher.looks
        except BaseException as error:
            error.add_note("\n".join([self.summary(), *self._work.log[-400:]]))
            raise

    def _database(self, name: str) -> Credentials:
        return self._server.credentials(name)

    def _tick(self, fault: Fault) -> None:
        self.counts["ticks"] += 1
        self._work.log.append(f"-- tick, {fault.what or 'no fault'} after {fault.after:.1f} s")
        given = {"accept_deletes": "*", "full_compare": self._random.choice(["false"] * 9 + ["true"])}
        pipeline = self._stack.pipeline
        arns = [start_execution(pipeline.states, pipeline.machine, given)]
        observed = False
        while True:
            time.sleep(0.1)
            executions = [describe(pipeline.states, arn) for arn in arns]
            self._strike(fault, arns, given)
            extracting = any(execution.final_state in _BEFORE_THE_CUT for execution in executions)
            if not extracting and not observed and fault.what != "overlap":
                observed = True
                self._observe(executions[0])
                self._work.work(self._random.randint(0, 6))  # while the jobs go on
            if len(executions) == len(arns) and all(execution.status != "RUNNING" for execution in executions):
                break
        if not observed:
            self._observe(executions[0])
        self._judge(fault, executions)

    def _observe(self, execution: Execution) -> None:
        before = self._oracle.batch
        observe(self._oracle, self._stack.landing, self._database("shop"))
        extracted = [state.status for state in execution.states if state.name == "ExtractSource"]
        if self._oracle.batch == before and extracted == ["SUCCEEDED"]:
            state, known = State.take_from(self._database("shop")), self._oracle.state
            unchanged = known is not None and state.seen(BASE) == known.seen(BASE)
            assert unchanged, "the tick was idle, and the source has changed"

    def _strike(self, fault: Fault, arns: list[str], given: dict[str, str]) -> None:
        """Let the fault happen when its time has come."""
        if fault.struck or not fault.what:
            return
        process = self._job(fault.job) if fault.job else None
        if fault.begun is None and (process is not None or not fault.job):
            fault.begun = time.monotonic()
        if fault.begun is None or time.monotonic() < fault.begun + fault.after:
            return
        if fault.job and process is None:
            return  # it had ended
        fault.struck = True
        if fault.what == "overlap":
            arns.append(start_execution(self._stack.pipeline.states, self._stack.pipeline.machine, given))
        else:
            self._hit(fault, process)

    def _hit(self, fault: Fault, process: psutil.Process | None) -> None:
        """Do to a job, or to what it stands on, what the fault says."""
        if fault.what.startswith("kill") and process is not None:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
                self.counts["SIGKILLs"] += 1
        elif fault.what.startswith("java"):
            for java in self._children("org.apache.spark.deploy.SparkSubmit"):  # busy or idle
                java.kill()
                self.counts["Java killed"] += 1
        elif fault.what.startswith("python"):
            for python in self._children("fork_server.py"):
                if python.ppid() == self._stack.aws.pid:  # the others are its jobs: they go on
                    python.kill()
                    self.counts["fork servers killed"] += 1
        elif fault.what.startswith("crash"):
            self.crash()
        elif fault.what.startswith("end"):
            terminator(self._database("shop" if fault.job == "extract" else "warehouse"))()

    def crash(self) -> None:
        """Crash the server of source and warehouse, and start it again."""
        with self._server._area.lock():
            self._server._postmaster._pg_ctl("stop", "-m", "immediate")
        self._server = servers.start(self.folder / "databases", self.major, SETTINGS)
        self._stack.put_secrets(self._server.credentials("shop", "shop_reader"), self._database("warehouse"))

    def _job(self, name: str) -> psutil.Process | None:
        """Find the running process of a job: it has the script in its command, or its name if it was forked."""
        return next(self._children(f"glue_jobs/{name}.py", name), None)

    def _children(self, ending: str, name: str = "") -> Iterator[psutil.Process]:
        """Find the daemon's processes that have such a name, or in whose command a word ends so."""
        for process in psutil.Process(self._stack.aws.pid).children(recursive=True):
            with suppress(psutil.Error):
                if process.name() == name or any(word.endswith(ending) for word in process.cmdline()):
                    yield process

    def _judge(self, fault: Fault, executions: list[Execution]) -> None:
        """Only a fault excuses a failure; a tick that was published is checked."""
        ends = [execution.final_state for execution in executions]
        failed = [execution for execution in executions if execution.status != "SUCCEEDED"]
        what = f"{fault.what or 'no fault'}{'' if fault.struck or not fault.what else ' (too late)'}"
        self.say(f"tick {self.counts['ticks']}: {what}: {', '.join(ends)}; cut {self._oracle.batch}")
        self.counts["aimed at a job"] += bool(fault.job)
        self.counts["hit a job"] += bool(fault.job and fault.struck)
        if fault.struck:
            self.counts[f"{fault.what}: {'failed' if failed else 'survived'}"] += 1
        for execution in failed:
            assert fault.struck, f"{execution.name} failed: {execution.cause}"
        for execution in executions:
            for state in execution.states:
                for job in _JOBS:
                    if state.name.lower().startswith(job) and state.status == "SUCCEEDED":
                        self.seconds[job] = state.seconds
        if not failed and "Published" in ends:
            self._oracle.apply(self._oracle.batch)
            self._published.check(self._oracle)
            assert self._stack.landing.published() == self._oracle.batch
            self.counts["checked"] += 1

    def summary(self) -> str:
        """Seed and counts."""
        done = ", ".join(f"{count} {what}" for what, count in sorted(self.counts.items()))
        return f"siege, PostgreSQL {self.major}, seed {self.seed}: {self._work.writes} rows written, {self._oracle.batch} cuts, {done}"

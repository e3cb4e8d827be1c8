"""Tidemark and its peers, as one sees them who runs each by its commands: prepared, run again and again, removed."""

from __future__ import annotations

import subprocess  # nosec B404 # runs the tools
import sys
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

import psutil  # type: ignore[import-untyped]
from tidemark.operations.executions import last_execution

from benchmarks.measure import Cost, measure
from benchmarks.orders import FACT
from benchmarks.peers import Peer, environment
from benchmarks.store import traffic
from local_stack.aws.client import LocalAws, LocalStackError
from local_stack.aws.state_dir import KEEP_WARM

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from local_stack.postgres.server import Credentials

_TIDEMARK: Final = str(Path(sys.executable).with_name("tidemark"))


@dataclass(frozen=True, kw_only=True)
class Bench:
    """Where a tool works: its own folder, source and target, and the process ids of their servers."""

    folder: Path
    source: Credentials
    target: Credentials
    servers: tuple[int, ...]

    @property
    def environment(self) -> Mapping[str, str]:
        """What a tool finds its databases by."""
        return environment(self.source, self.target, self.folder)

    @property
    def log(self) -> Path:
        """What the last command said."""
        return self.folder / "log.txt"


class Contestant(Protocol):
    """A tool that brings one source into one target."""

    name: str
    keeps: str
    table: str
    """Where its rows are, in the target."""
    target: Credentials

    def prepare(self) -> None:
        """Do all that a user does once, before the first run."""

    def run(self) -> Cost:
        """Bring the target up to date."""

    def remove(self) -> None:
        """Leave nothing behind; also after half of :meth:`prepare`."""


class PeerRun:
    """A peer at its bench."""

    def __init__(self, peer: Peer, bench: Bench) -> None:
        self.name, self.keeps = peer.name, peer.history
        self.table, self.target = peer.table, bench.target
        self._peer, self._bench, self._empty = peer, bench, True

    def prepare(self) -> None:
        """Install it."""
        self._peer.install(self._bench.folder / "environment")

    def run(self) -> Cost:
        """Run its one command."""
        command = self._peer.command(self._bench.folder / "environment", self._empty)
        cost = measure(command, self._bench.environment, self._bench.log, self._bench.servers)
        self._empty = False
        return cost

    def remove(self) -> None:
        """Nothing runs between two runs."""


class Tidemark:
    """Tidemark's stack on this machine, with the model that it drafts itself; ``refine`` may change that."""

    def __init__(self, bench: Bench, *, cold: bool, refine: Callable[[Path], None] = lambda _: None) -> None:
        self.name = "Tidemark (cold)" if cold else "Tidemark"
        self.keeps = "type 2, deletes and silent updates too; lake and warehouse"
        self.table, self.target = f"bench.{FACT}", bench.target
        self._bench, self._state, self._refine = bench, bench.folder / "state", refine
        names = {"TIDEMARK_SOURCE_URL": "SOURCE_URI", "TIDEMARK_WAREHOUSE_URL": "DESTINATION_URI"}
        self._environment = {**bench.environment, **{name: bench.environment[of] for name, of in names.items()}}
        # What is shared between stacks, like jars, is where it always is.
        self._environment |= {"HOME": str(Path.home())} | ({KEEP_WARM: "0"} if cold else {})

    def prepare(self) -> None:
        """Draft the model, and start the stack."""
        model = self._bench.folder / "model"
        self._command("model", "init", "--name", "bench", "--output", str(model))
        self._refine(model)
        self._command("up", "--model", str(model), "--state", str(self._state))

    def _command(self, *words: str) -> None:
        measure([_TIDEMARK, *words], self._environment, self._bench.log, self._bench.servers)

    def run(self) -> Cost:
        """Tick."""
        aws = LocalAws.attach(self._state)
        before = traffic(aws.pid)
        tick = [_TIDEMARK, "tick", "--state", str(self._state)]
        cost = measure(tick, self._environment, self._bench.log, self._bench.servers, [aws.pid])
        execution = last_execution(aws.client("stepfunctions"), aws.state_machine())
        states = execution.states if execution else ()
        steps = {state.name: state.seconds for state in states if state.is_task}
        return replace(cost, steps=steps, traffic=traffic(aws.pid).since(before))

    def remove(self) -> None:
        """Stop the stack."""
        down = [_TIDEMARK, "down", "--state", str(self._state)]
        subprocess.run(down, env=self._environment, check=False, capture_output=True)  # noqa: S603 # nosec B603
        with suppress(LocalStackError, psutil.NoSuchProcess):
            psutil.Process(LocalAws.attach(self._state).pid).kill()

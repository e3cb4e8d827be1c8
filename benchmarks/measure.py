"""What a command costs: seconds, CPU-seconds and memory of all its processes, of those that work for it too.

Those that work for a command and were there before are sampled, and so is all memory: what a process does between the
last sample and its end is lost.
"""

from __future__ import annotations

import resource
import subprocess  # nosec B404 # runs what is measured
import threading
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import psutil  # type: ignore[import-untyped]

from benchmarks.store import Traffic

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

_SAMPLE_SECONDS: Final = 0.1
_MB: Final = 1e6


class CommandFailedError(RuntimeError):
    """What was to be measured failed; the message is the end of what it said."""


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What one command cost.

    Parameters
    ----------
    seconds
        From its start to its end.
    cpu, database_cpu
        CPU-seconds: of the command and of what works for it; of the servers of source and target.
    peak_mb
        Resident memory of its largest process, in megabytes.
    steps, traffic
        Seconds by step, and what S3 was asked for, where there are such things.
    """

    seconds: float
    cpu: float
    database_cpu: float
    peak_mb: float
    steps: Mapping[str, float] = field(default_factory=dict)
    traffic: Traffic = field(default_factory=Traffic)


def measure(
    command: Sequence[str],
    environment: Mapping[str, str],
    log: Path,
    databases: Sequence[int],
    helpers: Sequence[int] = (),
) -> Cost:
    """Run a command to its end.

    Parameters
    ----------
    command, environment
        What is run, with nothing else in its environment.
    log
        What it says goes there.
    databases
        Process ids of the servers of source and target.
    helpers
        Process ids of those who work for it and were there before.

    Raises
    ------
    CommandFailedError
        If its exit code is not 0.
    """
    begin, own, database_before = time.perf_counter(), _waited_for(), _cpu(databases)
    with log.open("wb") as output:
        process = subprocess.Popen(command, env=environment, stdout=output, stderr=output)  # noqa: S603 # nosec B603
        with _Sampler(helpers) as helping, _Sampler([process.pid]) as working:
            code = process.wait()
    seconds = time.perf_counter() - begin
    if code:
        raise CommandFailedError(f"{command[0]} ended with {code}:\n{log.read_text(errors='replace')[-2000:]}")
    return Cost(
        seconds=seconds,
        cpu=_waited_for() - own + helping.cpu,
        database_cpu=_cpu(databases) - database_before,
        peak_mb=max(helping.peak, working.peak) / _MB,
    )


def _waited_for() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _trees(roots: Iterable[int]) -> Iterator[psutil.Process]:
    for root in roots:
        with suppress(psutil.NoSuchProcess):
            process = psutil.Process(root)
            yield from (process, *process.children(recursive=True))


def cpu_seconds(root: int) -> Counter[str]:
    """CPU-seconds so far of a process and all that it started, by kind; of ended processes as far as waited for."""
    found: Counter[str] = Counter()
    for process in _trees([root]):
        with suppress(psutil.NoSuchProcess):
            name, times = process.name(), process.cpu_times()
            kind = name if name in ("java", "weed") else "daemon" if process.pid == root else "python"
            found[kind] += times.user + times.system
            found["python"] += times.children_user + times.children_system
    return found


def _cpu(roots: Iterable[int]) -> float:
    """CPU-seconds of processes that wait for all of their children."""
    return sum(sum(cpu_seconds(root).values()) for root in roots)


class _Sampler:
    """Looks at some processes and their children until it is left: their CPU-seconds, and the memory of the largest.

    A process that has ended counts as it was last seen; whether somebody has waited for it plays no part.
    """

    def __init__(self, roots: Sequence[int]) -> None:
        self.peak = 0
        self._roots, self._done = roots, threading.Event()
        self._seen: dict[tuple[int, float], float] = {}
        self._thread = threading.Thread(target=self._look_on, daemon=True)

    def __enter__(self) -> _Sampler:
        self._look()
        self._before = sum(self._seen.values())
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()
        self._look()

    @property
    def cpu(self) -> float:
        """CPU-seconds since it was entered."""
        return sum(self._seen.values()) - self._before

    def _look_on(self) -> None:
        while not self._done.wait(_SAMPLE_SECONDS):
            self._look()

    def _look(self) -> None:
        for process in _trees(self._roots):
            with suppress(psutil.NoSuchProcess):
                times = process.cpu_times()
                self._seen[process.pid, process.create_time()] = times.user + times.system
                self.peak = max(self.peak, process.memory_info().rss)


def yardstick() -> float:
    """Return the seconds that a fixed computation takes here and now: two runs with different ones do not compare."""
    begin, total = time.perf_counter(), 0
    for number in range(5_000_000):
        total += number * number % 7
    return time.perf_counter() - begin

"""What a tick of totesys costs on a laptop: the first, warm ones of about 60 rows, and an idle one.

Run ``.venv/bin/python -m benchmarks.tick [--warm N]`` on an otherwise idle machine. Seconds depend on the machine; the
CPU-seconds of all processes of the local stack, by kind, depend on it less. So compare two trees by this, in turn. A
fixed piece of pure computation is measured, too: the ``yardstick``. Prints one table; asserts nothing.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from tidemark.operations.tick import run_tick

from benchmarks.measure import cpu_seconds, yardstick
from benchmarks.store import traffic
from local_stack import lifecycle
from local_stack.lifecycle import UpOptions
from local_stack.simulator.day import BusinessDay

if TYPE_CHECKING:
    from local_stack.stack import Stack


def change_sixty_rows(stack: Stack, seed: int) -> None:
    """Write about 60 rows: 14 sales and 7 purchases with their transactions, a silent update."""
    with stack.source_owner.connect() as connection:
        day = BusinessDay(connection, seed=seed)
        day.new_orders(13, 6)
        day.payment_batch()
        day.silent_update("sales_order")


class Measured:
    """Ticks of one stack, each a row of the table."""

    def __init__(self, stack: Stack, table: Table) -> None:
        self._stack, self._table = stack, table
        self._daemon = stack.aws.pid

    def tick(self, name: str) -> None:
        """Run a tick, and add its row."""
        before, asked, begin = cpu_seconds(self._daemon), traffic(self._daemon), time.perf_counter()
        tick = run_tick(self._stack.pipeline)
        seconds, spent = time.perf_counter() - begin, cpu_seconds(self._daemon)
        spent.subtract(before)
        asked = traffic(self._daemon).since(asked)
        kinds = ", ".join(f"{kind} {spent[kind]:.1f}" for kind in ("java", "python", "daemon", "weed"))
        steps = ", ".join(f"{state.name} {state.seconds:.1f}" for state in tick.execution.states if state.seconds >= 1)
        self._table.add_row(name, f"{seconds:.1f}", f"{sum(spent.values()):.1f}", kinds, steps, f"{asked.requests}")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--warm", type=int, default=6, help="ticks of about 60 rows (default 6)")
    given = parser.parse_args()
    title = f"Ticks of totesys; yardstick {yardstick():.2f} seconds"
    table = Table("tick", "seconds", "CPU-seconds", "of these", "steps (seconds)", "S3 requests", title=title)
    with tempfile.TemporaryDirectory() as folder:
        state_dir = Path(folder) / "state"
        stack = lifecycle.up(state_dir, UpOptions(), lambda _: None)
        try:
            measured = Measured(stack, table)
            measured.tick("first")
            for number in range(1, given.warm + 1):
                change_sixty_rows(stack, number)
                measured.tick(f"60 rows, {number}")
            measured.tick("idle")
        finally:
            lifecycle.down(state_dir)
    Console(width=140).print(table)


if __name__ == "__main__":
    main()

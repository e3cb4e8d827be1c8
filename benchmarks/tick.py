"""How long a tick takes, with cold job processes: the first, one of about 60 rows, an idle one.

Run ``.venv/bin/python benchmarks/tick.py [--rounds N]`` on an otherwise idle machine. Seconds depend on the machine, so
each round also measures a fixed piece of pure computation in this process, and every tick is given as a multiple of it
too: those ratios can be compared between machines and runs. Prints one table; asserts nothing.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table
from tidemark.operations.tick import Tick, run_tick

from local_stack import lifecycle
from local_stack.lifecycle import UpOptions
from local_stack.simulator.day import BusinessDay
from local_stack.stack import Stack

_LIMITS = {"first": 60, "60 rows": 30, "idle": 12}


def yardstick() -> float:
    """Seconds that a fixed computation takes here and now."""
    begin = time.perf_counter()
    total = 0
    for number in range(5_000_000):
        total += number * number % 7
    return time.perf_counter() - begin


def change_sixty_rows(stack: Stack, seed: int) -> None:
    """Write about 60 rows: 14 sales and 7 purchases with their transactions, a silent update."""
    with stack.source_owner.connect() as connection:
        day = BusinessDay(connection, seed=seed)
        day.new_orders(13, 6)
        day.payment_batch()
        day.silent_update("sales_order")


def one_round(seed: int) -> dict[str, Tick]:
    """Start a stack, run the three ticks, stop it."""
    with tempfile.TemporaryDirectory() as folder:
        state_dir = Path(folder) / "state"
        stack = lifecycle.up(state_dir, UpOptions(), lambda _: None)
        try:
            ticks = {"first": run_tick(stack.pipeline)}
            change_sixty_rows(stack, seed)
            ticks["60 rows"] = run_tick(stack.pipeline)
            ticks["idle"] = run_tick(stack.pipeline)
        finally:
            lifecycle.down(state_dir)
    return ticks


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=1, help="rounds to take the median of (default 1)")
    rounds = [(yardstick(), one_round(seed)) for seed in range(1, parser.parse_args().rounds + 1)]
    table = Table("tick", "seconds", "aim", "in yardsticks", "steps (seconds)", title="Ticks with cold job processes")
    for name, limit in _LIMITS.items():
        seconds = statistics.median(ticks[name].execution.seconds for _, ticks in rounds)
        ratio = statistics.median(ticks[name].execution.seconds / unit for unit, ticks in rounds)
        steps = ", ".join(f"{state.name} {state.seconds:.1f}" for state in rounds[-1][1][name].execution.states)
        table.add_row(name, f"{seconds:.1f}", f"<= {limit}", f"{ratio:.0f}", steps)
    Console(width=140).print(table)


if __name__ == "__main__":
    main()

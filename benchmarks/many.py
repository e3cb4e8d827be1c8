"""What a database of many small tables costs: the first tick, five tables changed, nothing changed.

Run ``.venv/bin/python -m benchmarks.many [--tables 500] [--seed 1]`` on an otherwise idle machine. The model is the one
that ``tidemark model init`` drafts. Prints a line for each tick; asserts nothing.
"""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from benchmarks import database
from benchmarks.contestants import Bench, Tidemark
from benchmarks.measure import yardstick
from benchmarks.page import Run
from local_stack.postgres.server import EmbeddedPostgres

# What is done, how many tables are changed before, and how often: whatever is warm is warm from the third run on.
_WORKS: Final = (("first load", 0, 1), ("5 tables changed", 5, 3), ("nothing changed", 0, 2))
_ROWS_CHANGED: Final = 10


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tables", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--cold", action="store_true", help="keep no job process from one tick to the next")
    given = parser.parse_args()
    # What was started is stopped again.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    _say(f"yardstick {yardstick():.2f} seconds")
    with ExitStack() as undo:
        folder = Path(undo.enter_context(tempfile.TemporaryDirectory(prefix="tidemark-many-")))
        server = EmbeddedPostgres.start(folder / "server")
        undo.callback(server.destroy)
        source, target = server.create_database("source"), server.create_database("target")
        tables = database.draw(given.tables, given.seed)
        with source.connect() as connection:
            database.create(connection, tables)
        (folder / "bench").mkdir()
        servers = () if server.pid is None else (server.pid,)
        bench = Bench(folder=folder / "bench", source=source, target=target, servers=servers)
        tidemark = Tidemark(bench, cold=given.cold)
        undo.callback(tidemark.remove)
        tidemark.prepare()
        for work, changed, times in _WORKS:
            for at in range(times):
                with source.connect() as connection:
                    database.change(connection, tables[at * changed : (at + 1) * changed], _ROWS_CHANGED)
                run = Run(rows=given.tables, work=work, tool=tidemark.name, keeps=tidemark.keeps, cost=tidemark.run())
                _say(f"{run.line()}, S3 {run.cost.traffic.requests}")


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()

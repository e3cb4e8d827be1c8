"""What a database of many small tables costs: the first tick, five tables changed, nothing changed.

Run ``.venv/bin/python -m benchmarks.many [--tables 500] [--seed 1]`` on an otherwise idle machine. Tidemark's model is
the one that ``tidemark model init`` drafts. Sling copies the same tables whole, and would do so each time: they have no
column that tells when a row was changed. So it runs once. Prints a line for each run; asserts nothing.
"""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Final

import yaml

from benchmarks import database
from benchmarks.contestants import Bench, Contestant, PeerRun, Tidemark
from benchmarks.measure import yardstick
from benchmarks.page import Run, say
from benchmarks.peers import SLING, Peer, sling_in
from local_stack.postgres.server import EmbeddedPostgres

if TYPE_CHECKING:
    from collections.abc import Collection

# What is done, how many tables are changed before, and how often: whatever is warm is warm from the third run on.
_WORKS: Final = (("first load", 0, 1), ("5 tables changed", 5, 3), ("nothing changed", 0, 2))
_ROWS_CHANGED: Final = 10


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tables", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--without", default="", help="tools that are left out, separated by commas")
    given = parser.parse_args()
    # What was started is stopped again.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    say(f"yardstick {yardstick():.2f} seconds")
    of_many_tables(given.tables, given.seed, set(given.without.split(",")))


def of_many_tables(number: int, seed: int, without: Collection[str]) -> list[Run]:
    """Let every tool do every work on a database of so many tables."""
    with ExitStack() as undo:
        folder = Path(undo.enter_context(tempfile.TemporaryDirectory(prefix="tidemark-many-")))
        server = EmbeddedPostgres.start(folder / "server")
        undo.callback(server.destroy)
        source, tables = server.create_database("source"), database.draw(number, seed)
        with source.connect() as connection:
            database.create(connection, tables)
        servers = () if server.pid is None else (server.pid,)

        def at(name: str) -> Bench:
            place = folder / name
            place.mkdir()
            return Bench(folder=place, source=source, target=server.create_database(name), servers=servers)

        tools: list[Contestant] = [Tidemark(at(name), cold=name == "cold") for name in ("warm", "cold")]
        tools.append(PeerRun(_sling(tables), at("sling")))
        tools = [tool for tool in tools if tool.name not in without]
        for tool in tools:
            undo.callback(tool.remove)
            tool.prepare()
        runs: list[Run] = []
        for work, changed, times in _WORKS:
            for turn in range(times):
                with source.connect() as connection:
                    database.change(connection, tables[turn * changed : (turn + 1) * changed], _ROWS_CHANGED)
                for tool in tools if work == _WORKS[0][0] else [tool for tool in tools if isinstance(tool, Tidemark)]:
                    runs.append(
                        Run(size=f"{number} tables", work=work, tool=tool.name, keeps=tool.keeps, cost=tool.run())
                    )
                    say(runs[-1].line())
        return runs


def _sling(tables: Collection[database.DrawnTable]) -> Peer:
    """Return Sling with all tables in one file, as its users describe more than one."""

    def command(folder: Path, _empty: bool) -> list[str]:
        streams = {f"public.{table.name}": None for table in tables}
        defaults = {"mode": "full-refresh", "object": "public.sling_{stream_table}"}
        file = folder / "replication.yaml"
        file.write_text(yaml.safe_dump({"source": "SRC", "target": "TGT", "defaults": defaults, "streams": streams}))
        return [sling_in(folder), "run", "--replication", str(file)]

    return Peer(SLING.name, SLING.requirements, f"public.sling_{next(iter(tables)).name}", SLING.history, command)


if __name__ == "__main__":
    main()

"""Tidemark beside its peers: ``.venv/bin/python -m benchmarks [--rows 100000,1000000] [--page docs/performance.md]``.

Every tool brings the same table into a warehouse of its own, one after the other, work by work: the first load, 50
scattered updates (three times), nothing, 60,000 updates. With ``--tables``, a database of so many small tables comes
after it. Source and warehouses have servers of their own on this machine. Takes a quarter of an hour for a million
rows, on an otherwise idle machine; prints each run as it ends.
"""

from __future__ import annotations

import argparse
import shlex
import signal
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Final

from benchmarks import orders, page
from benchmarks.contestants import Bench, Contestant, PeerRun, Tidemark
from benchmarks.many import of_many_tables
from benchmarks.measure import yardstick
from benchmarks.page import Run, say
from benchmarks.peers import PEERS
from local_stack.postgres.server import EmbeddedPostgres

if TYPE_CHECKING:
    from collections.abc import Sequence

    from local_stack.postgres.server import Credentials

_SETTINGS: Final[dict[str, str | int]] = {"shared_buffers": "1GB", "max_wal_size": "4GB"}
_SEED: Final = 1
# What is done, how many rows are changed before, and how often. Whatever is warm is warm from the third run on.
_WORKS: Final = (("first load", 0, 1), ("50 updates", 50, 3), ("nothing changed", 0, 2), ("60,000 updates", 60_000, 1))


def main() -> int:
    """Measure, print, and write the page if one is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", default="100000,1000000", help="sizes of the table, separated by commas")
    parser.add_argument("--tables", type=int, default=0, help="and a database of so many small tables")
    parser.add_argument("--without", default="", help="tools that are left out, separated by commas")
    parser.add_argument("--page", type=Path, help="write the page of results there")
    given = parser.parse_args()
    # What was started is stopped again.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    sizes, without = [int(size) for size in given.rows.split(",")], set(given.without.split(","))
    say(f"yardstick {yardstick():.2f} seconds")
    runs = [run for size in sizes for run in _of_size(size, without)]
    runs += of_many_tables(given.tables, _SEED, without) if given.tables else []
    text = page.markdown(runs, shlex.join([".venv/bin/python", "-m", "benchmarks", *sys.argv[1:]]), yardstick())
    if given.page:
        given.page.write_text(text, encoding="utf-8")
    say(text)
    return 0


def _of_size(rows: int, without: set[str]) -> list[Run]:
    """Let every tool do every work on a table of so many rows."""
    with ExitStack() as undo:
        folder = Path(undo.enter_context(tempfile.TemporaryDirectory(prefix="tidemark-benchmark-")))
        source, target = (_server(folder / name, undo) for name in ("source", "target"))
        servers = tuple(server.pid for server in (source, target) if server.pid is not None)
        bench = source.create_database("orders")
        with bench.connect() as connection:
            orders.create(connection, rows)

        def at(name: str) -> Bench:
            place = folder / name
            place.mkdir()
            return Bench(folder=place, source=bench, target=target.create_database(name), servers=servers)

        tools: list[Contestant] = [
            Tidemark(at(name), cold=name == "cold", refine=orders.write_star) for name in ("warm", "cold")
        ]
        tools += [PeerRun(peer, at(peer.name.lower())) for peer in PEERS]
        tools = [tool for tool in tools if tool.name not in without]
        for tool in tools:
            undo.callback(tool.remove)
            tool.prepare()
        return _alternating(rows, tools, bench)


def _server(folder: Path, undo: ExitStack) -> EmbeddedPostgres:
    server = EmbeddedPostgres.start(folder, settings=_SETTINGS)
    undo.callback(server.destroy)
    return server


def _alternating(rows: int, tools: Sequence[Contestant], source: Credentials) -> list[Run]:
    runs: list[Run] = []
    for work, changed, times in _WORKS:
        for _ in range(times):
            if changed:
                with source.connect() as connection:
                    orders.change(connection, changed)
            for tool in tools:
                runs.append(Run(size=f"{rows:,} rows", work=work, tool=tool.name, keeps=tool.keeps, cost=tool.run()))
                say(runs[-1].line())
        if work == _WORKS[0][0]:
            _check(rows, tools)
    return runs


def _check(rows: int, tools: Sequence[Contestant]) -> None:
    """Refuse to compare a tool that has not brought all rows."""
    for tool in tools:
        with tool.target.connect() as connection:
            found = orders.count(connection, tool.table)
        if found != rows:
            raise SystemExit(f"{tool.name} has brought {found} rows of {rows}")


if __name__ == "__main__":
    sys.exit(main())

"""The tools beside which Tidemark is measured: each in an environment of its own that is thrown away afterwards.

Each does what its users are told to do for one table with a key. Addresses with passwords are in the environment only.
"""

from __future__ import annotations

import os
import subprocess  # nosec B404 # runs the tools
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from benchmarks.orders import CHANGED_AT, KEY, TABLE

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from local_stack.postgres.server import Credentials

_QUIET: Final = {"INGESTR_DISABLE_TELEMETRY": "true", "SLING_DISABLE_TELEMETRY": "true", "DLT_TELEMETRY": "false"}


@dataclass(frozen=True)
class Peer:
    """A tool.

    Parameters
    ----------
    name, requirements
        What it is called, and what is installed for it, with exact versions.
    table, history
        Where its rows are; what it keeps of former versions.
    command
        From its environment's folder and whether the target is still empty: what a user runs.
    """

    name: str
    requirements: tuple[str, ...]
    table: str
    history: str
    command: Callable[[Path, bool], list[str]]

    def install(self, folder: Path) -> None:
        """Make its environment in `folder`."""
        uv = str(Path(sys.executable).with_name("uv"))
        subprocess.run([uv, "venv", "--quiet", str(folder)], check=True)  # noqa: S603 # nosec B603 # our own words
        python = str(folder / "bin/python")
        install = [uv, "pip", "install", "--quiet", "--python", python, *self.requirements]
        subprocess.run(install, check=True)  # noqa: S603 # nosec B603 # our own words


def environment(source: Credentials, target: Credentials, home: Path) -> Mapping[str, str]:
    """Return the variables with which any of them finds both databases, and `home` for what it notes."""
    where, to = _url(source), _url(target)
    known = {name: os.environ[name] for name in ("PATH", "TMPDIR", "LANG") if name in os.environ}
    return known | _QUIET | {"HOME": str(home), "SOURCE_URI": where, "DESTINATION_URI": to, "SRC": where, "TGT": to}


def _url(database: Credentials) -> str:
    # Not Credentials.uri: it has options that only libpq knows, and these tools have other drivers.
    password = database.password.get_secret_value()
    return (
        f"postgresql://{database.username}:{password}@{database.host}:{database.port}/{database.dbname}?sslmode=disable"
    )


def _ingestr(folder: Path, _empty: bool) -> list[str]:
    tables = ["--source-table", f"public.{TABLE}", "--dest-table", f"public.ingestr_{TABLE}"]
    how = ["--incremental-strategy", "scd2", "--primary-key", KEY, "--yes", "--progress", "log"]
    return [str(folder / "bin/ingestr"), "ingest", *tables, *how]


def sling_in(folder: Path) -> str:
    """Return Sling's program in its environment."""
    (program,) = folder.glob("lib/python*/site-packages/sling_linux_amd64/bin/sling-linux-amd64")
    return str(program)


def _sling(folder: Path, empty: bool) -> list[str]:
    between = ["--src-conn", "SRC", "--src-stream", f"public.{TABLE}", "--tgt-conn", "TGT"]
    how = ["--mode", "full-refresh"] if empty else ["--mode", "incremental", "--update-key", CHANGED_AT]
    return [sling_in(folder), "run", *between, "--tgt-object", f"public.sling_{TABLE}", "--primary-key", KEY, *how]


def _dlt(folder: Path, _empty: bool) -> list[str]:
    return [str(folder / "bin/python"), str(Path(__file__).with_name("dlt_orders.py")), TABLE]


_SCD2: Final = "type 2; reads all rows each time"
SLING: Final = Peer(
    "Sling",
    ("sling-linux-amd64==1.4.11",),
    f"public.sling_{TABLE}",
    "none; never sees deletes or silent updates",
    _sling,
)
PEERS: Final = (
    Peer("ingestr", ("ingestr==1.1.19",), f"public.ingestr_{TABLE}", _SCD2, _ingestr),
    SLING,
    Peer(
        "dlt",
        (
            *("dlt[postgres,sql-database]==1.31.0", "psycopg2-binary==2.9.13"),
            *("pyarrow==26.0.1", "pandas==3.1.1", "numpy==2.4.6"),
        ),
        f"dlt.{TABLE}",
        _SCD2,
        _dlt,
    ),
)

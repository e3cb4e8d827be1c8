"""Command-line arguments of the entry scripts, as Glue passes them (``--name value``)."""

from __future__ import annotations

import argparse
import sys

from tidemark.jobs import arguments_of


def parse_arguments(job: str, argv: list[str] | None = None) -> argparse.Namespace:
    """Parse the arguments of one job; Glue's own further arguments are left alone.

    Raises
    ------
    SystemExit
        With exit code 2 and the names that are missing.
    """
    parser = argparse.ArgumentParser(prog=f"{job}.py", allow_abbrev=False)
    for name in arguments_of(job):
        parser.add_argument(f"--{name}", required=True)
    return parser.parse_known_args(sys.argv[1:] if argv is None else argv)[0]

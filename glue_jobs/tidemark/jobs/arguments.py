"""Command-line arguments of the entry scripts, as Glue passes them (``--name value``)."""

from __future__ import annotations

import argparse
import sys
from typing import Literal, NoReturn

from tidemark.base.errors import TidemarkError
from tidemark.jobs.definitions import NO_DELETES, arguments_of, optional_arguments_of


class _Parser(argparse.ArgumentParser):
    """Says what is wrong by an exception: of a usage text on stderr Glue shows nothing but its exit code."""

    def error(self, message: str) -> NoReturn:
        raise TidemarkError(
            f"{self.prog}: {message}",
            expected="the arguments of tidemark/jobs/definitions.py, each with a value (Glue drops an empty one)",
            do="deploy again; for a run by hand see docs/deploy.md, The first run",
        )


def parse_arguments(job: str, argv: list[str] | None = None) -> argparse.Namespace:
    """Parse the arguments of one job; Glue's own further arguments are left alone.

    An optional argument that Glue left without its value counts as not given.

    Raises
    ------
    TidemarkError
        With the names that are missing.
    """
    parser = _Parser(prog=f"{job}.py", allow_abbrev=False, add_help=False)
    optional = optional_arguments_of(job)
    for name in arguments_of(job):
        if name not in optional:
            parser.add_argument(f"--{name}", required=True)
    for name, default in optional.items():
        parser.add_argument(f"--{name}", nargs="?", const=default, default=default)
    return parser.parse_known_args(sys.argv[1:] if argv is None else argv)[0]


def accepted_deletes(text: str) -> frozenset[str]:
    """Read the names of a comma list of tables; ``*`` stands for all, ``none`` for none."""
    names = frozenset(filter(None, (name.strip() for name in text.split(","))))
    return frozenset() if names == {NO_DELETES} else names


def given_credentials(arguments: argparse.Namespace, database: Literal["source", "warehouse"]) -> dict[str, str]:
    """What the settings of the deployment say of a database, for what its secret leaves out."""
    found = {name: getattr(arguments, f"{database}_{name}") for name in ("host", "port", "dbname")}
    return {name: value for name, value in found.items() if value}

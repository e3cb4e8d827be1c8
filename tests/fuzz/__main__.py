"""The long run of the fuzz: ``python -m tests.fuzz --seconds 600 --seed 1`` (``make fuzz``).

Half of the time in one process, with deaths at every boundary and S3 that fails; half of it on the real stack, with
processes that are killed and a server that crashes. With ``--ticks`` and ``--kills`` it goes on until there were so many
ticks in the former and so many jobs killed in the latter, on each server version of ``--servers``. After 50 ticks a
campaign ends, and another begins, with the next seed and a new shop: every check reads the whole history, which grows.
"""

from __future__ import annotations

import argparse
import math
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from local_stack.aws.state_dir import KEEP_WARM
from tests import servers
from tests.fuzz.siege import Siege

_TICKS_OF_A_CAMPAIGN = 50


def main() -> int:
    """Run both halves on each server version; the exit code is 0 if nothing was found."""
    parser = argparse.ArgumentParser(prog="make fuzz", description=__doc__)
    parser.add_argument("--seconds", type=float, default=600, help="for each server version")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--ticks", type=int, default=4, help="at least so many in the campaign")
    parser.add_argument("--kills", type=int, default=0, help="at least so many jobs killed with SIGKILL in the siege")
    parser.add_argument("--servers", default=str(servers.NEWEST), help="major versions, separated by commas")
    parser.add_argument("--cold", action="store_true", help="in the siege, each job starts a Java of its own")
    parser.add_argument("--only", choices=["campaign", "siege"])
    given = parser.parse_args()
    if given.cold:
        os.environ[KEEP_WARM] = "0"
    for major in map(int, given.servers.split(",")):
        if code := _run(given, major):
            return code
    return 0


def _run(given: argparse.Namespace, major: int) -> int:
    share = given.seconds if given.only else given.seconds / 2
    if given.only != "siege":
        number = math.ceil(given.ticks / _TICKS_OF_A_CAMPAIGN)
        asked = {"SEED": given.seed, "CAMPAIGNS": number, "SECONDS": share / number, "SERVER": major}
        asked["TICKS"] = math.ceil(given.ticks / number)
        environment = os.environ | {f"FUZZ_{name}": str(value) for name, value in asked.items()}
        campaigns = [sys.executable, "-m", "pytest", "-q", "-s", "-x", "tests/fuzz/test_fuzz.py"]
        if code := subprocess.run(campaigns, env=environment, check=False).returncode:  # noqa: S603 - our own
            return code
    if given.only != "campaign":
        siege = Siege(Path(tempfile.mkdtemp(prefix="tidemark-fuzz-")), given.seed, _say, major)
        try:
            siege.run(share, given.kills)
            _say(siege.summary())
        finally:
            siege.close()
    return 0


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())

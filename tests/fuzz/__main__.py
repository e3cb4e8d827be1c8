"""The long run of the fuzz: ``python -m tests.fuzz --seconds 600 --seed 1`` (``make fuzz``).

Half of the time in one process, with deaths at every boundary and S3 that fails; half of it on the real stack, with
processes that are killed and a server that crashes.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.fuzz.siege import Siege


def main() -> int:
    """Run both halves; the exit code is 0 if nothing was found."""
    parser = argparse.ArgumentParser(prog="make fuzz", description=__doc__)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", choices=["campaign", "siege"])
    given = parser.parse_args()
    share = given.seconds if given.only else given.seconds / 2
    if given.only != "siege":
        environment = os.environ | {"FUZZ_SEED": str(given.seed), "FUZZ_SECONDS": str(share)}
        campaign = [sys.executable, "-m", "pytest", "-q", "-s", "-x", "tests/fuzz/test_fuzz.py"]
        if code := subprocess.run(campaign, env=environment, check=False).returncode:  # noqa: S603 - our own
            return code
    if given.only != "campaign":
        siege = Siege(Path(tempfile.mkdtemp(prefix="tidemark-fuzz-")), given.seed, _say)
        try:
            siege.run(share)
            _say(siege.summary())
        finally:
            siege.close()
    return 0


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())

"""Plants each fault of the catalogue into a copy of a tree, and asks the tests: ``python -m tests.faults``.

With ``--tree`` another tree is asked, with its own environment: whether a suite that was changed still catches what it
did. A rule that the other tree does not have in these words is reported as such. Takes about an hour.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

from tests.faults.catalogue import FAULTS, Fault

REPO: Final = Path(__file__).resolve().parents[2]
# What some words were before they were changed, for trees of that time.
_FORMER: Final = {
    "AppliedBatch": "Run",
    "BATCHES": "RUNS",
    "_load_batch": "_load_run",
    "applied": "run",
    "batch": "seq",
    "closed_batch": "closed_seq",
    "delta.after": "after",
    "differs": "_differs",
    "evaluated_keys": "looked_at",
    "not a valid": "no",
    "per_row": "row_wise",
    "recorded_batch": "recorded_seq",
    "restore_marker": "mend_pending",
    "roll_back": "_set_back",
    "visible_xids": "seen",
}


def former(text: str) -> str:
    """The same code in the words of before."""
    for now, before in _FORMER.items():
        text = re.sub(rf"\b{now}\b", before, text)
    return text


def plant(tree: Path, fault: Fault) -> tuple[Path, str] | None:
    """Break a rule in a tree; return the file and its text before, or None if the rule is not there in these words."""
    asked = [(fault.old, fault.new), (former(fault.old), former(fault.new))]
    for old, new in [*asked, *([fault.once] if fault.once else [])]:
        found = [file for file in (tree / "glue_jobs").rglob("*.py") if old in file.read_text(encoding="utf-8")]
        if len(found) == 1 and found[0].read_text(encoding="utf-8").count(old) == 1:
            text = found[0].read_text(encoding="utf-8")
            found[0].write_text(text.replace(old, new), encoding="utf-8")
            return found[0], text
    return None


def ask(tree: Path, python: Path, fault: Fault) -> str:
    """Run the fault's tests until one fails; return which did, or nothing."""
    environment = os.environ | {"PYTHONPATH": f"{tree / 'glue_jobs'}{os.pathsep}{tree}"}
    for name in fault.tests:
        for file in (tree / "tests").rglob(name):
            command = [str(python), "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "-rfE", str(file)]
            done = subprocess.run(command, cwd=tree, env=environment, capture_output=True, text=True, check=False)  # noqa: S603
            if done.returncode not in (0, 5):
                failed = re.findall(r"^(?:FAILED|ERROR) \S*?(\S+?::\S+)", done.stdout, re.MULTILINE)
                return failed[0].rsplit("/", 1)[-1] if failed else f"{name} (exit code {done.returncode})"
    return ""


def main() -> int:
    """Plant, ask, and report line by line; the exit code is 1 if a fault was not caught."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--tree", type=Path, default=REPO, help="a clone that is set up; default: this one")
    parser.add_argument("--only", default="", help="only rules that contain this text")
    given = parser.parse_args()
    python, escaped = given.tree / ".venv" / "bin" / "python", 0
    with tempfile.TemporaryDirectory() as scratch:
        copy = Path(scratch) / "tree"
        subprocess.run(["git", "clone", "-q", str(given.tree), str(copy)], check=True)  # noqa: S603, S607
        for fault in [fault for fault in FAULTS if given.only in fault.rule]:
            began, planted = time.monotonic(), plant(copy, fault)
            caught = ask(copy, python, fault) if planted else ""
            if planted:
                planted[0].write_text(planted[1], encoding="utf-8")
            said = (f"caught by {caught}" if caught else "NOT CAUGHT") if planted else "not there"
            escaped += bool(planted and not caught)
            sys.stdout.write(f"{fault.rule:<70} {said} ({time.monotonic() - began:.0f} s)\n")
            sys.stdout.flush()
    return 1 if escaped else 0


if __name__ == "__main__":
    sys.exit(main())

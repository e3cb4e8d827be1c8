"""The commands, the daemon and the jobs on the machine of somebody who works with the real AWS, in an oddly named folder.

Nothing of what this person has set up for AWS or PostgreSQL is used, nothing fails because of it, and nothing is asked
of the proxy on the way to the real AWS.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests import hostile

ROOT = Path(__file__).resolve().parents[2]
ODD = 'it\'s "my" $HOME 100% `work`'


def test_a_tick_there(tmp_path: Path) -> None:
    proxy, home, folder = hostile.Proxy(), tmp_path / "home", tmp_path / ODD
    home.mkdir()
    folder.mkdir()
    environment = os.environ | hostile.environment(home, proxy)
    environment |= {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "glue_jobs")]), "COLUMNS": "200"}

    def tidemark(*arguments: str) -> str:
        command = "import sys; from local_stack.cli import main; main()"
        done = subprocess.run(  # noqa: S603 - the command as it is installed
            [sys.executable, "-c", command, *arguments, "--state", "its state"],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=900,
        )
        assert done.returncode == 0, f"{arguments}: {done.stdout}{done.stderr}"
        return done.stdout

    try:
        assert "ready; next: tidemark tick" in tidemark("up")
        assert "published run 1" in tidemark("tick")
        assert "all equal" in tidemark("reconcile")
        assert "Published" in tidemark("status")
    finally:
        tidemark("down")
    assert proxy.asked == []
    proxy.close()

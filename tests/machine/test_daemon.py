"""The daemon as a process of its own: started, found again, stopped, and telling why when it cannot start."""

from __future__ import annotations

import json
import os
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from tidemark.operations.executions import list_executions, start_execution, wait

from local_stack.aws.client import LocalAws, LocalStackError
from local_stack.aws.provisioning import provision
from local_stack.aws.state_dir import KEEP_WARM
from tests.machine.conftest import new_deployment
from tests.processes import is_alive

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DEPLOYMENT = replace(new_deployment("daemon"), landing_uri="s3://daemon-landing/some/prefix")
LEAVES_A_CHILD = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
open(sys.argv[0] + ".pids", "w").write(f"{child.pid}")
time.sleep(60)
"""


@pytest.fixture
def aws(tmp_path: Path) -> Iterator[LocalAws]:
    aws = LocalAws.start(tmp_path / "state")
    yield aws
    aws.stop()


def until(condition: object, seconds: float = 10) -> bool:
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:  # type: ignore[operator]
        time.sleep(0.05)
    return bool(condition())  # type: ignore[operator]


def test_the_daemons_life(aws: LocalAws, tmp_path: Path) -> None:
    assert LocalAws.attach(aws.state_dir) == aws
    with pytest.raises(LocalStackError, match="already running"):
        LocalAws.start(aws.state_dir)
    with pytest.raises(LocalStackError, match="found: none"):
        aws.state_machine()

    aws.put_secret("source", {"password": "one"})
    aws.put_secret("source", {"password": "hunter2"})
    secret = aws.client("secretsmanager").get_secret_value(SecretId="source")["SecretString"]
    assert json.loads(secret) == {"password": "hunter2"}
    for job in ("transform", "load"):
        (tmp_path / f"{job}.py").write_text("")
    script = tmp_path / "extract.py"
    script.write_text("")
    machine = provision(aws, DEPLOYMENT, tmp_path)
    assert provision(aws, DEPLOYMENT, tmp_path) == machine == aws.state_machine()

    states = aws.client("stepfunctions")
    first = wait(states, start_execution(states, machine), timeout=30)
    assert first.final_state == "NothingToDo"
    script.write_text(LEAVES_A_CHILD)
    start_execution(states, machine)
    pids = tmp_path / "extract.py.pids"
    assert until(lambda: pids.exists() and pids.read_text())
    assert [found.status for found in list_executions(states, machine)] == ["SUCCEEDED", "RUNNING"]

    aws.stop()
    child = int(pids.read_text())
    assert until(lambda: not is_alive(child))
    assert not (aws.state_dir / "stack.json").exists()
    with pytest.raises(LocalStackError, match=r"no local stack is running in .* tidemark up --state"):
        LocalAws.attach(aws.state_dir)
    aws.stop()
    on_disk = [path.read_bytes() for path in aws.state_dir.rglob("*") if path.is_file()]
    assert not [content for content in on_disk if b"hunter2" in content]


@pytest.mark.parametrize("kept", ["0", ""])
def test_jobs_start_cold_if_the_user_says_so(kept: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is kept warm has started a job's process; where nothing is, the daemon has."""
    monkeypatch.setenv(KEEP_WARM, kept)
    aws = LocalAws.start(tmp_path / "state")
    try:
        for job in ("extract", "transform", "load"):
            (tmp_path / f"{job}.py").write_text("import os\nopen(__file__ + '.parent', 'w').write(str(os.getppid()))")
        machine = provision(aws, DEPLOYMENT, tmp_path)
        wait(aws.client("stepfunctions"), start_execution(aws.client("stepfunctions"), machine), timeout=60)
        parent = int((tmp_path / "extract.py.parent").read_text())
        assert (parent == aws.pid) is (kept == "0")
    finally:
        aws.stop()


@pytest.mark.parametrize("kept", ["warm", "-1", "1.5", "604801", "nan"])
def test_a_time_that_cannot_be_is_refused_by_name(kept: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEEP_WARM, kept)
    with pytest.raises(
        LocalStackError, match=rf"^TIDEMARK_KEEP_WARM_SECONDS is '{kept}'; expected: whole seconds from"
    ):
        LocalAws.start(tmp_path / "state")


def test_a_stale_stack_file_is_not_believed(tmp_path: Path) -> None:
    bystander = os.getpid()
    (tmp_path / "stack.json").write_text(json.dumps({"endpoint": "http://127.0.0.1:1", "pid": bystander}))
    with pytest.raises(LocalStackError, match="no local stack is running"):
        LocalAws.attach(tmp_path)
    LocalAws(tmp_path, "http://127.0.0.1:1", "http://127.0.0.1:1", bystander).stop()
    assert is_alive(bystander)


def test_a_daemon_that_dies_shows_the_end_of_its_log(tmp_path: Path) -> None:
    (tmp_path / "stack.new").mkdir()
    with pytest.raises(LocalStackError, match=r"did not start; the end of .*aws.log:\n(.|\n)*IsADirectoryError"):
        LocalAws.start(tmp_path)

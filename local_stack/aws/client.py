"""The local AWS from outside: start and stop the daemon, and talk to it.

Promises that nothing here can reach the real AWS (starting and attaching isolate the process; endpoint and dummy
credentials are explicit), and that :meth:`LocalAws.stop` ends the daemon of this state directory or nothing at all.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import signal
import subprocess  # nosec B404 # starts the daemon
import sys
import time
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, overload

from tidemark.jobs.state_machine import TICK
from tidemark.operations.executions import Notification

from local_stack import isolation
from local_stack.aws import sdk
from local_stack.aws.state_dir import KEEP_WARM, LAKE_DIR, LOCK_FILE, LOG_FILE, NOTIFICATIONS_FILE, STACK_FILE

if TYPE_CHECKING:
    from types_boto3_cloudwatch import CloudWatchClient
    from types_boto3_glue import GlueClient
    from types_boto3_s3 import S3Client
    from types_boto3_secretsmanager import SecretsManagerClient
    from types_boto3_sns import SNSClient
    from types_boto3_stepfunctions import SFNClient

REPO: Final = Path(__file__).resolve().parents[2]

_NOT_FOR_THE_DAEMON: Final = ("PG", "TIDEMARK_")
_START_SECONDS: Final = 60.0
_STOP_SECONDS: Final = 20.0
_KEPT_AT_MOST: Final = 7 * 86_400


class LocalStackError(RuntimeError):
    """The local stack is not in the state that was asked for; the message says what to do."""


@dataclass(frozen=True)
class LocalAws:
    """A running local AWS.

    Parameters
    ----------
    state_dir
        Directory of the stack, absolute.
    endpoint
        URL that answers for every service but S3.
    store
        URL of S3.
    pid
        Process id of the daemon.
    """

    state_dir: Path
    endpoint: str
    store: str
    pid: int

    @classmethod
    def start(cls, state_dir: Path) -> LocalAws:
        """Start the daemon, detached from this terminal, and wait until it answers.

        Raises
        ------
        LocalStackError
            If one is already running there, the environment asks for something that cannot be, or the new one ended at
            once; then with the end of its log.
        """
        state_dir = state_dir.resolve()
        log = state_dir / LOG_FILE
        log.parent.mkdir(parents=True, exist_ok=True)
        if _is_running(state_dir):
            raise LocalStackError(f"a local stack is already running in {state_dir}; stop it with: tidemark down")
        options = _options(os.environ.get(KEEP_WARM, ""))
        (state_dir / STACK_FILE).unlink(missing_ok=True)
        isolation.enter()
        outer = {name: value for name, value in os.environ.items() if not name.startswith(_NOT_FOR_THE_DAEMON)}
        with log.open("ab") as output:
            daemon = subprocess.Popen(  # noqa: S603 # nosec B603 # our own module, no shell
                [sys.executable, "-m", "local_stack.aws.server", "--state", str(state_dir), *options],
                cwd=REPO,
                env=outer | isolation.variables(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        deadline = time.monotonic() + _START_SECONDS
        while not (state_dir / STACK_FILE).exists():
            if daemon.poll() is not None or time.monotonic() > deadline:
                daemon.kill()
                daemon.wait()
                tail = "\n".join(log.read_text(errors="replace").splitlines()[-15:])
                raise LocalStackError(f"the local AWS did not start; the end of {log}:\n{tail}")
            time.sleep(0.05)
        return cls.attach(state_dir)

    @classmethod
    def attach(cls, state_dir: Path) -> LocalAws:
        """Find the stack that runs in a directory.

        Raises
        ------
        LocalStackError
            If there is none.
        """
        state_dir = state_dir.resolve()
        with contextlib.suppress(FileNotFoundError, ValueError, KeyError):
            found = json.loads((state_dir / STACK_FILE).read_text())
            if _is_running(state_dir):
                isolation.enter(found["endpoint"], found["store"])
                return cls(state_dir, found["endpoint"], found["store"], found["pid"])
        raise LocalStackError(
            f"no local stack is running in {state_dir}; start it with: tidemark up --state {state_dir}"
        )

    def stop(self) -> None:
        """Stop the daemon and its job processes; nothing if it is gone already."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            # The lock is held by nobody but the daemon, so while it is, the process id is the daemon's.
            if _is_running(self.state_dir):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(self.pid, number)
            deadline = time.monotonic() + _STOP_SECONDS
            while _is_running(self.state_dir) and time.monotonic() < deadline:
                time.sleep(0.05)
        (self.state_dir / STACK_FILE).unlink(missing_ok=True)

    @overload
    def client(self, service: Literal["s3"]) -> S3Client: ...
    @overload
    def client(self, service: Literal["glue"]) -> GlueClient: ...
    @overload
    def client(self, service: Literal["sns"]) -> SNSClient: ...
    @overload
    def client(self, service: Literal["stepfunctions"]) -> SFNClient: ...
    @overload
    def client(self, service: Literal["secretsmanager"]) -> SecretsManagerClient: ...
    @overload
    def client(self, service: Literal["cloudwatch"]) -> CloudWatchClient: ...

    def client(self, service: sdk.Service) -> Any:
        """Give a boto3 client that talks to this stack and, whatever the user's settings, to nothing else."""
        return sdk.client(service, self.store if service == "s3" else self.endpoint)

    @property
    def about_store(self) -> str:
        """Where S3 is, for people."""
        if self.store == self.endpoint:
            return "in the local AWS's memory, by moto: there is no SeaweedFS for this machine"
        return f"{self.store}, SeaweedFS in {self.state_dir / LAKE_DIR}"

    def state_machine(self) -> str:
        """Look up the ARN of the one deployment's state machine of ticks.

        Raises
        ------
        LocalStackError
            If nothing, or more than one deployment, has been provisioned.
        """
        found = self.client("stepfunctions").list_state_machines()["stateMachines"]
        machines = [machine for machine in found if machine["name"].endswith(f"-{TICK}")]
        if len(machines) != 1:
            names = ", ".join(machine["name"] for machine in machines) or "none"
            raise LocalStackError(f"expected one state machine in {self.state_dir}, found: {names}")
        return machines[0]["stateMachineArn"]

    def put_secret(self, name: str, value: dict[str, str]) -> None:
        """Create or replace a secret; it lives in the daemon's memory only."""
        secrets = self.client("secretsmanager")
        try:
            secrets.put_secret_value(SecretId=name, SecretString=json.dumps(value))
        except secrets.exceptions.ResourceNotFoundException:
            secrets.create_secret(Name=name, SecretString=json.dumps(value))

    def notifications(self) -> list[Notification]:
        """List what was published to the topic, oldest first; kept in ``notifications.jsonl``."""
        file = self.state_dir / NOTIFICATIONS_FILE
        if not file.exists():
            return []
        lines = [json.loads(line) for line in file.read_text(encoding="utf-8").split("\n") if line]
        return [
            Notification(datetime.fromisoformat(line["time"]), line["subject"] or "", line["message"]) for line in lines
        ]


def _options(keep_warm: str) -> list[str]:
    """Make the daemon's options of what the user's environment asks for; nothing where it asks for nothing."""
    if not keep_warm:
        return []
    if not re.fullmatch(r"\d{1,6}", keep_warm) or int(keep_warm) > _KEPT_AT_MOST:
        raise LocalStackError(f"{KEEP_WARM} is {keep_warm!r}; expected: whole seconds from 0 to {_KEPT_AT_MOST}")
    return ["--keep-warm", keep_warm]


def _is_running(state_dir: Path) -> bool:
    """Whether a daemon holds the lock of a state directory."""
    try:
        with (state_dir / LOCK_FILE).open("r+") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False

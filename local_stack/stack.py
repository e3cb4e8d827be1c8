"""A running local deployment of Tidemark, as every command finds it again.

Owns the file ``tidemark.json`` of the state directory (what runs there; never a password) and the names of the
resources. Promises: passwords go from the user straight into the local Secrets Manager, which is the daemon's memory,
and are read from there; a process that knows a stack is isolated (:mod:`local_stack.isolation`).
"""

from __future__ import annotations

import functools
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from tidemark.base.database_url import Credentials
from tidemark.base.progress import progress_in
from tidemark.jobs.definitions import STEPS, UPKEEP_STEPS
from tidemark.jobs.deployment import Deployment
from tidemark.landing.area import Landing
from tidemark.model.definition import Model
from tidemark.model.loader import load_model
from tidemark.operations.executions import Execution
from tidemark.operations.pipeline import Pipeline

from local_stack import databases as own_databases
from local_stack import isolation
from local_stack.aws.client import LocalAws, LocalStackError
from local_stack.databases import DatabaseRef
from local_stack.postgres.server import EmbeddedPostgres

if TYPE_CHECKING:
    from tidemark.lake.reader import LakeReader

RECORD_FILE: Final = "tidemark.json"
_JOBS: Final = {step: job for job, step in (STEPS | UPKEEP_STEPS).items()}
_LINE_BYTES: Final = 200


@dataclass(frozen=True, kw_only=True)
class Record:
    """The content of ``tidemark.json``."""

    model_dir: str
    model_name: str
    landing_format: str
    source: DatabaseRef
    warehouse: DatabaseRef

    @classmethod
    def read(cls, state_dir: Path) -> Record | None:
        """Read it; None if there is none, or one of another shape."""
        try:
            data: dict[str, Any] = json.loads((state_dir / RECORD_FILE).read_text(encoding="utf-8"))
            return cls(
                **{**data, "source": DatabaseRef(**data["source"]), "warehouse": DatabaseRef(**data["warehouse"])}
            )
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return None

    def write(self, state_dir: Path) -> None:
        """Replace it in one step."""
        draft = state_dir / f".{RECORD_FILE}.new"
        draft.write_text(json.dumps(asdict(self), indent=1) + "\n", encoding="utf-8")
        draft.replace(state_dir / RECORD_FILE)

    def deployment(self) -> Deployment:
        """Names of everything that runs in the local AWS."""
        return deployment(self.model_name, self.model_dir, self.landing_format)


def deployment(model_name: str, model_dir: str, landing_format: str) -> Deployment:
    """Name everything that a model needs in the local AWS."""
    prefix = f"tidemark-{model_name.replace('_', '-')}"
    return Deployment(
        model_name=model_name,
        model_uri=model_dir,
        landing_uri=f"s3://{prefix}-landing",
        processed_uri=f"s3://{prefix}-processed",
        source_secret=f"{prefix}-source",
        warehouse_secret=f"{prefix}-warehouse",
        landing_format=landing_format,
    )


class Stack:
    """A running stack.

    Parameters
    ----------
    aws
        The local AWS.
    record
        What was set up in it.
    """

    def __init__(self, aws: LocalAws, record: Record) -> None:
        self.aws, self.record = aws, record
        self.state_dir, self.deployment = aws.state_dir, record.deployment()
        isolation.enter(aws.endpoint, aws.store)

    @classmethod
    def attach(cls, state_dir: Path) -> Stack:
        """Find the stack of a state directory.

        Raises
        ------
        LocalStackError
            If none runs there, or only half of one.
        """
        aws, record = LocalAws.attach(state_dir), Record.read(state_dir.resolve())
        if record is None:
            raise LocalStackError(
                f"the stack in {aws.state_dir} was never completely set up; "
                f"start it again with: tidemark up --state {aws.state_dir}"
            )
        return cls(aws, record)

    @functools.cached_property
    def pipeline(self) -> Pipeline:
        """What runs here, as every operation takes it."""
        record = self.record
        source, warehouse = (
            place.address + (" (embedded)" if place.embedded else "") for place in (record.source, record.warehouse)
        )
        return Pipeline(
            deployment=self.deployment,
            machine=self.aws.state_machine(),
            states=self.aws.client("stepfunctions"),
            logs=str(self.state_dir / "logs"),
            log_of=functools.partial(failed_log, self.state_dir),
            progress_of=functools.partial(last_progress, self.state_dir),
            notifications=self.aws.notifications,
            about={
                "local AWS": f"{self.aws.endpoint}, process {self.aws.pid}",
                "local S3": self.aws.about_store,
                "model": f"{record.model_name} ({record.model_dir}), landing {record.landing_format}",
                "source": source,
                "warehouse": warehouse,
            },
        )

    @functools.cached_property
    def model(self) -> Model:
        """The model as its folder says now."""
        return load_model(self.record.model_dir)

    @property
    def landing(self) -> Landing:
        """The landing area."""
        return Landing(self.deployment.landing_uri)

    @property
    def lake(self) -> LakeReader:
        """The lake."""
        return self.pipeline.lake

    @property
    def source(self) -> Credentials:
        """What the jobs read the source with."""
        return self._secret(self.deployment.source_secret)

    @property
    def warehouse(self) -> Credentials:
        """What the jobs write the warehouse with."""
        return self._secret(self.deployment.warehouse_secret)

    @property
    def source_owner(self) -> Credentials:
        """Who may write to the source: the embedded server's superuser, or whatever was given for an own database."""
        if self.record.source.embedded:
            return EmbeddedPostgres.attach(self.state_dir).credentials(own_databases.SOURCE_DATABASE)
        return self.source

    def put_secrets(self, source: Credentials, warehouse: Credentials) -> None:
        """Put the jobs' credentials into the local AWS; may be called again."""
        for name, database in (
            (self.deployment.source_secret, source),
            (self.deployment.warehouse_secret, warehouse),
        ):
            self.aws.put_secret(name, {key: str(value) for key, value in database.secret().items()})

    def _secret(self, name: str) -> Credentials:
        text = self.aws.client("secretsmanager").get_secret_value(SecretId=name)["SecretString"]
        return Credentials.model_validate_json(text)


def failed_log(state_dir: Path, execution: Execution) -> str:
    """Return the log of the step that failed; the execution's folder if that has none; nothing if there is none."""
    folder = _logs_of(state_dir, execution)
    for state in execution.states:
        log = folder / f"{_JOBS.get(state.name, '')}.log"
        if state.status == "FAILED" and log.is_file():
            return str(log)
    return str(folder) if folder.is_dir() else ""


def last_progress(state_dir: Path, execution: Execution) -> str:
    """Return how far the running step has come, if that is the last that it said."""
    for state in execution.states:
        log = _logs_of(state_dir, execution) / f"{_JOBS.get(state.name, '')}.log"
        if state.status == "RUNNING" and log.is_file():
            with log.open("rb") as lines:
                lines.seek(max(0, log.stat().st_size - _LINE_BYTES))
                return progress_in(lines.read().decode(errors="replace"))
    return ""


def _logs_of(state_dir: Path, execution: Execution) -> Path:
    return state_dir / "logs" / execution.name

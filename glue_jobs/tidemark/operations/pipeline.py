"""One pipeline that a person works with, wherever it runs: in a laptop's local AWS, or in an account.

The local stack makes one of what it started; :func:`of_stage` finds one on AWS by what is deployed there, with ordinary
AWS credentials. Nothing that works with a :class:`Pipeline` knows which of the two it is.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

from tidemark.base.aws import AwsRefusal, AwsSilence, client, code_of
from tidemark.base.credentials import Credentials, from_secret
from tidemark.base.errors import TidemarkError
from tidemark.jobs.definitions import STEPS, UPKEEP_STEPS
from tidemark.jobs.deployment import Deployment
from tidemark.jobs.state_machine import TICK, UPKEEP
from tidemark.landing.area import Landing
from tidemark.model.loader import load_model

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from types_boto3_glue import GlueClient
    from types_boto3_stepfunctions import SFNClient

    from tidemark.lake.reader import LakeReader
    from tidemark.model.definition import Model
    from tidemark.operations.executions import Execution, Notification
    from tidemark.warehouse.protocol import Warehouse


def _nobody_told() -> Sequence[Notification]:
    return ()


def _nothing_said(_: Execution) -> str:
    return ""


@dataclass(frozen=True, kw_only=True)
class Pipeline:
    """What every operation is given.

    Parameters
    ----------
    deployment
        Names and places of its parts.
    machine
        ARN of the tick's state machine.
    states
        Client of Step Functions.
    logs
        Where the logs of all executions are.
    log_of
        Says where the log of an execution's failed step is; empty if there is none.
    progress_of
        Says how far the running step of an execution has come; empty where nobody can tell.
    notifications
        What people were told so far, oldest first; on AWS nobody can read that afterwards.
    about
        Further lines of its status, name -> value.
    """

    deployment: Deployment
    machine: str
    states: SFNClient
    logs: str
    log_of: Callable[[Execution], str]
    progress_of: Callable[[Execution], str] = _nothing_said
    notifications: Callable[[], Sequence[Notification]] = _nobody_told
    about: Mapping[str, str] = field(default_factory=dict)

    @functools.cached_property
    def model(self) -> Model:
        """The model as it is deployed now."""
        return load_model(self.deployment.model_uri, self.deployment.lake_name)

    @functools.cached_property
    def landing(self) -> Landing:
        """The landing area."""
        return Landing(self.deployment.landing_uri)

    @property
    def upkeep_machine(self) -> str:
        """ARN of the maintenance's state machine."""
        return f"{self.machine.removesuffix(TICK)}{UPKEEP}"

    @property
    def lake(self) -> LakeReader:
        """The lake."""
        # A second of Python that a tick with nothing to do has no use for.
        from tidemark.lake.reader import LakeReader  # noqa: PLC0415

        return LakeReader(self.model, self.deployment.processed_uri)

    @property
    def source(self) -> Credentials:
        """What the jobs read the source with."""
        return self._credentials("source", self.deployment.source_secret)

    @property
    def warehouse(self) -> Warehouse:
        """The warehouse, with what the jobs write it with."""
        from tidemark.warehouse.kinds import open_warehouse  # noqa: PLC0415 - as for the lake

        credentials = self._credentials("warehouse", self.deployment.warehouse_secret)
        return open_warehouse(self.deployment.warehouse_kind, self.model, credentials)

    def _credentials(self, database: str, secret: str) -> Credentials:
        told = {name: getattr(self.deployment, f"{database}_{name}") for name in ("host", "port", "dbname")}
        given = {name: str(value) for name, value in told.items() if value}
        return from_secret(secret, self.deployment.ca_file, given)


def of_stage(stage: str, model: str = "", ca_file: str = "system") -> Pipeline:
    """Find the pipeline of a stage in the account and region that the AWS settings of this process name.

    Parameters
    ----------
    model
        Its model, where the stage has several pipelines.
    ca_file
        File of the authorities that signed the databases' certificates, on this machine.

    Raises
    ------
    TidemarkError
        If there is none, or more than one.
    """
    try:
        states, glue = client("stepfunctions"), client("glue")
        pages = states.get_paginator("list_state_machines").paginate()
        found = [machine for page in pages for machine in page["stateMachines"]]
        first, last = f"tidemark-{model.replace('_', '-')}", f"-{stage}-{TICK}"
        ours = {m["name"]: m["stateMachineArn"] for m in found if m["name"].startswith(first)}
        ours = {name: arn for name, arn in ours.items() if name.endswith(last) and (not model or name == first + last)}
        if len(ours) != 1:
            raise _not_one(stage, sorted(name.removeprefix("tidemark-").removesuffix(last) for name in ours))
        ((name, machine),) = ours.items()
        deployment = _deployed(glue, name.removesuffix(f"-{TICK}"), stage, ca_file)
    except (AwsRefusal, AwsSilence) as error:
        raise TidemarkError(
            f"AWS does not tell what stage {stage!r} consists of ({code_of(error)})",
            expected="credentials and a region that may call states:ListStateMachines and glue:GetJob",
            do="set AWS_PROFILE, or AWS_ACCESS_KEY_ID and its like, and AWS_REGION",
        ) from None
    return Pipeline(
        deployment=deployment,
        machine=machine,
        states=states,
        logs=f"CloudWatch, /aws-glue/{deployment.prefix}/output",
        log_of=functools.partial(_cloudwatch_log, deployment),
        about={"stage": stage, "state machine": machine},
    )


def _not_one(stage: str, models: Sequence[str]) -> TidemarkError:
    if models:
        return TidemarkError(
            f"stage {stage!r} has {len(models)} pipelines: {', '.join(models)}", do="say which, with --model"
        )
    return TidemarkError(
        f"there is no pipeline of stage {stage!r} in this account and region",
        expected=f"a state machine tidemark-<model>-{stage}-{TICK}",
        do="deploy it (make deploy), or set AWS_PROFILE and AWS_REGION to where it is",
    )


def _deployed(glue: GlueClient, prefix: str, stage: str, ca_file: str) -> Deployment:
    """Read a deployment from the arguments that its jobs were created with."""
    told: dict[str, Any] = {}
    for job in (*STEPS, *UPKEEP_STEPS):
        arguments = glue.get_job(JobName=f"{prefix}-{job}")["Job"].get("DefaultArguments", {})
        told |= {name.removeprefix("--"): value for name, value in arguments.items()}
    known = {field.name for field in fields(Deployment)}
    values: dict[str, Any] = {
        name: int(value) if name.endswith(("_port", "_days")) else value
        for name, value in told.items()
        if name in known
    }
    values |= {"ca_file": ca_file, "start_spark": told.get("start_spark") == "true"}
    return Deployment(**values, model_name=told["lake_name"].removesuffix(f"_{stage}"), stage=stage)


def _cloudwatch_log(deployment: Deployment, execution: Execution) -> str:
    failed = next((state.job_run for state in execution.states if state.status == "FAILED" and state.job_run), "")
    return f"aws logs tail /aws-glue/{deployment.prefix}/output --log-stream-names {failed}" if failed else ""

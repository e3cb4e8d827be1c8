"""One deployment's resources, put into the local AWS: buckets, topic, jobs, state machines.

Promises: :func:`provision` may be called again at any time.
"""

from __future__ import annotations

import contextlib
import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tidemark.jobs.definitions import JobDefinition, job_definitions
from tidemark.jobs.state_machine import Definitions, machine_names, state_machine_substitutions

from local_stack.aws.client import REPO
from local_stack.isolation import REGION

if TYPE_CHECKING:
    from tidemark.jobs.deployment import Deployment

    from local_stack.aws.client import LocalAws

STATE_MACHINES: Final = REPO / "state_machines"
_ACCOUNT: Final = "123456789012"
_ROLE: Final = f"arn:aws:iam::{_ACCOUNT}:role/tidemark-local"


def provision(
    aws: LocalAws,
    deployment: Deployment,
    scripts_dir: Path = REPO / "glue_jobs",
    definition: str | None = None,
) -> str:
    """Create or bring up to date the buckets, topic, jobs and state machines of a deployment.

    Parameters
    ----------
    deployment
        What to create.
    scripts_dir
        Folder of the entry scripts.
    definition
        The tick's state machine with its placeholders; ``state_machines/etl.asl.json`` unless given.

    Returns
    -------
    str
        ARN of the tick's state machine.
    """
    _create_buckets(aws, deployment)
    topic = aws.client("sns").create_topic(Name=f"{deployment.prefix}-notifications")["TopicArn"]
    for job in job_definitions(deployment):
        _create_job(aws, job, scripts_dir)
    definitions = Definitions.read(STATE_MACHINES, deployment.time_limits)
    machines = f"arn:aws:states:{REGION}:{_ACCOUNT}:stateMachine:"
    values = state_machine_substitutions(deployment, topic, machines)
    tick, upkeep = machine_names(deployment)
    _create_state_machine(aws, upkeep, _bound(definitions.upkeep, values))
    return _create_state_machine(aws, tick, _bound(definition or definitions.tick, values))


def _bound(text: str, values: dict[str, str]) -> str:
    return re.sub(r"\$\{(\w+)\}", lambda found: values[found[1]], text)


def _create_buckets(aws: LocalAws, deployment: Deployment) -> None:
    s3 = aws.client("s3")
    uris = (deployment.model_uri, deployment.landing_uri, deployment.processed_uri)
    wanted = {uri.removeprefix("s3://").split("/")[0] for uri in uris if uri.startswith("s3://")}
    for bucket in sorted(wanted - {found["Name"] for found in s3.list_buckets()["Buckets"]}):
        s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": REGION})


def _create_job(aws: LocalAws, job: JobDefinition, scripts_dir: Path) -> None:
    glue = aws.client("glue")
    script = {"Name": "glueetl", "ScriptLocation": str(scripts_dir / job.script), "PythonVersion": "3"}
    with contextlib.suppress(glue.exceptions.EntityNotFoundException):
        found = glue.get_job(JobName=job.name)["Job"]
        if found["Command"] == script and found["DefaultArguments"] == job.arguments:
            return
        glue.delete_job(JobName=job.name)
    glue.create_job(
        Name=job.name,
        Role=_ROLE,
        Command=script,  # type: ignore[arg-type]
        DefaultArguments=job.arguments,
        ExecutionProperty={"MaxConcurrentRuns": 1},
        MaxRetries=0,
        Timeout=job.timeout_minutes,
    )


def _create_state_machine(aws: LocalAws, name: str, definition: str) -> str:
    states = aws.client("stepfunctions")
    machines = states.list_state_machines()["stateMachines"]
    arn = next((machine["stateMachineArn"] for machine in machines if machine["name"] == name), None)
    if arn is None:
        return states.create_state_machine(name=name, definition=definition, roleArn=_ROLE)["stateMachineArn"]
    if states.describe_state_machine(stateMachineArn=arn)["definition"] != definition:
        states.update_state_machine(stateMachineArn=arn, definition=definition)
    return arn

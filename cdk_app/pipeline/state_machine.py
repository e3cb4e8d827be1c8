"""The state machines, from the very files that the laptop runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from aws_cdk import aws_logs as logs
from aws_cdk import aws_stepfunctions as sfn
from constructs import Construct
from tidemark.jobs.definitions import STEPS, UPKEEP_STEPS
from tidemark.jobs.state_machine import Definitions, machine_names, state_machine_substitutions
from tidemark.landing.area import PENDING_PREFIX

from cdk_app.acknowledgements import acknowledge_wildcards
from cdk_app.pipeline.jobs import log_retention
from cdk_app.settings import REPO

if TYPE_CHECKING:
    from tidemark.jobs.deployment import Deployment

    from cdk_app.notifications import Operations
    from cdk_app.pipeline.jobs import EtlJobs
    from cdk_app.settings import Settings

ASL_FOLDER: Final = REPO / "state_machines"
LOG_PREFIX: Final = "/aws/vendedlogs/states/"
_RUN_JOBS: Final = ["glue:StartJobRun", "glue:GetJobRun", "glue:GetJobRuns", "glue:BatchStopJobRun"]


class Machines(Construct):
    """The tick's state machine and the maintenance's, each with its log and its role."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        settings: Settings,
        deployment: Deployment,
        jobs: EtlJobs,
        operations: Operations,
    ) -> None:
        super().__init__(scope, construct_id)
        self._settings, self._jobs, self._operations = settings, jobs, operations
        definitions = Definitions.read(ASL_FOLDER, deployment.time_limits)
        tick, upkeep = machine_names(deployment)
        # By their names: each of the two looks for the other.
        self._values = state_machine_substitutions(deployment, operations.topic.topic_arn, self._arn(""))
        self.tick = self._machine(
            "Machine", tick, definitions.tick, [*STEPS], upkeep, [_find_pending(self, deployment)]
        )
        self.upkeep = self._machine("Upkeep", upkeep, definitions.upkeep, [*UPKEEP_STEPS], tick, [])

    def _machine(
        self,
        construct_id: str,
        name: str,
        definition: str,
        jobs: list[str],
        other: str,
        further: list[iam.PolicyStatement],
    ) -> sfn.StateMachine:
        """Make one, that runs some of the jobs, and sees whether the other is running."""
        settings, operations = self._settings, self._operations
        log = logs.LogGroup(
            self,
            f"{construct_id}Log",
            # This prefix keeps Step Functions from filling up the account's resource policy for logs.
            log_group_name=f"{LOG_PREFIX}{name}",
            encryption_key=operations.key,
            retention=log_retention(settings.retention_days),
            removal_policy=cdk.RemovalPolicy.DESTROY,
        )
        role = iam.Role(
            self,
            f"{construct_id}Role",
            assumed_by=iam.ServicePrincipal(
                "states.amazonaws.com", conditions={"StringEquals": {"aws:SourceAccount": cdk.Stack.of(self).account}}
            ),
            description=f"Tidemark {settings.stage}: what {name} may do",
            inline_policies={"machine": iam.PolicyDocument(statements=[*further, *self._statements(jobs, other)])},
        )
        acknowledge_wildcards(role, ["*"])
        return sfn.StateMachine(
            self,
            construct_id,
            state_machine_name=name,
            definition_body=sfn.DefinitionBody.from_string(definition),
            definition_substitutions={key: text for key, text in self._values.items() if f"${{{key}}}" in definition},
            role=role,
            tracing_enabled=True,
            logs=sfn.LogOptions(destination=log, level=sfn.LogLevel.ALL, include_execution_data=True),
        )

    def _statements(self, jobs: list[str], other: str) -> list[iam.PolicyStatement]:
        topic, key = self._operations.topic.topic_arn, self._operations.key.key_arn
        run = [self._jobs.by_key[job].job_arn for job in jobs]
        return [
            iam.PolicyStatement(sid="RunJobs", actions=_RUN_JOBS, resources=run),
            iam.PolicyStatement(sid="SeeTheOther", actions=["states:ListExecutions"], resources=[self._arn(other)]),
            iam.PolicyStatement(sid="Notify", actions=["sns:Publish"], resources=[topic]),
            iam.PolicyStatement(
                sid="EncryptNotification", actions=["kms:Decrypt", "kms:GenerateDataKey"], resources=[key]
            ),
        ]

    def _arn(self, name: str) -> str:
        stack = cdk.Stack.of(self)
        return f"arn:{stack.partition}:states:{stack.region}:{stack.account}:stateMachine:{name}"


def _find_pending(scope: Construct, deployment: Deployment) -> iam.PolicyStatement:
    bucket = deployment.landing_uri.removeprefix("s3://")
    return iam.PolicyStatement(
        sid="FindPending",
        actions=["s3:ListBucket"],
        resources=[f"arn:{cdk.Stack.of(scope).partition}:s3:::{bucket}"],
        conditions={"StringLike": {"s3:prefix": f"{PENDING_PREFIX}*"}},
    )

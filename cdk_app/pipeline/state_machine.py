"""The state machine, from the very file that the laptop runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from aws_cdk import aws_logs as logs
from aws_cdk import aws_stepfunctions as sfn
from constructs import Construct
from tidemark.jobs.state_machine import state_machine_definition, state_machine_substitutions
from tidemark.landing.area import PENDING_PREFIX

from cdk_app.acknowledgements import acknowledge_wildcards
from cdk_app.pipeline.jobs import log_retention
from cdk_app.settings import REPO

if TYPE_CHECKING:
    from tidemark.jobs.deployment import Deployment

    from cdk_app.notifications import Operations
    from cdk_app.pipeline.jobs import EtlJobs
    from cdk_app.settings import Settings

ASL_FILE: Final = REPO / "state_machines" / "etl.asl.json"
LOG_PREFIX: Final = "/aws/vendedlogs/states/"
_RUN_JOBS: Final = ["glue:StartJobRun", "glue:GetJobRun", "glue:GetJobRuns", "glue:BatchStopJobRun"]


class EtlMachine(Construct):
    """The state machine with its log and its role."""

    def __init__(  # long: one construct after the other, nothing is decided
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
        name = f"{deployment.prefix}-etl"
        log = logs.LogGroup(
            self,
            "Log",
            # This prefix keeps Step Functions from filling up the account's resource policy for logs.
            log_group_name=f"{LOG_PREFIX}{name}",
            encryption_key=operations.key,
            retention=log_retention(settings.retention_days),
            removal_policy=cdk.RemovalPolicy.DESTROY,
        )
        self.role = iam.Role(
            self,
            "Role",
            assumed_by=iam.ServicePrincipal(
                "states.amazonaws.com", conditions={"StringEquals": {"aws:SourceAccount": cdk.Stack.of(self).account}}
            ),
            description=f"Tidemark {settings.stage}: what the state machine may do",
            inline_policies={"machine": self._policy(deployment, jobs, operations)},
        )
        self.machine = sfn.StateMachine(
            self,
            "Machine",
            state_machine_name=name,
            definition_body=sfn.DefinitionBody.from_string(
                state_machine_definition(ASL_FILE.read_text(encoding="utf-8"), deployment.time_limits)
            ),
            definition_substitutions=state_machine_substitutions(deployment, operations.topic.topic_arn),
            role=self.role,
            tracing_enabled=True,
            logs=sfn.LogOptions(destination=log, level=sfn.LogLevel.ALL, include_execution_data=True),
        )
        acknowledge_wildcards(self.role, ["*"])

    def _policy(self, deployment: Deployment, jobs: EtlJobs, operations: Operations) -> iam.PolicyDocument:
        return iam.PolicyDocument(
            statements=[
                iam.PolicyStatement(
                    sid="RunJobs", actions=_RUN_JOBS, resources=[job.job_arn for job in jobs.by_key.values()]
                ),
                iam.PolicyStatement(
                    sid="FindPending",
                    actions=["s3:ListBucket"],
                    resources=[
                        f"arn:{cdk.Stack.of(self).partition}:s3:::{deployment.landing_uri.removeprefix('s3://')}"
                    ],
                    conditions={"StringLike": {"s3:prefix": f"{PENDING_PREFIX}*"}},
                ),
                iam.PolicyStatement(sid="Notify", actions=["sns:Publish"], resources=[operations.topic.topic_arn]),
                iam.PolicyStatement(
                    sid="EncryptNotification",
                    actions=["kms:Decrypt", "kms:GenerateDataKey"],
                    resources=[operations.key.key_arn],
                ),
            ]
        )

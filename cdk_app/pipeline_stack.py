"""What runs: a table of contents. Each construct is one concern; every line between them says who may reach whom."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import aws_cdk as cdk

from cdk_app.deployment import deployment_of
from cdk_app.monitoring.alarms import Alarms
from cdk_app.monitoring.dashboard import Dashboard
from cdk_app.notifications import Operations
from cdk_app.pipeline.assets import JobAssets
from cdk_app.pipeline.jobs import EtlJobs
from cdk_app.pipeline.network import JobNetwork
from cdk_app.pipeline.roles import JobRoles
from cdk_app.pipeline.schedule import TickSchedule
from cdk_app.pipeline.state_machine import LOG_PREFIX, Machines

if TYPE_CHECKING:
    from pathlib import Path

    from constructs import Construct

    from cdk_app.settings import Settings
    from cdk_app.storage_stack import StorageStack


class PipelineStack(cdk.Stack):
    """Jobs, state machines, schedules, alarms, dashboard."""

    def __init__(  # long: one construct after the other, nothing is decided
        self,
        scope: Construct,
        construct_id: str,
        *,
        settings: Settings,
        storage: StorageStack,
        wheels: Path,
        **kwargs: Any,
    ) -> None:
        super().__init__(scope, construct_id, **kwargs)
        self.add_stack_dependency(storage)
        job_logs = f"/aws-glue/{settings.name}"
        assets = JobAssets(self, "Assets", wheels=wheels, model_dir=settings.model_dir, ca_bundle=settings.ca_bundle)
        self.deployment = deployment_of(settings, model_uri=assets.model_uri, ca_file=assets.ca_file)
        self.operations = Operations(
            self, "Operations", settings=settings, log_prefixes=[job_logs, f"{LOG_PREFIX}{settings.name}"]
        )
        self.network = JobNetwork(self, "Network", settings=settings, name=settings.name)
        self.roles = JobRoles(
            self,
            "Roles",
            settings=settings,
            deployment=self.deployment,
            lake_key=storage.buckets.key,
            assets=assets,
            network=self.network,
            log_prefix=job_logs,
        )
        self.jobs = EtlJobs(
            self,
            "Jobs",
            settings=settings,
            deployment=self.deployment,
            assets=assets,
            network=self.network,
            roles=self.roles,
            log_prefix=job_logs,
            log_key=self.operations.key,
        )
        self.machines = Machines(
            self,
            "StateMachine",
            settings=settings,
            deployment=self.deployment,
            jobs=self.jobs,
            operations=self.operations,
        )
        self.schedule = TickSchedule(
            self,
            "Schedule",
            settings=settings,
            tick=self.machines.tick,
            upkeep=self.machines.upkeep,
            key=self.operations.key,
        )
        self.alarms = Alarms(
            self,
            "Alarms",
            settings=settings,
            machine=self.machines.tick,
            upkeep=self.machines.upkeep,
            schedule=self.schedule,
            pipeline=self.deployment.pipeline,
            topic=self.operations.topic,
        )
        self.dashboard = Dashboard(
            self,
            "Overview",
            settings=settings,
            deployment=self.deployment,
            machine=self.machines.tick,
            alarms=self.alarms,
        )
        self._outputs(settings)

    def _outputs(self, settings: Settings) -> None:
        """Give a person the places to go to."""
        console = f"https://{self.region}.console.aws.amazon.com"
        machine = self.machines.tick.state_machine_arn
        cdk.CfnOutput(
            self,
            "StateMachineConsole",
            value=f"{console}/states/home?region={self.region}#/statemachines/view/{machine}",
        )
        cdk.CfnOutput(
            self,
            "DashboardConsole",
            value=f"{console}/cloudwatch/home?region={self.region}#dashboards/dashboard/{settings.name}",
        )
        cdk.CfnOutput(self, "NotificationTopic", value=self.operations.topic.topic_arn)
        cdk.CfnOutput(self, "DeadLetters", value=self.schedule.dead_letters.queue_url)

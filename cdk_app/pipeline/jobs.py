"""The Glue jobs, from the same definitions that the laptop runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import aws_cdk as cdk
from aws_cdk import aws_glue as glue
from aws_cdk import aws_logs as logs
from constructs import Construct
from tidemark.jobs.definitions import job_definitions

from cdk_app.acknowledgements import acknowledge

if TYPE_CHECKING:
    from aws_cdk import aws_kms as kms
    from aws_cdk import aws_s3 as s3
    from tidemark.jobs.definitions import JobDefinition
    from tidemark.jobs.deployment import Deployment

    from cdk_app.pipeline.assets import JobAssets
    from cdk_app.pipeline.network import JobNetwork
    from cdk_app.pipeline.roles import JobRoles
    from cdk_app.settings import Settings

GLUE_VERSION: Final = glue.GlueVersion.V6_0
# Spark jobs without Iceberg's jars would do for extract and load, but one environment for all is one less to doubt.
_DATALAKE: Final = {"--datalake-formats": "iceberg"}


class EtlJobs(Construct):
    """The jobs, by key: ``extract``, ``transform``, ``load``, ``maintain``; and their log groups."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        settings: Settings,
        deployment: Deployment,
        assets: JobAssets,
        network: JobNetwork,
        roles: JobRoles,
        log_prefix: str,
        log_key: kms.IKey,
    ) -> None:
        super().__init__(scope, construct_id)
        self._settings, self._assets, self._network, self._roles = settings, assets, network, roles
        self._log_prefix = log_prefix
        for stream in ("output", "error"):
            logs.LogGroup(
                self,
                f"{stream.capitalize()}Logs",
                log_group_name=f"{log_prefix}/{stream}",
                encryption_key=log_key,
                retention=log_retention(settings.retention_days),
                removal_policy=cdk.RemovalPolicy.DESTROY,
            )
        # No security configuration: with one, Glue logs to groups of another name, which nobody makes and which have no
        # key. The groups above have theirs, and the buckets encrypt by themselves.
        acknowledge(
            self,
            "Annotation::@aws-cdk/aws-glue-alpha:plaintextJobArgumentSecret",
            "AwsSolutions-GL1",
            "AwsSolutions-GL3",
        )
        self.by_key = {job.key: self._job(job) for job in job_definitions(deployment)}

    def _job(self, job: JobDefinition) -> glue.PySparkEtlJob:
        workers = getattr(self._settings.workers, job.key)
        return glue.PySparkEtlJob(
            self,
            job.key.capitalize(),
            job_name=job.name,
            description=f"Tidemark {self._settings.stage}: {job.key}",
            # The grants are written by hand (roles.py): the construct would add its own, of the whole asset bucket.
            role=self._roles.by_job[job.key].without_policy_updates(),
            script=_code(self._assets.scripts[job.key].bucket, self._assets.scripts[job.key].s3_object_key),
            extra_python_files=[_code(self._assets.package.bucket, self._assets.package.s3_object_key)],
            extra_files=self._authorities(job),
            glue_version=GLUE_VERSION,
            worker_configuration=glue.WorkerConfiguration(worker_type=glue.WorkerType.G_1X, number_of_workers=workers),
            connections=[self._network.connection],
            timeout=cdk.Duration.minutes(job.timeout_minutes),
            max_concurrent_runs=1,
            max_retries=0,
            continuous_logging=glue.ContinuousLoggingProps(enabled=True),
            default_arguments={
                **job.arguments,
                **_DATALAKE,
                "--additional-python-modules": self._assets.wheels.s3_object_url,
                "--python-modules-installer-option": "--no-index",
                "--custom-logGroup-prefix": self._log_prefix,
                "--enable-auto-scaling": "true",
            },
        )

    def _authorities(self, job: JobDefinition) -> list[glue.Code] | None:
        """Give a job the authorities if it speaks to a database; the others may not even read the file."""
        bundle = self._assets.ca_bundle
        return [_code(bundle.bucket, bundle.s3_object_key)] if bundle and "--ca_file" in job.arguments else None


def log_retention(days: int) -> logs.RetentionDays:
    """The shortest retention that CloudWatch Logs knows and that keeps at least so many days."""
    known = {
        1: "ONE_DAY",
        3: "THREE_DAYS",
        5: "FIVE_DAYS",
        7: "ONE_WEEK",
        14: "TWO_WEEKS",
        30: "ONE_MONTH",
        60: "TWO_MONTHS",
        90: "THREE_MONTHS",
        120: "FOUR_MONTHS",
        150: "FIVE_MONTHS",
        180: "SIX_MONTHS",
        365: "ONE_YEAR",
        400: "THIRTEEN_MONTHS",
        545: "EIGHTEEN_MONTHS",
        731: "TWO_YEARS",
        1827: "FIVE_YEARS",
        3653: "TEN_YEARS",
    }
    return logs.RetentionDays[next(name for most, name in known.items() if days <= most)]


def _code(bucket: s3.IBucket, key: str) -> glue.Code:
    """Refer to an object without granting its whole bucket to the role: that is done object by object."""
    return glue.Code.from_bucket(bucket, key)

"""What each job may do: its own buckets, databases, secret, logs and keys, and nothing else.

Written by hand, statement by statement: a job's role is the answer to "what can go wrong at worst". The table of all
permissions is tested (``tests/infra/test_permissions.py``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from constructs import Construct
from tidemark.base import metrics

from cdk_app.acknowledgements import acknowledge_wildcards

if TYPE_CHECKING:
    from aws_cdk import aws_kms as kms
    from tidemark.jobs.deployment import Deployment

    from cdk_app.pipeline.assets import JobAssets
    from cdk_app.pipeline.network import JobNetwork
    from cdk_app.settings import Settings

_READ = ["s3:GetObject"]
_WRITE = ["s3:PutObject"]
_DELETE = ["s3:DeleteObject"]
_USE_KEY = ["kms:Decrypt", "kms:GenerateDataKey"]
_SEE_NETWORK = [
    "ec2:DescribeNetworkInterfaces",
    "ec2:DescribeRouteTables",
    "ec2:DescribeSecurityGroups",
    "ec2:DescribeSubnets",
    "ec2:DescribeVpcAttribute",
    "ec2:DescribeVpcEndpoints",
    "ec2:DescribeVpcs",
]
_READ_CATALOG = ["glue:GetDatabase", "glue:GetTable", "glue:GetTables"]
_CHANGE_CATALOG = [*_READ_CATALOG, "glue:CreateTable", "glue:UpdateTable", "glue:DeleteTable"]


class JobRoles(Construct):
    """One role per job, by the job's key.

    Parameters
    ----------
    log_prefix
        First part of the log groups' names.
    """

    def __init__(  # long: one construct after the other, nothing is decided
        self,
        scope: Construct,
        construct_id: str,
        *,
        settings: Settings,
        deployment: Deployment,
        lake_key: kms.IKey,
        assets: JobAssets,
        network: JobNetwork,
        log_prefix: str,
    ) -> None:
        super().__init__(scope, construct_id)
        self._settings, self._deployment, self._lake_key = settings, deployment, lake_key
        self._assets, self._network = assets, network
        self._log_prefix = log_prefix
        self._stack = cdk.Stack.of(self)
        landing, processed = (
            f"arn:{self._stack.partition}:s3:::{uri.removeprefix('s3://')}"
            for uri in (deployment.landing_uri, deployment.processed_uri)
        )
        self.by_job = {
            "extract": self._role(
                "extract",
                [
                    _allow("ReadLanding", _READ, f"{landing}/*"),
                    _allow(
                        "Land",
                        _WRITE,
                        *(f"{landing}/{part}" for part in ("data/*", "manifests/*", "pending/*", "heartbeat.json")),
                    ),
                    _allow("DropFailedWrites", _DELETE, f"{landing}/data/*"),
                    _allow("ListLanding", ["s3:ListBucket"], landing),
                    _allow("UploadInParts", ["s3:AbortMultipartUpload"], f"{landing}/data/*"),
                    *self._secret(settings.source_secret_arn),
                ],
            ),
            "transform": self._role(
                "transform",
                [
                    _allow("ReadLanding", _READ, f"{landing}/*"),
                    _allow("ListBuckets", ["s3:ListBucket"], landing, processed),
                    _allow("WriteLake", [*_READ, *_WRITE, *_DELETE, "s3:AbortMultipartUpload"], f"{processed}/*"),
                    _allow("ChangeCatalog", _CHANGE_CATALOG, *self._catalog()),
                ],
            ),
            "load": self._role(
                "load",
                [
                    _allow("ReadLake", _READ, f"{landing}/*", f"{processed}/*"),
                    _allow("ListBuckets", ["s3:ListBucket"], landing, processed),
                    _allow("Publish", _WRITE, f"{landing}/published.json"),
                    _allow("RemoveMarkers", _DELETE, f"{landing}/pending/*"),
                    _allow("ReadCatalog", _READ_CATALOG, *self._catalog()),
                    *self._secret(settings.warehouse_secret_arn),
                ],
            ),
            "maintain": self._role(
                "maintain",
                [
                    _allow("ReadNote", _READ, f"{landing}/maintenance.json"),
                    _allow("WriteNote", _WRITE, f"{landing}/maintenance.json"),
                    *(_remove_old(landing) if settings.landing_days else ()),
                    _allow("ListBuckets", ["s3:ListBucket"], landing, processed),
                    _allow("WriteLake", [*_READ, *_WRITE, *_DELETE, "s3:AbortMultipartUpload"], f"{processed}/*"),
                    _allow("ChangeCatalog", [*_READ_CATALOG, "glue:UpdateTable"], *self._catalog()),
                ],
            ),
        }

    def _role(self, job: str, own: list[iam.PolicyStatement]) -> iam.Role:
        statements = [
            *own,
            _allow("UseLakeKey", _USE_KEY, self._lake_key.key_arn),
            _allow(
                "ReadCode",
                _READ,
                *(
                    self._stack.format_arn(
                        service="s3", region="", account="", resource=self._assets.bucket_name, resource_name=key
                    )
                    for key in self._assets.keys_of(job)
                ),
            ),
            # The groups are there, and CloudWatch Logs itself uses their key.
            _allow("WriteLogs", ["logs:CreateLogStream", "logs:PutLogEvents"], self._log_groups()),
            # Glue looks up, in the job's name, what the job is.
            _allow("KnowItself", ["glue:GetJob"], self._arn("glue", f"job/{self._deployment.prefix}-{job}")),
            *self._interfaces(),
            # CloudWatch knows no resources; the condition leaves our namespace, and Glue's own job metrics.
            _allow("PublishMetrics", ["cloudwatch:PutMetricData"], "*").copy(
                conditions={"StringEquals": {"cloudwatch:namespace": [metrics.NAMESPACE, "Glue"]}}
            ),
        ]
        role = iam.Role(
            self,
            job.capitalize(),
            assumed_by=iam.ServicePrincipal(
                "glue.amazonaws.com", conditions={"StringEquals": {"aws:SourceAccount": self._stack.account}}
            ),
            description=f"Tidemark {self._settings.stage}: what the {job} job may do",
            inline_policies={"job": iam.PolicyDocument(statements=statements)},
        )
        acknowledge_wildcards(role, (resource for statement in statements for resource in statement.resources))
        return role

    def _secret(self, arn: str) -> list[iam.PolicyStatement]:
        found = [_allow("ReadSecret", ["secretsmanager:GetSecretValue"], arn)]
        if self._settings.secret_key_arns:
            found.append(_allow("OpenSecret", ["kms:Decrypt"], *self._settings.secret_key_arns))
        return found

    def _catalog(self) -> list[str]:
        databases = [f"{self._deployment.lake_name}_{kind}" for kind in ("source", "star")]
        names = ["catalog", *(f"database/{name}" for name in databases), *(f"table/{name}/*" for name in databases)]
        return [self._arn("glue", name) for name in names]

    def _log_groups(self) -> str:
        return self._arn("logs", f"log-group:{self._log_prefix}/*")

    def _interfaces(self) -> list[iam.PolicyStatement]:
        """What Glue needs, in the job's name, to put the workers into the VPC."""
        subnet = self._arn("ec2", f"subnet/{self._settings.subnet_id}")
        group = self._arn("ec2", f"security-group/{self._network.security_group.security_group_id}")
        interfaces = self._arn("ec2", "network-interface/*")
        connection = self._arn("glue", f"connection/{self._network.connection_name}")
        return [
            _allow("SeeNetwork", _SEE_NETWORK, "*"),
            _allow("Connect", ["glue:GetConnection"], self._arn("glue", "catalog"), connection),
            _allow("AddInterfaces", ["ec2:CreateNetworkInterface"], subnet, group, interfaces),
            _allow("RemoveInterfaces", ["ec2:DeleteNetworkInterface"], interfaces).copy(
                conditions={"Null": {"aws:ResourceTag/aws-glue-service-resource": "false"}}
            ),
            _allow("TagInterfaces", ["ec2:CreateTags", "ec2:DeleteTags"], interfaces).copy(
                conditions={"ForAllValues:StringEquals": {"aws:TagKeys": ["aws-glue-service-resource"]}}
            ),
        ]

    def _arn(self, service: str, resource: str) -> str:
        return f"arn:{self._stack.partition}:{service}:{self._stack.region}:{self._stack.account}:{resource}"


def _remove_old(landing: str) -> list[iam.PolicyStatement]:
    """What it takes to remove landed batches: granted only where the setting asks for it."""
    read = [f"{landing}/{part}" for part in ("manifests/*", "published.json", "begins.json")]
    return [
        _allow("ReadLanding", _READ, *read),
        _allow("SayWhatIsGone", _WRITE, f"{landing}/begins.json"),
        _allow("RemoveOldLanding", _DELETE, f"{landing}/manifests/*", f"{landing}/data/*"),
    ]


def _allow(sid: str, actions: list[str], *resources: str) -> iam.PolicyStatement:
    return iam.PolicyStatement(sid=sid, actions=actions, resources=list(resources))

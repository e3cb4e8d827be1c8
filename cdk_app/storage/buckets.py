"""The lake's buckets and their key."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import aws_cdk as cdk
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3
from constructs import Construct

from cdk_app.acknowledgements import acknowledge

if TYPE_CHECKING:
    from cdk_app.settings import Settings

_IDLE_UPLOAD = cdk.Duration.days(2)


class LakeBuckets(Construct):
    """Landing, processed and query-result buckets under one key, and a bucket for their access logs.

    Replaced or deleted object versions, query results and access logs are kept for the retention. What is current in
    landing and processed never expires: the landing area is what a lake can be rebuilt from.
    """

    def __init__(self, scope: Construct, construct_id: str, *, settings: Settings) -> None:
        super().__init__(scope, construct_id)
        self._settings, self._keep = settings, cdk.Duration.days(settings.retention_days)
        self.key = kms.Key(
            self,
            "Key",
            description="Tidemark's lake",
            enable_key_rotation=True,
            removal_policy=cdk.RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE,
        )
        # S3 delivers access logs only to buckets under its own keys.
        self.access_logs = self._bucket(
            "AccessLogs", encryption=s3.BucketEncryption.S3_MANAGED, lifecycle_rules=[self._expiry()]
        )
        acknowledge(self.access_logs, "AwsSolutions-S1")
        self.landing = self._lake_bucket("Landing")
        self.processed = self._lake_bucket("Processed")
        self.results = self._lake_bucket("QueryResults", self._expiry())

    def _lake_bucket(self, construct_id: str, *rules: s3.LifecycleRule) -> s3.Bucket:
        return self._bucket(
            construct_id,
            encryption=s3.BucketEncryption.KMS,
            encryption_key=self.key,
            bucket_key_enabled=True,
            server_access_logs_bucket=self.access_logs,
            server_access_logs_prefix=f"{construct_id.lower()}/",
            lifecycle_rules=list(rules),
        )

    def _bucket(self, construct_id: str, *, lifecycle_rules: list[s3.LifecycleRule], **options: object) -> s3.Bucket:
        rules = [
            s3.LifecycleRule(
                abort_incomplete_multipart_upload_after=_IDLE_UPLOAD,
                noncurrent_version_expiration=self._keep,
                expired_object_delete_marker=None if lifecycle_rules else True,
            ),
            *lifecycle_rules,
        ]
        return s3.Bucket(
            self,
            construct_id,
            bucket_name=bucket_name(self._settings, construct_id),
            block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
            enforce_ssl=True,
            minimum_tls_version=1.2,
            object_ownership=s3.ObjectOwnership.BUCKET_OWNER_ENFORCED,
            versioned=True,
            lifecycle_rules=rules,
            removal_policy=cdk.RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE,
            **options,
        )

    def _expiry(self) -> s3.LifecycleRule:
        return s3.LifecycleRule(expiration=self._keep)


def bucket_name(settings: Settings, kind: str) -> str:
    """Name of a bucket: fixed, so that a stack made again meets the old lake instead of starting a new one.

    Bucket names are the whole world's: a digest of account and region keeps them apart.
    """
    place = hashlib.sha256(f"{settings.account}/{settings.region}".encode()).hexdigest()[:8]
    return f"{settings.name}-{kind.lower()}-{place}"

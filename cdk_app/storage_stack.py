"""What must outlive everything else: the lake's buckets and key, its catalogue, and the queries people ask of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import aws_cdk as cdk

from cdk_app.deployment import deployment_of
from cdk_app.storage.athena import AthenaWorkgroup
from cdk_app.storage.buckets import LakeBuckets
from cdk_app.storage.catalog import LakeCatalog

if TYPE_CHECKING:
    from constructs import Construct

    from cdk_app.settings import Settings


class StorageStack(cdk.Stack):
    """Buckets, databases, workgroup; the data outlives the stack.

    What a failed first deployment has made is not data: it goes, else its fixed names would be in the next one's way.
    """

    def __init__(self, scope: Construct, construct_id: str, *, settings: Settings, **kwargs: Any) -> None:
        super().__init__(scope, construct_id, **kwargs)
        self.buckets = LakeBuckets(self, "Lake", settings=settings)
        self.deployment = deployment_of(settings)
        self.catalog = LakeCatalog(self, "Catalog", deployment=self.deployment)
        self.athena = AthenaWorkgroup(
            self,
            "Athena",
            name=settings.name,
            results=self.buckets.results,
            key=self.buckets.key,
            catalog=self.catalog,
            model_dir=settings.model_dir,
            scan_limit_gb=settings.athena_scan_limit_gb,
        )
        cdk.CfnOutput(self, "LandingBucket", value=self.buckets.landing.bucket_name)
        cdk.CfnOutput(self, "ProcessedBucket", value=self.buckets.processed.bucket_name)
        cdk.CfnOutput(self, "AthenaConsole", value=self.athena.console_url)

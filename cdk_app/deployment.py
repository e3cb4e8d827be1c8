"""The deployment that a stage's settings describe: from here the jobs get their arguments, here and on a laptop."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tidemark.jobs.deployment import Deployment
from tidemark.jobs.time_limits import TimeLimits

from cdk_app.storage.buckets import bucket_name

if TYPE_CHECKING:
    from cdk_app.settings import Settings


def deployment_of(settings: Settings, *, model_uri: str = "", ca_file: str = "system") -> Deployment:
    """Names and places of a stage; ``model_uri`` and ``ca_file`` are known once the assets are."""
    return Deployment(
        model_name=settings.model,
        stage=settings.stage,
        model_uri=model_uri,
        landing_uri=f"s3://{bucket_name(settings, 'Landing')}",
        processed_uri=f"s3://{bucket_name(settings, 'Processed')}",
        source_secret=settings.source_secret_arn,
        warehouse_secret=settings.warehouse_secret_arn,
        landing_format=settings.landing_format,
        ca_file=ca_file,
        time_limits=TimeLimits(**settings.time_limits.model_dump()),
        source_host=settings.source_host,
        source_port=settings.source_port,
        source_dbname=settings.source_dbname,
        warehouse_host=settings.warehouse_host,
        warehouse_port=settings.warehouse_port,
        warehouse_dbname=settings.warehouse_dbname,
        warehouse_kind=settings.warehouse,
        keep_batches_days=settings.keep_batches_days,
        keep_daily_days=settings.keep_daily_days,
        landing_days=settings.landing_days or None,
        start_spark=True,
    )

"""boto3 clients of the local AWS: the one place where they are made."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, Literal

from botocore.config import Config
from tidemark.base import aws

from local_stack.isolation import ACCESS_KEY, REGION, SECRET_KEY

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

Service = Literal["s3", "glue", "sns", "stepfunctions", "secretsmanager", "cloudwatch"]


def s3(endpoint: str) -> S3Client:
    """Give a client of S3; see :func:`client`."""
    found: S3Client = client("s3", endpoint)
    return found


@functools.cache
def client(service: Service, endpoint: str) -> Any:
    """Give a client that talks to this endpoint and, whatever the user's settings, to nothing else.

    It is made once: that takes longer than most calls.
    """
    return aws.session().client(
        service,
        endpoint_url=endpoint,
        region_name=REGION,
        aws_access_key_id=ACCESS_KEY,
        aws_secret_access_key=SECRET_KEY,
        config=Config(proxies={"http": None}, s3={"addressing_style": "path"}),  # type: ignore[dict-item]
    )

"""boto3 clients of the local AWS: the one place where they are made."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, Literal, overload

from botocore.config import Config
from tidemark.base import aws

from local_stack.isolation import ACCESS_KEY, REGION, SECRET_KEY

if TYPE_CHECKING:
    from types_boto3_cloudwatch import CloudWatchClient
    from types_boto3_glue import GlueClient
    from types_boto3_s3 import S3Client
    from types_boto3_secretsmanager import SecretsManagerClient
    from types_boto3_sns import SNSClient
    from types_boto3_stepfunctions import SFNClient

Service = Literal["s3", "glue", "sns", "stepfunctions", "secretsmanager", "cloudwatch"]


@overload
def client(service: Literal["s3"], endpoint: str) -> S3Client: ...
@overload
def client(service: Literal["glue"], endpoint: str) -> GlueClient: ...
@overload
def client(service: Literal["sns"], endpoint: str) -> SNSClient: ...
@overload
def client(service: Literal["stepfunctions"], endpoint: str) -> SFNClient: ...
@overload
def client(service: Literal["secretsmanager"], endpoint: str) -> SecretsManagerClient: ...
@overload
def client(service: Literal["cloudwatch"], endpoint: str) -> CloudWatchClient: ...
def client(service: Service, endpoint: str) -> Any:
    """Give a client that talks to this endpoint and, whatever the user's settings, to nothing else."""
    return _client(service, endpoint)


@functools.cache
def _client(service: Service, endpoint: str) -> Any:
    """Make a client once: that takes longer than most calls."""
    return aws.session().client(
        service,
        endpoint_url=endpoint,
        region_name=REGION,
        aws_access_key_id=ACCESS_KEY,
        aws_secret_access_key=SECRET_KEY,
        config=Config(proxies={"http": None}, s3={"addressing_style": "path"}),  # type: ignore[dict-item]
    )

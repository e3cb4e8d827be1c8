"""The AWS SDK of this process: one session, one client per service, from the SDK's own settings.

A session reads all that it knows about AWS from disk, which takes longer than a job's requests: so there is one.
"""

from __future__ import annotations

import functools
import os
from typing import TYPE_CHECKING, Any, Final, Literal, overload

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from tidemark.base.errors import TidemarkError

if TYPE_CHECKING:
    from types_boto3_cloudwatch import CloudWatchClient
    from types_boto3_glue import GlueClient
    from types_boto3_s3 import S3Client
    from types_boto3_secretsmanager import SecretsManagerClient
    from types_boto3_stepfunctions import SFNClient

Service = Literal["s3", "glue", "secretsmanager", "stepfunctions", "cloudwatch"]

AwsRefusal = ClientError
"""AWS answered, and refused."""
AwsSilence = BotoCoreError
"""AWS was not asked, or did not answer."""
_PATIENT: Final = Config(retries={"mode": "standard", "max_attempts": 5})
# A metric is not worth waiting for.
_HASTY: Final = Config(connect_timeout=3, read_timeout=5, retries={"mode": "standard", "total_max_attempts": 2})


@overload
def client(service: Literal["s3"]) -> S3Client: ...
@overload
def client(service: Literal["glue"]) -> GlueClient: ...
@overload
def client(service: Literal["secretsmanager"]) -> SecretsManagerClient: ...
@overload
def client(service: Literal["stepfunctions"]) -> SFNClient: ...
@overload
def client(service: Literal["cloudwatch"]) -> CloudWatchClient: ...
def client(service: Service) -> Any:
    """Return the process' client of a service."""
    return _client(service)


def endpoint(service: Service | None = None) -> str | None:
    """The endpoint of AWS, or of a service, as the SDKs' own variables name it; None if that is AWS's own."""
    own = os.environ.get(f"AWS_ENDPOINT_URL_{service.upper()}") if service else None
    return own or os.environ.get("AWS_ENDPOINT_URL")


def region() -> str:
    """Return the AWS region of this process.

    Raises
    ------
    TidemarkError
        If it does not know one.
    """
    region = session().region_name
    if region is None:
        raise TidemarkError(
            "the job does not know its AWS region",
            expected="AWS_REGION or AWS_DEFAULT_REGION, which Glue and the local stack set",
            do="set AWS_DEFAULT_REGION",
        )
    return region


def code_of(error: ClientError | BotoCoreError) -> str:
    """What AWS calls a refusal, or the SDK a failure to ask."""
    return str(error.response["Error"]["Code"]) if isinstance(error, ClientError) else type(error).__name__


def forget() -> None:
    """Read the SDK's settings again when a client is asked for next; for processes that change their environment."""
    session.cache_clear()
    _client.cache_clear()


@functools.cache
def session() -> boto3.session.Session:
    """Return the process' session, for clients that are not told where AWS is by the SDK's settings."""
    return boto3.session.Session()


@functools.cache
def _client(service: Service) -> Any:
    return session().client(service, config=_HASTY if service == "cloudwatch" else _PATIENT)

"""Small objects on S3: the only module that knows boto3's object calls.

Promises: :func:`put_new` never overwrites, even when two writers race or a response is lost on the way. Table data
does not pass through here, only manifests, markers, heartbeats and model files.
"""

from __future__ import annotations

import functools
import os
from typing import TYPE_CHECKING

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from tidemark.base.errors import TidemarkError

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

AwsRefusal = ClientError
"""AWS answered, and refused."""
AwsSilence = BotoCoreError
"""AWS was not asked, or did not answer."""


@functools.cache
def client() -> S3Client:
    """Return the process' S3 client; endpoint, region and credentials come from the AWS SDK's own settings."""
    return boto3.client("s3", config=Config(retries={"mode": "standard", "max_attempts": 5}))


def endpoint() -> str | None:
    """The endpoint of all AWS services if it is not AWS itself (the SDKs' own variable AWS_ENDPOINT_URL), else None."""
    return os.environ.get("AWS_ENDPOINT_URL")


def split(uri: str) -> tuple[str, str]:
    """Split ``s3://bucket/key`` into bucket and key."""
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    return bucket, key


def get(uri: str) -> bytes | None:
    """Return an object's content, or None if there is none."""
    bucket, key = split(uri)
    try:
        return client().get_object(Bucket=bucket, Key=key)["Body"].read()
    except ClientError as error:
        if error.response["Error"]["Code"] in ("NoSuchKey", "404"):
            return None
        raise


def put(uri: str, content: bytes) -> None:
    """Write an object, replacing what is there."""
    bucket, key = split(uri)
    client().put_object(Bucket=bucket, Key=key, Body=content)


def put_new(uri: str, content: bytes) -> bool:
    """Write an object only if none is there; return whether the object there now is this one.

    A retry after a lost response finds the object of the first try; equal content counts as success.
    """
    bucket, key = split(uri)
    try:
        client().put_object(Bucket=bucket, Key=key, Body=content, IfNoneMatch="*")
    except ClientError as error:
        if error.response["Error"]["Code"] not in ("PreconditionFailed", "ConditionalRequestConflict", "412", "409"):
            raise
        return get(uri) == content
    return True


def delete(uri: str) -> None:
    """Remove an object; removing what is not there is fine."""
    bucket, key = split(uri)
    client().delete_object(Bucket=bucket, Key=key)


def names(uri: str, *, after: str = "") -> list[str]:
    """List the objects directly or indirectly below ``uri``, names relative to it, sorted, from ``after`` on."""
    bucket, prefix = split(uri.rstrip("/") + "/")
    pages = (
        client()
        .get_paginator("list_objects_v2")
        .paginate(Bucket=bucket, Prefix=prefix, StartAfter=prefix + after if after else "")
    )
    return [item["Key"].removeprefix(prefix) for page in pages for item in page.get("Contents", [])]


def region() -> str:
    """Return the AWS region of this process.

    Raises
    ------
    TidemarkError
        If it does not know one.
    """
    region = boto3.session.Session().region_name
    if region is None:
        raise TidemarkError(
            "the job does not know its AWS region",
            expected="AWS_REGION or AWS_DEFAULT_REGION, which Glue and the local stack set",
            do="set AWS_DEFAULT_REGION",
        )
    return region

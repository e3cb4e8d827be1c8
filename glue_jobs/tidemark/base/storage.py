"""Small objects on S3: the only module that knows boto3's object calls.

Promises: :func:`put_new` never overwrites, even when two writers race or a response is lost on the way. What is large
does not pass through here, only manifests, markers, heartbeats, model files, and data files of few rows.
"""

from __future__ import annotations

from tidemark.base.aws import AwsRefusal, client, code_of


def split(uri: str) -> tuple[str, str]:
    """Split ``s3://bucket/key`` into bucket and key."""
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    return bucket, key


def get(uri: str) -> bytes | None:
    """Return an object's content, or None if there is none."""
    bucket, key = split(uri)
    try:
        return client("s3").get_object(Bucket=bucket, Key=key)["Body"].read()
    except AwsRefusal as error:
        if code_of(error) in ("NoSuchKey", "404"):
            return None
        raise


def get_small(uri: str, most: int) -> bytes | None:
    """Return an object's content with one request; None if it is larger than ``most`` bytes, empty, or not there."""
    bucket, key = split(uri)
    try:
        found = client("s3").get_object(Bucket=bucket, Key=key, Range=f"bytes=0-{most - 1}")
    except AwsRefusal as error:
        if code_of(error) in ("NoSuchKey", "404", "InvalidRange", "416"):
            return None
        raise
    whole = int(found["ContentRange"].rpartition("/")[2]) if "ContentRange" in found else found["ContentLength"]
    return found["Body"].read() if whole <= most else None


def put(uri: str, content: bytes) -> None:
    """Write an object, replacing what is there."""
    bucket, key = split(uri)
    client("s3").put_object(Bucket=bucket, Key=key, Body=content)


def put_new(uri: str, content: bytes) -> bool:
    """Write an object only if none is there; return whether the object there now is this one.

    A retry after a lost response finds the object of the first try; equal content counts as success.
    """
    bucket, key = split(uri)
    try:
        client("s3").put_object(Bucket=bucket, Key=key, Body=content, IfNoneMatch="*")
    except AwsRefusal as error:
        if code_of(error) not in ("PreconditionFailed", "ConditionalRequestConflict", "412", "409"):
            raise
        return get(uri) == content
    return True


def delete(uri: str) -> None:
    """Remove an object; removing what is not there is fine."""
    bucket, key = split(uri)
    client("s3").delete_object(Bucket=bucket, Key=key)


def names(uri: str, *, after: str = "") -> list[str]:
    """List the objects directly or indirectly below ``uri``, names relative to it, sorted, from ``after`` on."""
    bucket, prefix = split(uri.rstrip("/") + "/")
    pages = (
        client("s3")
        .get_paginator("list_objects_v2")
        .paginate(Bucket=bucket, Prefix=prefix, StartAfter=prefix + after if after else "")
    )
    return [item["Key"].removeprefix(prefix) for page in pages for item in page.get("Contents", [])]

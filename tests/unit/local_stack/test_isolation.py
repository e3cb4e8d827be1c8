"""A process of the local stack on the machine of somebody who works with the real AWS."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from local_stack import isolation
from local_stack.aws.job_environment import RunnerSettings, job_environment
from tests import hostile

ROOT = Path(__file__).resolve().parents[3]
# As a command does it: everything is imported, and with it much that reads settings, before the stack is found.
CHILD = """
import os, sys
import boto3, fsspec.config, psycopg, pyiceberg.catalog
from tidemark.base import storage
from tidemark.lake import reader
from local_stack import isolation

isolation.enter(sys.argv[1], sys.argv[2])
assert storage.names("s3://lake/nothing-here") == []
assert boto3.client("secretsmanager").list_secrets()["SecretList"] is not None
assert boto3.client("glue").meta.endpoint_url == sys.argv[1]
assert boto3.client("s3").meta.endpoint_url == sys.argv[2]
config = boto3.client("s3").meta.config
assert not config.use_fips_endpoint and not config.use_dualstack_endpoint
assert boto3.Session().available_profiles == []
catalog = reader.catalog_at("s3://lake/processed")
assert catalog.list_namespaces() is not None
files = catalog._load_file_io()
for properties in (catalog.properties, files.properties):
    assert not {"s3.proxy-uri", "s3.role-arn", "py-io-impl"} & properties.keys(), properties
assert not files.new_input("s3://lake/nothing-here").exists()
assert "s3" not in fsspec.config.conf
assert not {"PGOPTIONS", "PGSSLCERT", "PGSERVICE", "PGTZ", "PGDATESTYLE"} & os.environ.keys()
print("isolated")
"""


@pytest.fixture
def proxy() -> Iterator[hostile.Proxy]:
    proxy = hostile.Proxy()
    yield proxy
    proxy.close()


def test_every_sdk_of_a_command_finds_the_local_aws_and_no_other(
    job_variables: dict[str, str], proxy: hostile.Proxy, tmp_path: Path
) -> None:
    environment = os.environ | hostile.environment(tmp_path, proxy)
    paths = os.pathsep.join([str(ROOT), str(ROOT / "glue_jobs")])
    done = subprocess.run(  # noqa: S603 - the text above
        [sys.executable, "-c", CHILD, job_variables["AWS_ENDPOINT_URL"], job_variables["AWS_ENDPOINT_URL_S3"]],
        env=environment | {"PYTHONPATH": paths},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.stdout == "isolated\n", done.stderr
    assert proxy.asked == []


def test_a_password_can_still_be_looked_up() -> None:
    kept = {"PATH": "/bin", "PGPASSWORD": "x", "PGPASSFILE": "/f", "PGSERVICEFILE": "/s", "PGHOST": "h"}
    assert isolation.without_the_users(kept | {"Https_Proxy": "http://p", "aws_profile": "prod"}) == kept


def test_a_client_without_an_endpoint_gets_nowhere() -> None:
    found = isolation.variables()
    assert found["AWS_ENDPOINT_URL"] == found["AWS_ENDPOINT_URL_S3"] == "http://127.0.0.1:9"


def test_jobs_read_no_file_of_the_user(tmp_path: Path, proxy: hostile.Proxy) -> None:
    outer = hostile.environment(tmp_path, proxy)
    found = job_environment(RunnerSettings(state_dir=tmp_path, endpoint="http://127.0.0.1:1"), outer)
    assert found["AWS_CONFIG_FILE"] == found["AWS_SHARED_CREDENTIALS_FILE"] == os.devnull
    assert found["AWS_IGNORE_CONFIGURED_ENDPOINT_URLS"] == "false"
    assert outer.keys() & found.keys() <= isolation.variables().keys() | {"HOME"}
    assert proxy.url not in found.values()

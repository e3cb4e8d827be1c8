"""What job processes find done already: a fork server runs this once, before it forks any (``fork_server.py``).

The modules of the jobs, and the SDK's clients, which are slow to make and connect to nothing before they are used.
Runs as a script, with the environment of a job.
"""

from __future__ import annotations

import tidemark.jobs.extract
import tidemark.jobs.load
import tidemark.jobs.process
import tidemark.jobs.transform
import tidemark.warehouse.kinds  # noqa: F401
from tidemark.base import aws

aws.client("s3")
aws.client("glue")
aws.client("secretsmanager")
aws.client("cloudwatch")

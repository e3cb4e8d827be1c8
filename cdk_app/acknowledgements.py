"""Every finding of AWS's rules that we live with, and why: the only place where one is acknowledged."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import aws_cdk as cdk

if TYPE_CHECKING:
    from collections.abc import Iterable

    from constructs import IConstruct

REASONS: Final = {
    "AwsSolutions-S1": "This bucket holds the access logs of the others; logging into itself would never end.",
    "AwsSolutions-SQS3": "This queue is the dead-letter queue of the schedules: a person looks at what ends here.",
    "AwsSolutions-GL1": (
        "The jobs' log groups are made here, with our key; a security configuration would send the logs elsewhere."
    ),
    "AwsSolutions-GL3": "The jobs keep no bookmarks, so that there is nothing of them to encrypt.",
    "CloudFormation-Validate::W3010": (
        "The zone is that of the given subnet: Glue demands both, and no function gives the one from the other."
    ),
    "Annotation::@aws-cdk/aws-ec2:noSubnetRouteTableId": (
        "Nothing here changes the routes of a network that is not ours; so its route table need not be known."
    ),
    "Annotation::@aws-cdk/aws-glue-alpha:plaintextJobArgumentSecret": (
        "The argument is the ARN of a secret; the job reads the secret itself when it runs."
    ),
}

# Patterns of resources with a wildcard, the first that fits counts.
_WILDCARDS: Final = {
    r"\*": (
        "EC2's Describe actions, CloudWatch's PutMetricData (bound to two namespaces by a condition), the delivery of "
        "logs and X-Ray's actions know no resources."
    ),
    r"arn:aws:s3:::.*": (
        "The names of objects are made at run time; the bucket, and where it serves the prefix, is fixed."
    ),
    r"arn:aws:glue:.*:table/.*": "The transform makes the tables that the model names, in this stage's two databases.",
    r"arn:aws:logs:.*": "Both log groups of this stage's jobs and the streams in them, one per worker of a run.",
    r"arn:aws:ec2:.*:network-interface/.*": (
        "Interfaces get their ids when Glue makes them; creation is bound to the subnet and the security group, "
        "tagging and removal to those that Glue has tagged."
    ),
}


def acknowledge(construct: IConstruct, *rules: str) -> None:
    """Acknowledge rules for a construct, each with the reason above.

    Raises
    ------
    KeyError
        If a rule has no reason.
    """
    cdk.Validations.of(construct).acknowledge(*(cdk.Acknowledgment(id=rule, reason=REASONS[rule]) for rule in rules))


def acknowledge_wildcards(construct: IConstruct, resources: Iterable[str]) -> None:
    """Acknowledge every resource with a wildcard of a role, one by one.

    Raises
    ------
    LookupError
        If one is of no kind that has a reason.
    """
    for resource in sorted({resource for resource in resources if "*" in resource}):
        reasons = [reason for pattern, reason in _WILDCARDS.items() if re.fullmatch(pattern, resource)]
        if not reasons:
            raise LookupError(f"no reason is given for the wildcard in {resource}; give one, or name the resource")
        found = cdk.Acknowledgment(id=f"AwsSolutions-IAM5[Resource::{resource}]", reason=reasons[0])
        cdk.Validations.of(construct).acknowledge(found)

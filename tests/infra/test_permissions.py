"""Who may do what: the table of all permissions, exact. A line more or less in a role is a line more or less here."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any, Final

import pytest

from tests.infra.templates import ACCOUNT, REGION, Synthesis, arn

if TYPE_CHECKING:
    from collections.abc import Iterator

Row = tuple[frozenset[str], frozenset[str], str]

USE_KEY: Final = {"kms:Decrypt", "kms:GenerateDataKey"}
READ: Final = {"s3:GetObject"}
CATALOG: Final = {"glue:GetDatabase", "glue:GetTable", "glue:GetTables"}
INTERFACES: Final = arn("ec2", "network-interface/*")
LAKE_KEY: Final = arn("kms", "key/<Lake/Key>")
OPERATIONS_KEY: Final = arn("kms", "key/<Operations/Key>")

# Actions that know no resources, so that IAM takes only "*": by the service authorization reference.
ANYWHERE: Final = {
    "ec2:DescribeNetworkInterfaces": "EC2 describes all or nothing",
    "ec2:DescribeRouteTables": "EC2 describes all or nothing",
    "ec2:DescribeSecurityGroups": "EC2 describes all or nothing",
    "ec2:DescribeSubnets": "EC2 describes all or nothing",
    "ec2:DescribeVpcAttribute": "EC2 describes all or nothing",
    "ec2:DescribeVpcEndpoints": "EC2 describes all or nothing",
    "ec2:DescribeVpcs": "EC2 describes all or nothing",
    "cloudwatch:PutMetricData": "bound to two namespaces by a condition",
    "logs:CreateLogDelivery": "Step Functions' logging; the delivery has no ARN",
    "logs:DeleteLogDelivery": "Step Functions' logging",
    "logs:DescribeLogGroups": "Step Functions' logging",
    "logs:DescribeResourcePolicies": "Step Functions' logging",
    "logs:GetLogDelivery": "Step Functions' logging",
    "logs:ListLogDeliveries": "Step Functions' logging",
    "logs:PutResourcePolicy": "Step Functions' logging",
    "logs:UpdateLogDelivery": "Step Functions' logging",
    "xray:GetSamplingRules": "X-Ray has no resources for it",
    "xray:GetSamplingTargets": "X-Ray has no resources for it",
    "xray:PutTelemetryRecords": "X-Ray has no resources for it",
    "xray:PutTraceSegments": "X-Ray has no resources for it",
}


def as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def row(actions: set[str], *resources: str, condition: dict[str, Any] | None = None) -> Row:
    return frozenset(actions), frozenset(resources), json.dumps(condition or {}, sort_keys=True)


def rows(statements: list[dict[str, Any]]) -> Iterator[Row]:
    for statement in statements:
        assert statement["Effect"] == "Allow"
        assert "NotAction" not in statement
        assert "NotResource" not in statement
        yield row(
            set(as_list(statement["Action"])), *as_list(statement["Resource"]), condition=statement.get("Condition")
        )


def permissions(stage: Synthesis) -> dict[str, set[Row]]:
    """All permissions of the roles of both stacks, by the role's place in the app."""
    found: dict[str, set[Row]] = {}
    for template in (stage.storage, stage.pipeline):
        for name, resource in template.content["Resources"].items():
            properties = template.resolve(resource.get("Properties", {}))
            if resource["Type"] == "AWS::IAM::Role":
                assert "ManagedPolicyArns" not in properties
                own = found.setdefault(template.path(name), set())
                for policy in properties.get("Policies", []):
                    own |= set(rows(policy["PolicyDocument"]["Statement"]))
            if resource["Type"] == "AWS::IAM::Policy":
                for role in properties["Roles"]:
                    found.setdefault(role.strip("<>"), set()).update(rows(properties["PolicyDocument"]["Statement"]))
            assert resource["Type"] not in ("AWS::IAM::ManagedPolicy", "AWS::IAM::User", "AWS::IAM::Group")
    return found


def assets(stage: Synthesis, job: str) -> set[str]:
    """ARNs of the objects that a job's own properties name: what it must be able to read, and no more."""
    found = stage.pipeline.one("AWS::Glue::Job", Name=f"{stage.settings.name}-{job}")
    arguments = found["DefaultArguments"]
    named = {"--model_uri", "--additional-python-modules", "--extra-py-files", "--extra-files"} & arguments.keys()
    uris = {found["Command"]["ScriptLocation"], *(arguments[name] for name in named)}
    return {uri.replace("s3://", "arn:aws:s3:::") for uri in uris}


def of_every_job(stage: Synthesis, job: str) -> set[Row]:
    name = stage.settings.name
    return {
        row(READ, *assets(stage, job)),
        row(USE_KEY, LAKE_KEY),
        row({"logs:CreateLogStream", "logs:PutLogEvents"}, arn("logs", f"log-group:/aws-glue/{name}/*")),
        row({"glue:GetJob"}, arn("glue", f"job/{name}-{job}")),
        row({action for action in ANYWHERE if action.startswith("ec2:")}, "*"),
        row({"glue:GetConnection"}, arn("glue", "catalog"), arn("glue", f"connection/{name}-network")),
        row(
            {"ec2:CreateNetworkInterface"},
            INTERFACES,
            arn("ec2", "subnet/subnet-0123456789abcdef0"),
            arn("ec2", "security-group/<Network/Jobs>"),
        ),
        row(
            {"ec2:DeleteNetworkInterface"},
            INTERFACES,
            condition={"Null": {"aws:ResourceTag/aws-glue-service-resource": "false"}},
        ),
        row(
            {"ec2:CreateTags", "ec2:DeleteTags"},
            INTERFACES,
            condition={"ForAllValues:StringEquals": {"aws:TagKeys": ["aws-glue-service-resource"]}},
        ),
        row(
            {"cloudwatch:PutMetricData"},
            "*",
            condition={"StringEquals": {"cloudwatch:namespace": ["Tidemark", "Glue"]}},
        ),
    }


def of_a_machine(stage: Synthesis, jobs: tuple[str, ...], other: str) -> set[Row]:
    name = stage.settings.name
    return {
        row(
            {"glue:StartJobRun", "glue:GetJobRun", "glue:GetJobRuns", "glue:BatchStopJobRun"},
            *(arn("glue", f"job/{name}-{job}") for job in jobs),
        ),
        row({"states:ListExecutions"}, arn("states", f"stateMachine:{name}-{other}")),
        row({"sns:Publish"}, arn("sns", f"{name}-notifications")),
        row(USE_KEY, OPERATIONS_KEY),
        row({action for action in ANYWHERE if action.startswith(("logs:", "xray:"))}, "*"),
    }


def expected(stage: Synthesis) -> dict[str, set[Row]]:
    name, lake = stage.settings.name, f"totesys_{stage.settings.stage}"
    digest = hashlib.sha256(f"{ACCOUNT}/{REGION}".encode()).hexdigest()[:8]
    landing, processed = (f"arn:aws:s3:::{name}-{kind}-{digest}" for kind in ("landing", "processed"))
    tables = [
        arn("glue", f"{kind}/{lake}_{side}{end}")
        for side in ("source", "star")
        for kind, end in (("database", ""), ("table", "/*"))
    ]
    secret_keys = {row({"kms:Decrypt"}, *stage.settings.secret_key_arns)} if stage.settings.secret_key_arns else set()
    removal = {
        row(READ, *(f"{landing}/{key}" for key in ("manifests/*", "published.json", "begins.json"))),
        row({"s3:PutObject"}, f"{landing}/begins.json"),
        row({"s3:DeleteObject"}, f"{landing}/manifests/*", f"{landing}/data/*"),
    }
    source, warehouse = stage.settings.source_secret_arn, stage.settings.warehouse_secret_arn
    return {
        "Roles/Extract": of_every_job(stage, "extract")
        | secret_keys
        | {
            row(READ, f"{landing}/*"),
            row(
                {"s3:PutObject"},
                *(f"{landing}/{key}" for key in ("data/*", "manifests/*", "pending/*", "heartbeat.json")),
            ),
            row({"s3:DeleteObject"}, f"{landing}/data/*"),
            row({"s3:AbortMultipartUpload"}, f"{landing}/data/*"),
            row({"s3:ListBucket"}, landing),
            row({"secretsmanager:GetSecretValue"}, source),
        },
        "Roles/Transform": of_every_job(stage, "transform")
        | {
            row(READ, f"{landing}/*"),
            row({"s3:ListBucket"}, landing, processed),
            row({*READ, "s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload"}, f"{processed}/*"),
            row(
                {*CATALOG, "glue:CreateTable", "glue:UpdateTable", "glue:DeleteTable"}, arn("glue", "catalog"), *tables
            ),
        },
        "Roles/Load": of_every_job(stage, "load")
        | secret_keys
        | {
            row(READ, f"{landing}/*", f"{processed}/*"),
            row({"s3:ListBucket"}, landing, processed),
            row({"s3:PutObject"}, f"{landing}/published.json"),
            row({"s3:DeleteObject"}, f"{landing}/pending/*"),
            row(CATALOG, arn("glue", "catalog"), *tables),
            row({"secretsmanager:GetSecretValue"}, warehouse),
        },
        "Roles/Maintain": of_every_job(stage, "maintain")
        | (removal if stage.settings.landing_days else set())
        | {
            row(READ, f"{landing}/maintenance.json"),
            row({"s3:PutObject"}, f"{landing}/maintenance.json"),
            row({"s3:ListBucket"}, landing, processed),
            row({*READ, "s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload"}, f"{processed}/*"),
            row({*CATALOG, "glue:UpdateTable"}, arn("glue", "catalog"), *tables),
        },
        "StateMachine/MachineRole": of_a_machine(stage, ("extract", "transform", "load"), "maintain")
        | {row({"s3:ListBucket"}, landing, condition={"StringLike": {"s3:prefix": "pending/*"}})},
        "StateMachine/UpkeepRole": of_a_machine(stage, ("maintain",), "etl"),
        "Schedule/Role": {
            row(
                {"states:StartExecution"},
                *(arn("states", f"stateMachine:{name}-{which}") for which in ("etl", "maintain")),
            ),
            row({"sqs:SendMessage"}, arn("sqs", "<Schedule/DeadLetters>")),
            row(USE_KEY, OPERATIONS_KEY),
        },
    }


def test_every_role_has_exactly_these_permissions(stage: Synthesis) -> None:
    found, wanted = permissions(stage), expected(stage)
    assert found.keys() == wanted.keys()
    for role, table in wanted.items():
        assert found[role] == table, role


def test_the_star_as_a_resource_is_for_listed_actions_only(stage: Synthesis) -> None:
    used: set[str] = set()
    for table in permissions(stage).values():
        for actions, resources, _ in table:
            assert not [action for action in actions if "*" in action]
            if "*" in resources:
                used |= actions
    assert used == ANYWHERE.keys()
    assert all(ANYWHERE.values())


def test_no_role_may_read_a_whole_bucket_of_assets(stage: Synthesis) -> None:
    for table in permissions(stage).values():
        for _, resources, _ in table:
            assert not [name for name in resources if "-assets-" in name and "*" in name]


@pytest.mark.parametrize(
    ("role", "service"),
    [
        ("extract job", "glue.amazonaws.com"),
        ("transform job", "glue.amazonaws.com"),
        ("load job", "glue.amazonaws.com"),
        ("maintain job", "glue.amazonaws.com"),
        ("-etl may do", "states.amazonaws.com"),
        ("-maintain may do", "states.amazonaws.com"),
        ("starts the state machines", "scheduler.amazonaws.com"),
    ],
)
def test_only_its_own_service_of_this_account_takes_a_role(stage: Synthesis, role: str, service: str) -> None:
    (found,) = [item for item in stage.pipeline.of("AWS::IAM::Role") if role in item["Description"]]
    assert found["AssumeRolePolicyDocument"]["Statement"] == [
        {
            "Action": "sts:AssumeRole",
            "Condition": {"StringEquals": {"aws:SourceAccount": ACCOUNT}},
            "Effect": "Allow",
            "Principal": {"Service": service},
        }
    ]

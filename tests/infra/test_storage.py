"""What outlives everything else: buckets, keys, databases, workgroup, saved queries; and what a person is told."""

from __future__ import annotations

import json
from typing import Any, Final

import pytest
import sqlglot
from sqlglot import exp
from sqlglot.optimizer.qualify import qualify
from tidemark.lake import batches as lake_batches
from tidemark.lake.tables import declared
from tidemark.model.added_columns import BATCHES, QUARANTINE, QUARANTINE_COLUMNS, added_to
from tidemark.model.loader import load_model

from cdk_app.settings import REPO
from cdk_app.storage.athena import construct_ids, saved_queries
from tests.infra.templates import ACCOUNT, REGION, Synthesis, arn

KINDS: Final = ("landing", "processed", "queryresults", "accesslogs")
MODEL: Final = load_model(str(REPO / "model" / "totesys"), "totesys_dev")
SAVED: Final = dict(saved_queries(MODEL, MODEL.star_database))


def bucket(stage: Synthesis, kind: str) -> dict[str, Any]:
    (found,) = [item for item in stage.storage.of("AWS::S3::Bucket") if f"-{kind}-" in item["BucketName"]]
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_a_bucket_is_encrypted_closed_versioned_and_logged(stage: Synthesis, kind: str) -> None:
    found = bucket(stage, kind)
    (rule,) = found["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    if kind == "accesslogs":
        assert rule["ServerSideEncryptionByDefault"] == {"SSEAlgorithm": "AES256"}
        assert "LoggingConfiguration" not in found
    else:
        assert rule["ServerSideEncryptionByDefault"] == {
            "SSEAlgorithm": "aws:kms",
            "KMSMasterKeyID": arn("kms", "key/<Lake/Key>"),
        }
        assert rule["BucketKeyEnabled"] is True
        assert found["LoggingConfiguration"] == {
            "DestinationBucketName": bucket(stage, "accesslogs")["BucketName"],
            "LogFilePrefix": f"{kind}/",
        }
    assert set(found["PublicAccessBlockConfiguration"].values()) == {True}
    assert len(found["PublicAccessBlockConfiguration"]) == 4
    assert found["VersioningConfiguration"] == {"Status": "Enabled"}
    assert found["OwnershipControls"] == {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}


@pytest.mark.parametrize("kind", KINDS)
def test_a_bucket_speaks_tls_only(stage: Synthesis, kind: str) -> None:
    name = bucket(stage, kind)["BucketName"]
    policy = stage.storage.one("AWS::S3::BucketPolicy", Bucket=name)["PolicyDocument"]["Statement"]
    refused = [found for found in policy if found["Effect"] == "Deny"]
    assert [found["Condition"] for found in refused] == [
        {"Bool": {"aws:SecureTransport": "false"}},
        {"NumericLessThan": {"s3:TlsVersion": 1.2}},
    ]
    for found in refused:
        assert (found["Action"], found["Principal"]) == ("s3:*", {"AWS": "*"})
        assert found["Resource"] == [f"arn:aws:s3:::{name}", f"arn:aws:s3:::{name}/*"]
    allowed = [found for found in policy if found["Effect"] == "Allow"]
    assert bool(allowed) is (kind == "accesslogs")
    for found in allowed:
        assert found["Principal"] == {"Service": "logging.s3.amazonaws.com"}
        assert found["Condition"]["StringEquals"] == {"aws:SourceAccount": ACCOUNT}


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_replaced_goes_after_the_retention_and_the_lake_itself_never(stage: Synthesis, kind: str) -> None:
    rules = bucket(stage, kind)["LifecycleConfiguration"]["Rules"]
    days = stage.settings.retention_days
    assert {rule["Status"] for rule in rules} == {"Enabled"}
    assert [rule["NoncurrentVersionExpiration"] for rule in rules if "NoncurrentVersionExpiration" in rule] == [
        {"NoncurrentDays": days}
    ]
    assert [rule for rule in rules if "AbortIncompleteMultipartUpload" in rule]
    expiry = [rule["ExpirationInDays"] for rule in rules if "ExpirationInDays" in rule]
    assert expiry == ([] if kind in ("landing", "processed") else [days])


@pytest.mark.parametrize("kind", ["AWS::S3::Bucket", "AWS::KMS::Key", "AWS::Glue::Database"])
def test_data_keys_and_catalogue_stay_when_the_stack_goes(stage: Synthesis, kind: str) -> None:
    found = stage.storage.resources(kind)
    assert found
    policies = {(item["DeletionPolicy"], item["UpdateReplacePolicy"]) for item in found}
    assert policies == {("RetainExceptOnCreate", "Retain")}
    assert stage.stage.storage.termination_protection


@pytest.mark.parametrize("which", ["storage", "pipeline"])
def test_nothing_that_a_failed_first_deployment_leaves_is_in_the_next_ones_way(stage: Synthesis, which: str) -> None:
    """``Retain`` holds in a rollback too: a resource with a fixed name would then be there already."""
    resources = getattr(stage, which).content["Resources"].values()
    assert {found.get("DeletionPolicy", "Delete") for found in resources} == {"RetainExceptOnCreate", "Delete"}


def test_keys_rotate(stage: Synthesis) -> None:
    for template in (stage.storage, stage.pipeline):
        assert template.one("AWS::KMS::Key")["EnableKeyRotation"] is True


def test_bucket_names_are_of_the_stage_and_legal(stage: Synthesis) -> None:
    for kind in KINDS:
        name = bucket(stage, kind)["BucketName"]
        assert name.startswith(f"{stage.settings.name}-{kind}-")
        assert len(name) <= 63
        assert ACCOUNT not in name


@pytest.mark.parametrize("side", ["source", "star"])
def test_databases_are_those_that_the_jobs_use(stage: Synthesis, side: str) -> None:
    deployment = stage.stage.storage.deployment
    name = f"{deployment.lake_name}_{side}"
    assert name == f"totesys_{stage.settings.stage}_{side}"
    (found,) = [
        item["DatabaseInput"]
        for item in stage.storage.of("AWS::Glue::Database")
        if item["DatabaseInput"]["Name"] == name
    ]
    assert found["LocationUri"] == f"s3://{bucket(stage, 'processed')['BucketName']}/{name}.db"
    job = stage.pipeline.one("AWS::Glue::Job", Name=f"{stage.settings.name}-transform")
    assert job["DefaultArguments"]["--lake_name"] == deployment.lake_name
    assert job["DefaultArguments"]["--processed_uri"] == f"s3://{bucket(stage, 'processed')['BucketName']}"


def test_the_workgroup_enforces_encryption_and_a_limit(stage: Synthesis) -> None:
    found = stage.storage.one("AWS::Athena::WorkGroup")["WorkGroupConfiguration"]
    assert found["EnforceWorkGroupConfiguration"] is True
    assert found["BytesScannedCutoffPerQuery"] == stage.settings.athena_scan_limit_gb * 10**9
    assert found["ResultConfiguration"] == {
        "OutputLocation": f"s3://{bucket(stage, 'queryresults')['BucketName']}/",
        "EncryptionConfiguration": {"EncryptionOption": "SSE_KMS", "KmsKey": arn("kms", "key/<Lake/Key>")},
    }


def test_the_saved_queries_are_in_the_workgroup(dev: Synthesis) -> None:
    found = dev.storage.of("AWS::Athena::NamedQuery")
    assert {item["Name"]: item["QueryString"] for item in found} == SAVED
    assert {item["WorkGroup"] for item in found} == {dev.storage.one("AWS::Athena::WorkGroup")["Name"]}
    assert {item["Database"] for item in found} == {MODEL.star_database}
    assert all(item["Description"] for item in found)
    for words in ("as of", "current", "history"):
        assert {f"{fact}: {words}" for fact in MODEL.facts} <= SAVED.keys()
    assert {"lake: batches", "lake: quarantine", "lake: freshness"} <= SAVED.keys()


def test_facts_that_differ_in_underscores_have_queries_of_their_own() -> None:
    titles = ["fact_order: as of", "fact_o_rder: as of", "factorder: as of", "lake: batches"]
    assert construct_ids(titles) == [
        "QueryFactorderAsOf",
        "QueryFactorderAsOf2",
        "QueryFactorderAsOf3",
        "QueryLakeBatches",
    ]


def lake_schema() -> dict[str, Any]:
    """Columns of all tables of the star's lake database, from the model and the transform's own lists."""
    tables = {BATCHES: lake_batches.COLUMNS, QUARANTINE: declared(QUARANTINE_COLUMNS)}
    for table in MODEL.star_tables:
        tables[table.name] = declared((*table.columns, *added_to(table)))
    columns = {name: {column: kind for column, (kind, _) in found.items()} for name, found in tables.items()}
    return {MODEL.star_database: columns}


@pytest.mark.parametrize("title", SAVED)
def test_a_saved_query_is_trino_and_names_columns_that_there_are(title: str) -> None:
    (parsed,) = sqlglot.parse(SAVED[title], dialect="trino")
    assert isinstance(parsed, exp.Select)
    qualify(parsed, schema=lake_schema(), dialect="trino", validate_qualify_columns=True)
    tables = {table.name for table in parsed.find_all(exp.Table) if table.db}
    assert tables
    assert tables <= lake_schema()[MODEL.star_database].keys()
    assert SAVED[title].startswith("-- ")


@pytest.mark.parametrize("column", ["no_such_column", "payment_idd"])
def test_a_column_that_is_not_there_is_found(column: str) -> None:
    (parsed,) = sqlglot.parse(SAVED["fact_payment: history"].replace(", version", f", {column}"), dialect="trino")
    assert isinstance(parsed, exp.Select)
    with pytest.raises(sqlglot.errors.OptimizeError, match=column):
        qualify(parsed, schema=lake_schema(), dialect="trino", validate_qualify_columns=True)


def test_a_person_is_told_where_to_go(stage: Synthesis) -> None:
    name, console = stage.settings.name, f"https://{REGION}.console.aws.amazon.com"
    told = {**stage.storage.outputs, **stage.pipeline.outputs}
    expected = {
        "StateMachineConsole": f"{console}/states/home?region={REGION}#/statemachines/view/"
        + arn("states", f"stateMachine:{name}-etl"),
        "DashboardConsole": f"{console}/cloudwatch/home?region={REGION}#dashboards/dashboard/{name}",
        "AthenaConsole": f"{console}/athena/home?region={REGION}#/query-editor?workgroup={name}",
        "NotificationTopic": arn("sns", f"{name}-notifications"),
        "LandingBucket": bucket(stage, "landing")["BucketName"],
        "ProcessedBucket": bucket(stage, "processed")["BucketName"],
    }
    assert {key: told[key] for key in expected} == expected
    assert stage.pipeline.one("AWS::CloudWatch::Dashboard")["DashboardName"] == name


NAMED: Final = {
    "AWS::Athena::WorkGroup": "Name",
    "AWS::CloudWatch::Alarm": "AlarmName",
    "AWS::CloudWatch::Dashboard": "DashboardName",
    "AWS::Glue::Database": "DatabaseInput",
    "AWS::Glue::Job": "Name",
    "AWS::Logs::LogGroup": "LogGroupName",
    "AWS::S3::Bucket": "BucketName",
    "AWS::SNS::Topic": "TopicName",
    "AWS::Scheduler::ScheduleGroup": "Name",
    "AWS::StepFunctions::StateMachine": "StateMachineName",
}


@pytest.mark.parametrize(("kind", "name"), NAMED.items())
def test_two_stages_of_one_account_share_no_name(dev: Synthesis, prod: Synthesis, kind: str, name: str) -> None:
    found = [
        {json.dumps(item[name]) for template in (stage.storage, stage.pipeline) for item in template.of(kind)}
        for stage in (dev, prod)
    ]
    assert found[0]
    assert found[0].isdisjoint(found[1])

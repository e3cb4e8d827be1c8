"""The stacks as CloudFormation would see them, synthesised once per process, references read as names.

Two stages of one app, as different as settings allow: ``prod`` is all defaults, ``dev`` sets everything.
"""

from __future__ import annotations

import functools
import json
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import cdk_app  # noqa: F401 - says which Node.js runs the CDK, before the CDK is imported

# isort: split
import aws_cdk as cdk

from cdk_app.settings import REPO, Settings, check
from cdk_app.stage import Stage, build, hold_to_rules

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

CONTEXT: Final[dict[str, Any]] = json.loads((REPO / "cdk.json").read_text(encoding="utf-8"))["context"]
EXAMPLE: Final[dict[str, Any]] = json.loads((REPO / "settings.example.json").read_text(encoding="utf-8"))
ACCOUNT: Final = "000000000000"
REGION: Final = "eu-west-2"

Properties = dict[str, Any]


def arn(service: str, resource: str) -> str:
    return f"arn:aws:{service}:{REGION}:{ACCOUNT}:{resource}"


def dev_values(folder: Path) -> dict[str, Any]:
    """Every setting that can differ, differing."""
    bundle = folder / "authorities.pem"
    bundle.write_text("-----BEGIN CERTIFICATE-----\n", encoding="utf-8")
    return EXAMPLE | {
        "stage": "dev",
        "warehouse_security_group": "sg-0fedcba9876543210",
        "warehouse_port": 5433,
        "source_host": "shop.cluster-abc.eu-west-2.rds.amazonaws.com",
        "source_dbname": "shop",
        "warehouse_host": "dwh.example.org",
        "warehouse_dbname": "data warehouse",
        "secret_key_arns": [arn("kms", "key/11111111-2222-3333-4444-555555555555")],
        "interval_minutes": 60,
        "full_compare_hour": 4,
        "freshness_minutes": 180,
        "workers": {"extract": 3, "transform": 5, "load": 2, "maintain": 4},
        "time_limits": {"extract": 30, "transform": 10_079, "load": 5, "maintain": 20},
        "keep_batches_days": 2,
        "keep_daily_days": 0,
        "landing_days": 400,
        "landing_format": "csv",
        "retention_days": 7,
        "athena_scan_limit_gb": 1,
        "alarm_phones": ["+447700900123"],
        "alarm_emails": ["on-call@example.org", "data@example.org"],
        "ca_bundle": str(bundle),
        "tags": {"cost-centre": "data"},
    }


@dataclass(frozen=True)
class Template:
    """One stack's template."""

    name: str
    content: dict[str, Any]
    imports: dict[str, str]

    def of(self, kind: str) -> list[Properties]:
        """Properties of all resources of a type, references resolved."""
        return [self.resolve(found.get("Properties", {})) for found in self.resources(kind)]

    def one(self, kind: str, **properties: Any) -> Properties:
        """The one resource of a type with these properties."""
        (found,) = [item for item in self.of(kind) if all(item.get(key) == text for key, text in properties.items())]
        return found

    def resources(self, kind: str) -> list[dict[str, Any]]:
        return [found for found in self.content["Resources"].values() if found["Type"] == kind]

    def path(self, logical_id: str) -> str:
        """Where a resource stands in the app: ``Roles/Extract``."""
        path = self.content["Resources"][logical_id]["Metadata"]["aws:cdk:path"]
        return str(path).removeprefix(f"{self.name}/").removesuffix("/Resource")

    def machine(self, which: str) -> Properties:
        """One of the two state machines: ``etl``, the tick's, or ``maintain``."""
        (found,) = [
            item
            for item in self.of("AWS::StepFunctions::StateMachine")
            if item["StateMachineName"].endswith(f"-{which}")
        ]
        return found

    @property
    def outputs(self) -> dict[str, Any]:
        return {name: self.resolve(found["Value"]) for name, found in self.content["Outputs"].items()}

    def resolve(self, value: Any) -> Any:
        """Replace references by the names and ARNs that they stand for; ``<path>`` where AWS will make one up."""
        if isinstance(value, list):
            return [self.resolve(part) for part in value]
        if not isinstance(value, dict):
            return value
        functions: dict[str, Callable[[Any], str]] = {
            "Ref": lambda given: self._reference(given, ""),
            "Fn::GetAtt": lambda given: self._reference(given[0], given[1]),
            "Fn::Join": lambda given: str(given[0].join(self.resolve(part) for part in given[1])),
            "Fn::Sub": lambda given: re.sub(r"\$\{([\w:]+)\}", lambda found: self._reference(found[1], ""), given),
            "Fn::ImportValue": lambda given: self.imports[given],
        }
        first = next(iter(value), "")
        if len(value) == 1 and (first == "Ref" or first.startswith("Fn::")):
            return functions[first](value[first])
        return {key: self.resolve(part) for key, part in value.items()}

    def _reference(self, name: str, attribute: str) -> str:
        pseudo = {
            "AWS::AccountId": ACCOUNT,
            "AWS::Region": REGION,
            "AWS::Partition": "aws",
            "AWS::URLSuffix": "amazonaws.com",
        }
        if name in pseudo:
            return pseudo[name]
        resource = self.content["Resources"][name]
        kind, properties = resource["Type"], resource.get("Properties", {})
        path = f"<{self.path(name)}>"
        names = {
            "AWS::S3::Bucket": ("BucketName", "arn:aws:s3:::{}"),
            "AWS::SNS::Topic": ("TopicName", arn("sns", "{}")),
            "AWS::Glue::Job": ("Name", arn("glue", "job/{}")),
            "AWS::StepFunctions::StateMachine": ("StateMachineName", arn("states", "stateMachine:{}")),
            "AWS::Logs::LogGroup": ("LogGroupName", arn("logs", "log-group:{}:*")),
            "AWS::Scheduler::ScheduleGroup": ("Name", arn("scheduler", "schedule-group/{}")),
            "AWS::KMS::Key": ("", arn("kms", "key/{}")),
            "AWS::SQS::Queue": ("", arn("sqs", "{}")),
        }
        own, form = names.get(kind, ("", "{}"))
        if kind == "AWS::Glue::Database":
            return str(properties["DatabaseInput"]["Name"])
        plain = properties[own] if own and own in properties else path
        by_ref = {"AWS::SNS::Topic", "AWS::StepFunctions::StateMachine"}
        is_arn = attribute == "Arn" or (not attribute and kind in by_ref)
        return form.format(plain) if is_arn else str(plain)


@dataclass(frozen=True)
class Synthesis:
    """One stage, synthesised."""

    settings: Settings
    stage: Stage
    storage: Template
    pipeline: Template
    zips: dict[str, frozenset[str]]
    """Files of every zipped asset of the pipeline, by the object's key."""


def placeholder_wheels(folder: Path) -> Path:
    """Write an archive that has the right name and nothing else: making the real one needs the network."""
    file = folder / "tidemark.gluewheels.zip"
    file.write_bytes(b"PK\x05\x06" + b"\0" * 18)
    return file


def new_app(folder: Path, **context: Any) -> cdk.App:
    return cdk.App(outdir=str(folder / "cdk.out"), context={**CONTEXT, "aws:cdk:enable-path-metadata": True, **context})


@functools.cache
def synthesis() -> dict[str, Synthesis]:
    """Both stages, by name."""
    with tempfile.TemporaryDirectory(prefix="tidemark-synth-") as name:
        return _synthesise(Path(name))


def _synthesise(folder: Path) -> dict[str, Synthesis]:
    app = new_app(folder)
    settings = [check(dev_values(folder)), check(EXAMPLE | {"stage": "prod"})]
    stages = [build(app, each, wheels=placeholder_wheels(folder)) for each in settings]
    hold_to_rules(app)
    assembly = app.synth()

    def template(name: str, imports: dict[str, str]) -> Template:
        return Template(name, dict(assembly.get_stack_by_name(name).template), imports)

    result = {}
    for each, stage in zip(settings, stages, strict=True):
        storage = template(stage.storage.stack_name, {})
        exports = storage.content["Outputs"].values()
        imports = {out["Export"]["Name"]: storage.resolve(out["Value"]) for out in exports if "Export" in out}
        pipeline = template(stage.pipeline.stack_name, imports)
        result[each.stage] = Synthesis(each, stage, storage, pipeline, _zips(folder / "cdk.out", pipeline.name))
    return result


def _zips(out: Path, stack: str) -> dict[str, frozenset[str]]:
    manifest = json.loads((out / f"{stack}.assets.json").read_text(encoding="utf-8"))
    found: dict[str, frozenset[str]] = {}
    for asset in manifest["files"].values():
        if asset["source"]["packaging"] == "zip":
            folder = out / asset["source"]["path"]
            files = frozenset(str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file())
            found |= {place["objectKey"]: files for place in asset["destinations"].values()}
    return found


def longest_pauses(retry: Mapping[str, Any]) -> list[float]:
    """The pauses before the tries of a step's retrier, each at its longest, whatever its ``MaxDelaySeconds``."""
    rate = retry.get("BackoffRate", 2)
    return [retry["IntervalSeconds"] * rate**at for at in range(retry["MaxAttempts"])]


def seconds_at_most(definition: dict[str, Any]) -> float:
    """How long an execution can take: every step at its limit, every retry used, every pause at its longest."""
    total = 0.0
    for name, state in definition["States"].items():
        if state["Type"] == "Task":
            total += state["TimeoutSeconds"]
            for retry in state.get("Retry", []):
                total += sum(longest_pauses(retry))
                # A start that failed has not used up its step's time; a message that was not sent may have.
                total += state["TimeoutSeconds"] * retry["MaxAttempts"] if name == "NotifyFailure" else 0
    return total

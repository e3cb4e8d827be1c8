"""AWS's own rules: every finding is either fixed or acknowledged with a reason, and a new one stops the synthesis."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
from cfnlint.api import lint_all

from cdk_app import acknowledgements
from cdk_app.acknowledgements import REASONS, acknowledge, acknowledge_wildcards
from cdk_app.app import main
from cdk_app.settings import REPO, check
from cdk_app.stage import build, hold_to_rules
from tests.infra.templates import EXAMPLE, Synthesis, new_app, placeholder_wheels

# isort: split
import aws_cdk as cdk
from aws_cdk import aws_s3 as s3

if TYPE_CHECKING:
    from pathlib import Path

# What the CDK itself writes, and cfn-lint would write otherwise: a dependency that a reference already implies; a
# parameter (the bootstrap's version) that nothing uses.
NOISE = {"W3005", "W2001"}


def test_an_unacknowledged_finding_stops_the_synthesis(tmp_path: Path) -> None:
    app = new_app(tmp_path)
    stage = build(app, check(EXAMPLE | {"stage": "dev"}), wheels=placeholder_wheels(tmp_path))
    s3.Bucket(stage.storage, "Bad")
    hold_to_rules(app)
    with pytest.raises(Exception, match=r"(?i)validation|AwsSolutions"):
        app.synth()
    report = json.loads((tmp_path / "cdk.out" / "validation-report.json").read_text(encoding="utf-8"))
    text = json.dumps(report)
    assert {"AwsSolutions-S1", "AwsSolutions-S10"} <= set(re.findall(r"AwsSolutions-\w+", text))


def test_every_acknowledgement_has_a_reason_that_says_something() -> None:
    for rule, reason in {**REASONS, **acknowledgements._WILDCARDS}.items():
        assert len(reason.split()) >= 8, rule
        assert reason.endswith("."), rule


def test_no_reason_is_left_over() -> None:
    sources = "\n".join(
        file.read_text(encoding="utf-8")
        for file in (REPO / "cdk_app").rglob("*.py")
        if file.name != "acknowledgements.py"
    )
    assert {rule for rule in REASONS if f'"{rule}"' not in sources} == set()


def test_only_rules_with_a_reason_are_acknowledged() -> None:
    scope = cdk.Stack(cdk.App(), "S")
    with pytest.raises(KeyError, match="AwsSolutions-X1"):
        acknowledge(scope, "AwsSolutions-X1")
    with pytest.raises(LookupError, match=r"no reason is given for the wildcard in arn:aws:sqs:.*:\*; give one"):
        acknowledge_wildcards(scope, ["arn:aws:sqs:eu-west-2:000000000000:*"])


def lint(content: dict[str, Any]) -> list[tuple[str, str]]:
    return [(found.rule.id, f"{found.message} at {found.path}") for found in lint_all(json.dumps(content))]


@pytest.mark.parametrize("which", ["storage", "pipeline"])
def test_cfn_lint_has_nothing_to_say_but_the_cdks_own_noise(stage: Synthesis, which: str) -> None:
    assert [found for found in lint(getattr(stage, which).content) if found[0] not in NOISE] == []


def test_cfn_lint_does_look(prod: Synthesis) -> None:
    content = json.loads(json.dumps(prod.pipeline.content))
    jobs = [item for item in content["Resources"].values() if item["Type"] == "AWS::Glue::Job"]
    jobs[0]["Properties"]["Timeout"] = "soon"
    assert "E3012" in {rule for rule, _ in lint(content)}


@pytest.mark.parametrize("command", ["diff", "deploy"])
def test_no_stage_is_deployed_with_placeholders(tmp_path: Path, command: str) -> None:
    (tmp_path / "scripts").mkdir()
    shutil.copy(REPO / "scripts" / "cdk.sh", tmp_path / "scripts")
    shutil.copy(REPO / "settings.example.json", tmp_path)
    run = subprocess.run(  # noqa: S603 - the script under test
        ["/bin/sh", tmp_path / "scripts" / "cdk.sh", command, "prod"], capture_output=True, text=True, check=False
    )
    assert run.returncode == 1
    assert run.stderr.startswith(f"make {command}: settings.prod.json is missing; expected the account")
    assert "docs/deploy.md" in run.stderr


def test_the_lock_of_the_command_line_names_no_registry() -> None:
    package = json.loads((REPO / "package.json").read_text(encoding="utf-8"))
    lock = json.loads((REPO / "package-lock.json").read_text(encoding="utf-8"))
    assert "resolved" not in json.dumps(lock)
    wanted = package["devDependencies"]["aws-cdk"]
    assert re.fullmatch(r"\d+\.\d+\.\d+", wanted), "pinned"
    assert lock["packages"]["node_modules/aws-cdk"]["version"] == wanted
    assert lock["packages"]["node_modules/aws-cdk"]["integrity"].startswith("sha512-")


def test_wrong_settings_end_the_program_with_one_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    app = new_app(tmp_path, stage="dev")
    monkeypatch.setattr(cdk, "App", lambda: app)
    with pytest.raises(SystemExit, match=r"^These settings cannot be used:\naccount: not given; expected in the file"):
        main()

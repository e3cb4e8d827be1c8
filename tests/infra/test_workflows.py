"""What CI may do: actions pinned, permissions minimal, no code of strangers near a secret."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING, Any, Final

import pytest
import yaml

from cdk_app.settings import REPO
from scripts.redact import private, redact
from tests.infra.templates import CONTEXT, EXAMPLE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FILES: Final = sorted((REPO / ".github" / "workflows").glob("*.yml"))
# BaseLoader makes nothing but text: to YAML 1.1, `on` is a truth value.
WORKFLOWS: Final[dict[str, Any]] = {
    file.stem: yaml.load(file.read_text(encoding="utf-8"), yaml.BaseLoader)  # noqa: S506
    for file in FILES
}
OIDC: Final = {"contents": "read", "id-token": "write"}


def jobs() -> Iterator[tuple[str, dict[str, Any]]]:
    for name, workflow in WORKFLOWS.items():
        yield from ((f"{name}.{key}", job) for key, job in workflow["jobs"].items())


def runs(job: dict[str, Any]) -> str:
    return "\n".join(step.get("run", "") for step in job["steps"])


def test_there_are_checks_and_a_deployment() -> None:
    assert WORKFLOWS.keys() == {"checks", "deploy"}


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.name))
def test_every_action_is_pinned_by_its_commit_and_says_its_version(file: Path) -> None:
    uses = re.findall(r"uses: *(.*)", file.read_text(encoding="utf-8"))
    assert uses
    for line in uses:
        assert re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", line), line


def test_an_action_has_the_same_commit_everywhere() -> None:
    uses = {step["uses"] for _, job in jobs() for step in job["steps"] if "uses" in step}
    assert len({name.partition("@")[0] for name in uses}) == len(uses)


@pytest.mark.parametrize("name", WORKFLOWS)
def test_a_workflow_has_no_rights_of_its_own_and_never_runs_twice_at_once(name: str) -> None:
    workflow = WORKFLOWS[name]
    assert workflow["permissions"] == {}
    assert workflow["concurrency"]["group"]
    assert workflow["concurrency"]["cancel-in-progress"] == ("false" if name == "deploy" else "true")
    assert not {"pull_request_target", "workflow_run"} & set(workflow["on"])


@pytest.mark.parametrize(("name", "job"), list(jobs()), ids=[name for name, _ in jobs()])
def test_a_job_gets_secrets_only_with_an_environment_and_a_role_only_by_oidc(name: str, job: dict[str, Any]) -> None:
    has_secrets = "secrets." in json.dumps(job)
    assert has_secrets is ("environment" in job) is (name != "checks.test")
    assert job["permissions"] == (OIDC if has_secrets else {"contents": "read"})
    assert int(job["timeout-minutes"]) <= 60
    assert "aws-access-key" not in json.dumps(job)
    for step in job["steps"]:
        if step.get("uses", "").startswith("actions/checkout@"):
            assert step["with"]["persist-credentials"] == "false"
        assert "${{" not in step.get("run", ""), "values of others go through the environment, never into a script"


@pytest.mark.parametrize("name", ["checks.diff", "deploy.dev", "deploy.prod"])
def test_settings_are_written_for_their_owner_only_and_nothing_is_installed_with_credentials(name: str) -> None:
    job = dict(jobs())[name]
    steps = [step.get("run", step.get("uses", "")) for step in job["steps"]]
    (write,) = [step for step in job["steps"] if "TIDEMARK_SETTINGS" in step.get("env", {})]
    assert write["run"].startswith("umask 077 && ")
    credentials = next(at for at, step in enumerate(steps) if "configure-aws-credentials" in step)
    assert steps.index("make wheels") < credentials
    assert "scripts.redact" in steps[-1]
    assert job["steps"][-1]["shell"] == "bash", "with pipefail: a failed deployment fails"


def test_pull_requests_are_checked_on_both_pythons_and_show_their_difference() -> None:
    found = dict(jobs())
    test = found["checks.test"]
    assert test["strategy"]["matrix"]["python"] == ["3.11", "3.13"]
    versions = {step["uses"].partition("@")[0]: step["with"] for step in test["steps"] if "uses" in step}
    assert versions["actions/setup-node"]["node-version"] == "22"
    assert versions["actions/setup-java"]["java-version"] == "17"
    makes = [step["run"] for step in test["steps"] if step.get("run", "").startswith("make")]
    assert makes == ["make check", "make synth STAGE=prod", "make test"]
    diff = found["checks.diff"]
    assert "head.repo.full_name == github.repository" in diff["if"]
    assert diff["strategy"]["matrix"]["stage"] == list(CONTEXT["stages"])
    assert "GITHUB_STEP_SUMMARY" in runs(diff)


def test_prod_comes_after_dev_and_each_has_its_environment() -> None:
    found = dict(jobs())
    assert WORKFLOWS["deploy"]["on"] == {"push": {"branches": ["main"]}}
    assert found["deploy.prod"]["needs"] == "dev"
    for stage in ("dev", "prod"):
        assert found[f"deploy.{stage}"]["environment"] == stage
        assert f"make deploy STAGE={stage} " in runs(found[f"deploy.{stage}"])


def test_every_make_command_of_ci_is_one_of_the_makefile() -> None:
    targets = set(re.findall(r"^([a-z]+):.*##", (REPO / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE))
    used = {name for _, job in jobs() for name in re.findall(r"\bmake (\w+)", runs(job))}
    assert used
    assert used <= targets


def test_logs_do_not_show_what_the_settings_keep() -> None:
    settings = EXAMPLE | {"alarm_phones": "+447700900123, +447700900124", "alarm_emails": ["on-call@example.org"]}
    hidden = private(settings)
    log = [f"{name}: {value}\n" for name, value in settings.items()]
    text = "".join(redact([*log, f"arn:aws:states:eu-west-2:{settings['account']}:stateMachine:tidemark\n"], hidden))
    for kept in ("vpc-0", "subnet-0", "sg-0", "000000000000", "+4477", "example.org", "tidemark/source"):
        assert kept not in text
    assert "arn:aws:states:eu-west-2:***:stateMachine:tidemark" in text
    assert "region: eu-west-2" in text


def test_redacting_passes_everything_else_on(tmp_path: Path) -> None:
    shutil.copy(REPO / "settings.example.json", tmp_path / "settings.json")
    run = subprocess.run(  # noqa: S603 - the script under test
        [sys.executable, "-m", "scripts.redact", tmp_path / "settings.json"],
        input="Stack tidemark-totesys-dev\n000000000000 ü\n",
        cwd=REPO,
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout == "Stack tidemark-totesys-dev\n*** ü\n"

"""What people read when a run has failed, for every kind of error text."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.machine.conftest import Pipeline, new_pipeline

if TYPE_CHECKING:
    from local_stack.aws.server import LocalServer


def begin_at_the_failure(definition: dict[str, Any]) -> None:
    """Change the machine so that it begins right after a task was caught with the error in the execution's input."""
    definition["States"]["ReadInput"]["Next"] = "Inject"
    definition["States"]["Inject"] = {
        "Type": "Pass",
        "InputPath": "$$.Execution.Input.failure",
        "ResultPath": "$.failure",
        "Next": "ExtractFailed",
    }


@pytest.fixture(scope="module")
def failing(server: LocalServer, tmp_path_factory: pytest.TempPathFactory) -> Pipeline:
    pipeline = new_pipeline(server, tmp_path_factory.mktemp("scripts"))
    pipeline.provision(change=begin_at_the_failure)
    return pipeline


def job_run(**fields: Any) -> str:
    return json.dumps({"JobName": "j", "Id": "jr_1", "JobRunState": "FAILED", "Arguments": {"--a": "x"}} | fields)


FAILED = "States.TaskFailed"
# What Glue 6.0 puts before an exception that it has looked at, as seen in public reports.
GLUES_WORDS = "Error Category: UNCLASSIFIED_ERROR; Failed Line Number: 1362; "
DELETED = "The table a: b is gone."


@pytest.mark.parametrize(
    ("failure", "sentence", "place"),
    [
        ({"Error": FAILED, "Cause": job_run(ErrorMessage="ValueError: bad")}, "ValueError: bad", "job run jr_1"),
        ({"Error": FAILED, "Cause": job_run(ErrorMessage="one\ntwo\r\nthree")}, "one", "job run jr_1"),
        (
            {"Error": FAILED, "Cause": job_run(ErrorMessage="SystemExit: \tThe table a: b is gone.")},
            DELETED,
            "job run jr_1",
        ),
        (
            {
                "Error": FAILED,
                "Cause": job_run(ErrorMessage=f"{GLUES_WORDS}SystemExit: \tThe table a: b is gone.\nmore"),
            },
            DELETED,
            "job run jr_1",
        ),
        ({"Error": FAILED, "Cause": job_run(ErrorMessage="SystemExit: \t")}, "SystemExit: ", "job run jr_1"),
        ({"Error": FAILED, "Cause": job_run(ErrorMessage="SystemExit: 1")}, "SystemExit: 1", "job run jr_1"),
        (
            {"Error": FAILED, "Cause": job_run(ErrorMessage=f"{GLUES_WORDS}KeyError: a\tb")},
            f"{GLUES_WORDS}KeyError: a\tb",
            "job run jr_1",
        ),
        ({"Error": FAILED, "Cause": job_run(ErrorMessage="\n\nthird")}, "third", "job run jr_1"),
        ({"Error": FAILED, "Cause": job_run(ErrorMessage="\n")}, "(no message)", "job run jr_1"),
        (
            {"Error": FAILED, "Cause": job_run(ErrorMessage="")},
            "The job run ended as FAILED and left no message.",
            "job run jr_1",
        ),
        (
            {"Error": FAILED, "Cause": job_run(ErrorMessage=None)},
            "The job run ended as FAILED and left no message.",
            "job run jr_1",
        ),
        (
            {"Error": FAILED, "Cause": job_run(JobRunState="TIMEOUT")},
            "The job run ended as TIMEOUT and left no message.",
            "job run jr_1",
        ),
        ({"Error": FAILED, "Cause": "not JSON at all"}, f"{FAILED}: not JSON at all", "execution"),
        ({"Error": FAILED, "Cause": '{"looks": "like JSON'}, f'{FAILED}: {{"looks": "like JSON', "execution"),
        ({"Error": FAILED, "Cause": ""}, f"{FAILED} (no cause given)", "execution"),
        ({"Error": FAILED}, f"{FAILED} (no cause given)", "execution"),
        ({"Error": FAILED, "Cause": None}, f"{FAILED} (no cause given)", "execution"),
        (
            {"Error": "States.Timeout", "Cause": ""},
            "The step took longer than its time limit and was stopped.",
            "logs of execution",
        ),
        ({"Error": "States.Timeout"}, "The step took longer than its time limit and was stopped.", "logs of execution"),
        (
            {"Error": "Glue.AccessDeniedException", "Cause": "not allowed\nask somebody"},
            "Glue.AccessDeniedException: not allowed",
            "execution",
        ),
    ],
)
def test_every_kind_of_cause_becomes_one_sentence(
    failing: Pipeline, failure: dict[str, Any], sentence: str, place: str
) -> None:
    execution = failing.run({"failure": failure})
    note = failing.notification(execution)
    lines = note.message.split("\n")
    assert note.subject == "Tidemark: ExtractSource failed"
    assert len(lines) == 3
    assert lines[0] == f"ExtractSource failed in execution {execution.name} of {failing.deployment.prefix}-etl."
    assert lines[1] == sentence
    assert place in lines[2]
    assert execution.cause == note.message


@pytest.mark.parametrize(
    "message",
    [
        """it's a "quoted" 'message' with \\ and \\n in it""",
        "Zürich, 東京, ½, emoji 🌊, \u2028 no line end",
        '{"ErrorMessage": "I only look like JSON", "JobRunState": "SUCCEEDED"}',
        "{} {0} {name} %s $.path $$.Execution.Name ${TopicArn} States.Format('{}')",
        "<b>tags</b> & ampersands; a\ttab",
    ],
)
def test_an_error_message_arrives_as_it_was_written(pipeline: Pipeline, message: str) -> None:
    pipeline.provision({"extract": f"raise ValueError({message!r})"})
    note = pipeline.notification(pipeline.run())
    assert note.message.split("\n")[1] == f"ValueError: {message}"


def test_a_long_message_of_many_lines_is_cut_to_its_beginning(pipeline: Pipeline) -> None:
    pipeline.provision({"extract": "raise ValueError('x' * 100_000 + '\\nsecond line')"})
    note = pipeline.notification(pipeline.run())
    line = note.message.split("\n")[1]
    assert len(line) == 1000
    assert line.startswith("ValueError: xxx")
    assert line.endswith("x…")


OF_A_JOB = """
import sys
from tidemark.base.errors import TidemarkError
from tidemark.jobs.process import run_job

def main():
    sys.stderr.write("Traceback (most recent call last):\\nOSError: a lie on stderr\\n")
    raise TidemarkError("the table payment\\tis missing", do="fix it")

run_job("extract", main)
"""


def test_the_message_is_the_jobs_own_sentence_and_nothing_else(pipeline: Pipeline) -> None:
    pipeline.provision({"extract": OF_A_JOB})
    execution = pipeline.run()
    (run,) = pipeline.job_runs("extract")
    sentence = "the table payment is missing; to do: fix it."
    assert run["ErrorMessage"] == f"SystemExit: \t{sentence}"
    assert pipeline.notification(execution).message.split("\n")[1] == sentence


def test_a_script_without_its_arguments_says_which(pipeline: Pipeline) -> None:
    pipeline.provision({"extract": "from tidemark.jobs.process import run_job\n" + WITHOUT_ARGUMENTS})
    line = pipeline.notification(pipeline.run()).message.split("\n")[1]
    assert line.startswith("load.py: the following arguments are required: --landing_uri, ")
    assert "to do: deploy again" in line


WITHOUT_ARGUMENTS = """
from tidemark.jobs.arguments import parse_arguments
run_job("extract", lambda: parse_arguments("load", ["--execution", "r", "--pipeline", "p", "--model_uri", "m"]))
"""


def test_exit_with_a_word_is_shown_as_glue_shows_it(pipeline: Pipeline) -> None:
    pipeline.provision({"extract": "import sys; sys.exit('the table payment is missing')"})
    line = pipeline.notification(pipeline.run()).message.split("\n")[1]
    assert line == "SystemExit: the table payment is missing"

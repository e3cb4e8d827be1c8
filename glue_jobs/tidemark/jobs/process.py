"""How a job's process ends: with one sentence that Glue shows, or with the stack trace of a defect."""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING

from tidemark.base.errors import TidemarkError

if TYPE_CHECKING:
    from collections.abc import Callable

_log = logging.getLogger("tidemark")


def run_job(name: str, job: Callable[[], object]) -> None:
    """Run ``job`` as a process' main function: plain log lines, one last line on failure.

    A :class:`TidemarkError` ends as ``SystemExit`` with its own sentence, for the exception is all that Glue shows as
    ErrorMessage, with words of its own before it (``Error Category: …; SystemExit: ``). The tab, which no sentence
    holds, lets the state machine cut those off. Anything else is a defect of ours and ends with its stack trace in the
    log and ``Type: message`` as ErrorMessage.
    """
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", stream=sys.stdout, force=True)
    logging.getLogger("py4j").setLevel(logging.WARNING)
    try:
        job()
    except TidemarkError as error:
        sys.stdout.flush()
        sys.exit(f"\t{error}")
    _log.info("%s: done", name)

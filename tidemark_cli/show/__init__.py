"""Tidemark's figures as a terminal shows them: pure functions from figures to rich tables and lines.

Promises: nothing here reads or decides anything; without a terminal the output has no control codes and is 100 columns
wide, and no meaning hangs on colour alone.
"""

from tidemark_cli.show.executions import ended, executions, failure, landed, maintained, progress, reason
from tidemark_cli.show.history import version_list, versions
from tidemark_cli.show.layout import WIDTH, age, console, moment, table, value
from tidemark_cli.show.reconciliation import reconciliation, verdict
from tidemark_cli.show.rows import differences, quarantined
from tidemark_cli.show.status import status

__all__ = [
    "WIDTH",
    "age",
    "console",
    "differences",
    "ended",
    "executions",
    "failure",
    "landed",
    "maintained",
    "moment",
    "progress",
    "quarantined",
    "reason",
    "reconciliation",
    "status",
    "table",
    "value",
    "verdict",
    "version_list",
    "versions",
]

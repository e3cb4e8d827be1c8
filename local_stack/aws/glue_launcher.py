"""What Glue puts around a script: its arguments, and the one thing that Glue learns of its failure, the exception.

Runs in the job's process, started by :mod:`local_stack.aws.glue_runner` as ``glue_launcher.py FD SCRIPT --name value
…``. Promises: the script sees itself as the main program, and nothing of this one; how it ended (:class:`ScriptEnd`) is
written to the file descriptor.
"""

from __future__ import annotations

import json
import os
import runpy
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

# More would be cut off anyway, and a pipe takes 64 KiB before anybody reads.
_MESSAGE_LENGTH: Final = 1000
_MOST_BYTES: Final = 65536
_UNTOLD: Final = "Java has ended, and what it said of this is lost (out of memory? see the run's log)"


@dataclass(frozen=True)
class ScriptEnd:
    """How a script ended.

    Parameters
    ----------
    error
        The exception that ended it, as ``Type: message``.
    spark
        Whether it has ever started a SparkContext.
    stopped
        Whether nothing of its Spark is running any more.
    """

    error: str = ""
    spark: bool = False
    stopped: bool = False


def read_end(source: int) -> ScriptEnd:
    """Read what the launcher of an ended process told, and close the descriptor; nothing if it was killed before."""
    with os.fdopen(source, "rb", buffering=0) as pipe:
        os.set_blocking(source, False)
        found = pipe.read(_MOST_BYTES)
    return ScriptEnd(**json.loads(found)) if found else ScriptEnd()


def describe(error: BaseException) -> str:
    """Describe an exception as the last lines of its traceback would: ``Type: message``.

    One of Java asks Java for its message: where that is gone, it is said instead.
    """
    kind = type(error)
    name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    try:
        message = str(error)
    except Exception:  # noqa: BLE001 - whatever it is, how the script ended must be told
        message = _UNTOLD
    text = f"{name}: {message}" if message else name
    return text if len(text) <= _MESSAGE_LENGTH else f"{text[: _MESSAGE_LENGTH - 1]}…"


def has_started_spark() -> bool:
    """Whether this process has ever started a SparkContext: its gateway to Java stays when the context is stopped."""
    pyspark = sys.modules.get("pyspark")
    return pyspark is not None and pyspark.SparkContext._gateway is not None  # noqa: SLF001 - nothing public says it


def stop_spark() -> bool:
    """Stop the SparkContext that a script has left running, as Glue does with its machines; say whether it is gone."""
    pyspark = sys.modules.get("pyspark")
    running = pyspark and pyspark.SparkContext._active_spark_context  # noqa: SLF001 - nothing public says it
    if running:
        try:
            running.stop()
        except Exception:  # noqa: BLE001 - its Java has died: the script has ended all the same
            return False
    return True


def main() -> None:
    """Run the script, and tell how it ended."""
    told, script = int(sys.argv[1]), sys.argv[2]
    os.set_inheritable(told, False)  # a child that outlives the script must not keep it open
    del sys.argv[:2]
    sys.path.insert(0, str(Path(script).parent))
    error = ""
    try:
        runpy.run_path(script, run_name="__main__")
    except BaseException as raised:
        # By sys.exit() or sys.exit(0) a script succeeds.
        error = "" if isinstance(raised, SystemExit) and raised.code in (None, 0) else describe(raised)
        raise
    finally:
        end = {"error": error, "spark": has_started_spark(), "stopped": not error and stop_spark()}
        os.write(told, json.dumps(end).encode())


if __name__ == "__main__":
    main()

"""What a job's pyspark starts in place of ``spark-submit``: it fetches a Java that is running already.

pyspark starts this, waits for a file that says where Java listens, and holds its standard input open for as long as it
lives. Runs without site-packages, in milliseconds. Whom to ask stands in the environment (:mod:`local_stack.aws.java`).
"""

from __future__ import annotations

import os
import socket
import struct
import sys
from pathlib import Path
from typing import Final

PORT, TOKEN, RUN = "TIDEMARK_JAVA_PORT", "TIDEMARK_JAVA_TOKEN", "TIDEMARK_JAVA_RUN"
"""Of whom is asked: its port and what proves that one may; and for which job run."""
CONNECTION_FILE: Final = "_PYSPARK_DRIVER_CONN_INFO_PATH"


def ask(port: int, token: str, run: str) -> str:
    """Ask for a Java; return its port and its secret, with a blank between, or nothing if there is none to be had."""
    with socket.create_connection(("127.0.0.1", port)) as asked, asked.makefile("rw") as lines:
        lines.write(f"{token} {run}\n")
        lines.flush()
        return lines.readline().strip()


def encoded(port: int, secret: str) -> bytes:
    """What Java writes of itself for pyspark: port and secret, as big-endian integer and counted text."""
    text = secret.encode()
    return struct.pack(f"!ii{len(text)}s", port, len(text), text)


def decoded(told: bytes) -> tuple[int, str]:
    """Read what :func:`encoded` writes."""
    port, _ = struct.unpack_from("!ii", told)
    return port, told[8:].decode()


def main() -> None:
    """Ask for a Java process, tell pyspark, and stay until the job ends."""
    found = ask(int(os.environ[PORT]), os.environ[TOKEN], os.environ[RUN])
    if not found:
        sys.exit("no Java could be started")
    port, secret = found.split()
    told = Path(os.environ[CONNECTION_FILE])
    draft = told.with_suffix(".new")
    draft.write_bytes(encoded(int(port), secret))
    draft.rename(told)
    sys.stdin.buffer.read()


if __name__ == "__main__":
    main()

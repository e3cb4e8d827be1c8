"""The landing area: immutable data files, and the manifests that make them exist.

A tick of the extract becomes real by one write: ``manifests/<batch>.json``, put only if it is not there. Data files
without a manifest are invisible. Promises: two runs never both commit the same batch; a manifest is never changed; a
committed manifest always gets its ``pending/`` marker, even if the run dies between the two writes (the next run puts
it, as long as ``published.json`` does not say that the manifest has gone through).
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from tidemark.base import storage
from tidemark.base.concurrency import concurrently
from tidemark.base.errors import LandingError
from tidemark.landing.manifest import Manifest

if TYPE_CHECKING:
    from collections.abc import Mapping

PENDING_PREFIX: Final = "pending/"


class Landing:
    """The landing area of one model, below ``uri`` (``s3://bucket[/prefix]``)."""

    def __init__(self, uri: str) -> None:
        self.uri = uri.rstrip("/")
        self._read: dict[int, Manifest] = {}  # a manifest never changes

    def data_uri(self, attempt: str) -> str:
        """Folder for the data files of one attempt."""
        return f"{self.uri}/data/{attempt}"

    def latest(self) -> Manifest | None:
        """Return the last committed manifest, or None before the first."""
        published = self.published()
        found = storage.names(f"{self.uri}/manifests", after=_name(published))
        last = max([published, *(int(name.removesuffix(".json")) for name in found)])
        return self.read(last) if last else None

    def after(self, batch: int) -> list[int]:
        """Return the committed batches beyond ``batch``, in order.

        Raises
        ------
        LandingError
            If one is missing in between: applying the rest would skip changes.
        """
        found = [int(name.removesuffix(".json")) for name in storage.names(f"{self.uri}/manifests", after=_name(batch))]
        expected = list(range(batch + 1, batch + 1 + len(found)))
        if found != expected:
            if batch + 1 < self.begins():
                raise self.begins_later()
            missing = sorted(set(range(batch + 1, max(found))) - set(found))
            raise LandingError(
                f"{self.uri}/manifests lacks {', '.join(_name(gap) for gap in missing)}",
                expected="an unbroken sequence",
                do="restore it from the bucket's versions",
            )
        return found

    def read(self, batch: int) -> Manifest:
        """Return the manifest ``batch``."""
        if batch in self._read:
            return self._read[batch]
        where = f"{self.uri}/manifests/{_name(batch)}"
        content = storage.get(where)
        if content is None:
            raise LandingError(f"{where} is missing", do="restore it from the bucket's versions")
        self._read = {batch: Manifest.from_json(content, where)}  # the last one: jobs go through them in order
        return self._read[batch]

    def commit(self, manifest: Manifest) -> None:
        """Make a manifest, and with it its data files, exist; then say that it is pending.

        Raises
        ------
        LandingError
            If another run committed this batch first.
        """
        where = f"{self.uri}/manifests/{_name(manifest.batch)}"
        if not storage.put_new(where, manifest.to_json()):
            raise LandingError(
                f"{where} was committed by another run meanwhile",
                do="nothing: this run's files stay invisible, and the next tick reads on from there",
            )
        self.mark_pending(manifest.batch)

    def mark_pending(self, batch: int) -> None:
        """Say that ``batch`` still has to go through."""
        storage.put(f"{self.uri}/{PENDING_PREFIX}{batch:010d}", b"")

    def restore_marker(self, latest: Manifest | None) -> None:
        """Put the marker that a run killed right after its commit did not put."""
        if latest is not None and latest.batch > self.published():
            self.mark_pending(latest.batch)

    def published(self) -> int:
        """Return the last batch that is known to be in the warehouse (0 if none)."""
        content = storage.get(f"{self.uri}/published.json")
        return int(json.loads(content)["batch"]) if content else 0

    def forget_published(self) -> None:
        """Let the last manifest, and with it all before it, be pending again."""
        storage.delete(f"{self.uri}/published.json")
        self.restore_marker(self.latest())

    def publish(self, batch: int) -> None:
        """Note that all up to ``batch`` is in the warehouse, and remove the markers."""
        if batch > self.published():
            storage.put(f"{self.uri}/published.json", json.dumps({"batch": batch}).encode())
        for name in storage.names(f"{self.uri}/{PENDING_PREFIX}"):
            if int(name) <= batch:
                storage.delete(f"{self.uri}/{PENDING_PREFIX}{name}")

    def begins(self) -> int:
        """Return the first batch whose manifest and files are all there: 1, unless old ones were removed."""
        content = storage.get(f"{self.uri}/begins.json")
        return int(json.loads(content)["batch"]) if content else 1

    def begins_later(self) -> LandingError:
        """Say that nothing can be made from the first batch on."""
        return LandingError(
            f"{self.uri} begins with batch {self.begins()}: older ones were removed by the maintenance (landing_days)",
            expected="every batch from 1 on, to make a lake from the landing area",
            do="restore the objects below manifests/ and data/ from the bucket's versions, then delete begins.json",
        )

    def remove_before(self, batch: int) -> int:
        """Remove the batches before one, once all are in the warehouse; return how many.

        That they are gone is said before it is begun: nobody rebuilds from half of them.
        """
        if batch > self.begins():
            storage.put(f"{self.uri}/begins.json", json.dumps({"batch": batch}).encode())
        removed = 0
        for number in map(int, (name.removesuffix(".json") for name in storage.names(f"{self.uri}/manifests"))):
            if number >= batch:
                break
            concurrently(self.read(number).files, storage.delete)
            storage.delete(f"{self.uri}/manifests/{_name(number)}")
            removed += 1
        return removed

    def heartbeat(self, content: dict[str, object]) -> None:
        """Say that the source was looked at and nothing had changed."""
        storage.put(f"{self.uri}/heartbeat.json", json.dumps(content, indent=1).encode())

    def last_heartbeat(self) -> dict[str, Any] | None:
        """Return the last heartbeat."""
        content = storage.get(f"{self.uri}/heartbeat.json")
        return json.loads(content) if content else None

    def note_maintenance(self, content: Mapping[str, object]) -> None:
        """Keep what the maintenance has done to the lake's tables."""
        storage.put(f"{self.uri}/maintenance.json", json.dumps(content, indent=1).encode())

    def last_maintenance(self) -> dict[str, Any] | None:
        """Return what was kept last."""
        content = storage.get(f"{self.uri}/maintenance.json")
        return json.loads(content) if content else None

    def fresh_at(self) -> datetime | None:
        """Time at which the source was last seen to be as the warehouse shows it (UTC); None before the first load.

        That is the published cut's, or of the last look at the source since that found nothing new.
        """
        published = self.published()
        if not published:
            return None
        fresh = datetime.fromisoformat(self.read(published).cut.time)
        beat = self.last_heartbeat()
        if beat is not None and beat["batch"] == published and not storage.names(f"{self.uri}/{PENDING_PREFIX}"):
            fresh = max(fresh, datetime.fromisoformat(beat["time"]))
        return fresh.astimezone(UTC)


def _name(batch: int) -> str:
    return f"{batch:010d}.json"

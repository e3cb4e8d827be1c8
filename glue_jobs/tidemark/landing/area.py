"""The landing area: immutable data files, and the manifests that make them exist.

A tick of the extract becomes real by one write: ``manifests/<seq>.json``, put only if it is not there. Data files
without a manifest are invisible. Promises: two runs never both commit the same seq; a manifest is never changed; a
committed manifest always gets its ``pending/`` marker, even if the run dies between the two writes (the next run puts
it, as long as ``published.json`` does not say that the manifest has gone through).
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

from tidemark.base import storage
from tidemark.base.errors import LandingError
from tidemark.jobs.definitions import PENDING_PREFIX

Mode = Literal["full", "delta", "none"]
MANIFEST_FORMAT = 1


@dataclass(frozen=True, kw_only=True)
class Identity:
    """Which server, and which life of it, a cut was taken from: xmins of different ones cannot be compared."""

    system_identifier: str
    timeline: str
    started: str
    database: str


@dataclass(frozen=True, kw_only=True)
class Cut:
    """One consistent cut of the source.

    Parameters
    ----------
    xmin, xmax
        Bounds of the snapshot, 64 bit: all transactions below ``xmin`` had ended, none from ``xmax`` on had begun.
    time
        The source's clock, ISO 8601 with offset.
    lsn
        Insert position right after the snapshot; the manifest waits until it is on the source's disk. None on a
        standby.
    seen
        Transactions from ``xmin`` on whose rows this cut already shows, so that the next cut need not read them again.
        None if they were too many to list.
    """

    xmin: int
    xmax: int
    time: str
    lsn: str | None
    seen: tuple[int, ...] | None = ()


@dataclass(frozen=True, kw_only=True)
class KeyList:
    """Complete keys of a table, or of the key ranges ``groups`` (``key >> shift``): what is not in it is deleted."""

    files: tuple[str, ...]
    rows: int
    groups: tuple[int, ...] | None = None
    shift: int = 0


@dataclass(frozen=True, kw_only=True)
class TableEntry:
    """What one cut says of one table.

    Parameters
    ----------
    mode
        ``full``: the files hold every row; ``delta``: at least all changed ones; ``none``: nothing changed.
    why
        Why this mode, for people.
    rows
        Rows landed.
    columns
        Landing schema, name -> Spark type.
    key
        The columns that identify a row.
    keys
        Keys to find deletes by, or None if none can have happened (or mode is ``full``).
    count, key_hash, shift, groups, content_hash, cursor, fingerprint
        The baseline for the next cut: rows and keys in all, per key range, contents (strategies without xmin), shape.
    """

    mode: Mode
    why: str
    rows: int
    count: int
    fingerprint: str
    files: tuple[str, ...] = ()
    columns: dict[str, str] = field(default_factory=dict)
    key: tuple[str, ...] = ()
    keys: KeyList | None = None
    key_hash: str = "0"
    shift: int = 0
    groups: dict[str, tuple[int, str]] | None = None
    content_hash: str | None = None
    cursor: str | None = None

    @property
    def changed(self) -> bool:
        """Whether the transform has anything to do for this table."""
        return self.mode != "none"


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """The commit of one extract run."""

    seq: int
    run_id: str
    lake_id: str
    model: str
    model_digest: str
    landing_format: str
    identity: Identity
    cut: Cut
    tables: dict[str, TableEntry]
    full_compare_at: str
    format: int = MANIFEST_FORMAT

    def changed(self, table: str) -> bool:
        """Whether this manifest changes a table; one that its model did not know yet it does not."""
        return table in self.tables and self.tables[table].changed

    def to_json(self) -> bytes:
        """Serialise, readable by people; the order of columns is theirs in CSV files."""
        return json.dumps(asdict(self), indent=1).encode()

    @classmethod
    def from_json(cls, content: bytes, where: str) -> Manifest:
        """Read what :meth:`to_json` wrote.

        Raises
        ------
        LandingError
            If the object is no manifest, or one of another format.
        """
        try:
            data: dict[str, Any] = json.loads(content)
            if data["format"] != MANIFEST_FORMAT:
                raise LandingError(
                    f"{where} has manifest format {data['format']}",
                    expected=str(MANIFEST_FORMAT),
                    do="run the version of Tidemark that wrote it, or start with an empty landing area",
                )
            cut = data.pop("cut")
            seen = cut.pop("seen")
            return cls(
                **{name: value for name, value in data.items() if name not in ("identity", "tables")},
                identity=Identity(**data["identity"]),
                cut=Cut(**cut, seen=None if seen is None else tuple(seen)),
                tables={name: _entry(entry) for name, entry in data["tables"].items()},
            )
        except (KeyError, TypeError, ValueError) as error:
            raise LandingError(
                f"{where} is not a manifest ({type(error).__name__}: {error})",
                do="restore the object from its bucket's versions; manifests are never edited",
            ) from None


def _entry(data: dict[str, Any]) -> TableEntry:
    keys, groups = data.pop("keys"), data.pop("groups")
    files, key = tuple(data.pop("files")), tuple(data.pop("key", ()))
    if keys is not None:
        listed = keys.pop("groups")
        keys = KeyList(**{**keys, "files": tuple(keys["files"])}, groups=None if listed is None else tuple(listed))
    per_group = None if groups is None else {group: (pair[0], pair[1]) for group, pair in groups.items()}
    return TableEntry(**data, files=files, key=key, keys=keys, groups=per_group)


class Landing:
    """The landing area of one model, below ``uri`` (``s3://bucket[/prefix]``)."""

    def __init__(self, uri: str) -> None:
        self.uri = uri.rstrip("/")
        self._read: dict[int, Manifest] = {}  # a manifest never changes

    def data_uri(self, attempt: str, name: str) -> str:
        """Folder for the data files of one table in one attempt."""
        return f"{self.uri}/data/{attempt}/{name}"

    def latest(self) -> Manifest | None:
        """Return the last committed manifest, or None before the first."""
        published = self.published()
        found = storage.names(f"{self.uri}/manifests", after=_name(published))
        last = max([published, *(int(name.removesuffix(".json")) for name in found)])
        return self.read(last) if last else None

    def after(self, seq: int) -> list[int]:
        """Return the committed seqs beyond ``seq``, in order.

        Raises
        ------
        LandingError
            If one is missing in between: applying the rest would skip changes.
        """
        found = [int(name.removesuffix(".json")) for name in storage.names(f"{self.uri}/manifests", after=_name(seq))]
        expected = list(range(seq + 1, seq + 1 + len(found)))
        if found != expected:
            missing = sorted(set(range(seq + 1, max(found))) - set(found))
            raise LandingError(
                f"{self.uri}/manifests lacks {', '.join(_name(gap) for gap in missing)}",
                expected="an unbroken sequence",
                do="restore it from the bucket's versions",
            )
        return found

    def read(self, seq: int) -> Manifest:
        """Return the manifest ``seq``."""
        if seq in self._read:
            return self._read[seq]
        where = f"{self.uri}/manifests/{_name(seq)}"
        content = storage.get(where)
        if content is None:
            raise LandingError(f"{where} is missing", do="restore it from the bucket's versions")
        self._read = {seq: Manifest.from_json(content, where)}  # the last one: jobs go through them in order
        return self._read[seq]

    def commit(self, manifest: Manifest) -> None:
        """Make a manifest, and with it its data files, exist; then say that it is pending.

        Raises
        ------
        LandingError
            If another run committed this seq first.
        """
        where = f"{self.uri}/manifests/{_name(manifest.seq)}"
        if not storage.put_new(where, manifest.to_json()):
            raise LandingError(
                f"{where} was committed by another run meanwhile",
                do="nothing: this run's files stay invisible, and the next tick reads on from there",
            )
        self.mark_pending(manifest.seq)

    def mark_pending(self, seq: int) -> None:
        """Say that ``seq`` still has to go through."""
        storage.put(f"{self.uri}/{PENDING_PREFIX}{seq:010d}", b"")

    def mend_pending(self, latest: Manifest | None) -> None:
        """Put the marker that a run killed right after its commit did not put."""
        if latest is not None and latest.seq > self.published():
            self.mark_pending(latest.seq)

    def published(self) -> int:
        """Return the last seq that is known to be in the warehouse (0 if none)."""
        content = storage.get(f"{self.uri}/published.json")
        return int(json.loads(content)["seq"]) if content else 0

    def publish(self, seq: int) -> None:
        """Note that all up to ``seq`` is in the warehouse, and remove the markers."""
        if seq > self.published():
            storage.put(f"{self.uri}/published.json", json.dumps({"seq": seq}).encode())
        for name in storage.names(f"{self.uri}/{PENDING_PREFIX}"):
            if int(name) <= seq:
                storage.delete(f"{self.uri}/{PENDING_PREFIX}{name}")

    def heartbeat(self, content: dict[str, object]) -> None:
        """Say that the source was looked at and nothing had changed."""
        storage.put(f"{self.uri}/heartbeat.json", json.dumps(content, indent=1).encode())

    def last_heartbeat(self) -> dict[str, Any] | None:
        """Return the last heartbeat."""
        content = storage.get(f"{self.uri}/heartbeat.json")
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
        if beat is not None and beat["seq"] == published and not storage.names(f"{self.uri}/{PENDING_PREFIX}"):
            fresh = max(fresh, datetime.fromisoformat(beat["time"]))
        return fresh.astimezone(UTC)


def _name(seq: int) -> str:
    return f"{seq:010d}.json"

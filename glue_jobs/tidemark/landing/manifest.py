"""What a batch holds: the manifest of one cut."""

from __future__ import annotations

import json
import uuid
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from tidemark.base.errors import LandingError
from tidemark.source.cut import Cut, Identity

if TYPE_CHECKING:
    from collections.abc import Iterable

Mode = Literal["full", "delta", "none"]
MANIFEST_FORMAT = 1


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
    widest
        Bytes of the widest row that was landed since the table was last read in full, in columns whose types do not
        bound them; 0 also if that is not known.
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
    widest: int = 0

    @property
    def changed(self) -> bool:
        """Whether the transform has anything to do for this table."""
        return self.mode != "none"


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """The commit of one extract run."""

    batch: int
    execution: str
    lake_id: str
    model: str
    model_digest: str
    landing_format: str
    identity: Identity
    cut: Cut
    tables: dict[str, TableEntry]
    full_compare_at: str
    format: int = MANIFEST_FORMAT

    @property
    def is_full_compare(self) -> bool:
        """Whether every table was read in full."""
        return self.full_compare_at == self.cut.time

    @classmethod
    def following(cls, previous: Manifest | None, *, at_full_compare: bool, **content: Any) -> Manifest:
        """Make the one after ``previous`` (None: the first of a new lake); ``content`` are the other fields.

        Parameters
        ----------
        at_full_compare
            Whether every table was read in full.
        """
        return cls(
            batch=previous.batch + 1 if previous else 1,
            lake_id=previous.lake_id if previous else uuid.uuid4().hex,
            full_compare_at=content["cut"].time if at_full_compare or previous is None else previous.full_compare_at,
            **content,
        )

    @property
    def files(self) -> list[str]:
        """All files that it names."""
        listed = [entry.keys.files for entry in self.tables.values() if entry.keys is not None]
        return [file for files in (*(entry.files for entry in self.tables.values()), *listed) for file in files]

    def widest(self, together: Iterable[Iterable[str]]) -> int:
        """Bytes of the widest row, as far as it is known, of a table, or of one made of several ``together``."""
        widths = {name: entry.widest for name, entry in self.tables.items()}
        made = (sum(widths.get(name, 0) for name in names) for names in together)
        return max([*widths.values(), *made], default=0)

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
            If the object is not a manifest, or one of another format.
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
            visible_xids = cut.pop("visible_xids")
            return cls(
                **{name: value for name, value in data.items() if name not in ("identity", "tables")},
                identity=Identity(**data["identity"]),
                cut=Cut(**cut, visible_xids=None if visible_xids is None else tuple(visible_xids)),
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

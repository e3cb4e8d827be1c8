"""Names and texts of a drafted model: from whatever a database calls things to what the model allows.

The lake's catalogue knows lower-case letters, digits and ``_`` only (Iceberg refuses anything else for Glue), so tables
get such names and keep their own under ``relation``; columns keep their names in the mirrors, and get such names in the
star.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from typing import Final

from tidemark.model.names import SCHEMAS_TAKEN, STARS_OWN, breaks_lines

LONGEST_COMMENT: Final = 250  # the Glue Catalog takes 255 characters for a column
STAR_NAME: Final = 55
_PLAIN: Final = re.compile(r"[a-z_][a-z0-9_]*")


def slug(text: str, fallback: str, limit: int = 63) -> str:
    """Return ``text`` as lower-case letters, digits and ``_``; ``OrderLine`` becomes ``order_line``."""
    if _PLAIN.fullmatch(text) and len(text) <= limit:
        return text
    ascii_only = unicodedata.normalize("NFKD", text.replace("ß", "ss")).encode("ascii", "ignore").decode()
    parted = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", ascii_only).lower()
    return re.sub(r"[^a-z0-9]+", "_", parted).strip("_")[:limit].rstrip("_") or fallback


def unique(name: str, taken: Iterable[str], limit: int = 63) -> str:
    """Return ``name``, numbered if it is taken already."""
    known, result, number = set(taken), name[:limit], 1
    while result in known:
        number += 1
        result = f"{name[: limit - len(str(number)) - 1]}_{number}"
    return result


def star_column(text: str, place: int, taken: Iterable[str]) -> str:
    """Return the name of a star's column after the source's column at ``place`` (from 1)."""
    name = slug(text, f"column_{place}", STAR_NAME).strip("_") or f"column_{place}"
    if not name[0].isalpha():
        name = f"c_{name}"
    if name in STARS_OWN:
        name = f"source_{name}"
    return unique(name, taken, STAR_NAME)


def model_name(text: str) -> str:
    """Return the name of a model after a database's name; never one that a warehouse schema cannot have."""
    name = slug(text, "source", 41).lstrip("_0123456789") or "source"
    return f"my_{name}"[:41] if name.startswith("pg_") or name in SCHEMAS_TAKEN else name


def shown(*parts: str) -> str:
    """Return a name as SQL would write it, on one line whatever it holds."""
    quoted = ".".join(part if _PLAIN.fullmatch(part) else '"' + part.replace('"', '""') + '"' for part in parts)
    return "".join(letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in quoted)


def one_line(text: str) -> str:
    """Return a comment as one line that every catalogue holds."""
    clean = "".join(" " if breaks_lines(letter) else letter for letter in text)
    words = " ".join(clean.split())
    return words if len(words) <= LONGEST_COMMENT else words[: LONGEST_COMMENT - 1].rstrip() + "…"


def in_words(name: str) -> str:
    """Return a name as the plain description of what bears it."""
    parted = re.sub(r"(?<=[a-z0-9])(?=[A-Z][a-z])", " ", one_line(name)).replace("_", " ").strip()
    words = " ".join(parted.split())
    return words[:1].upper() + words[1:]

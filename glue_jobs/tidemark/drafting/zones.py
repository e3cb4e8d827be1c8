"""Which time zone a stranger's ``timestamp`` columns hold, as far as its database says.

A default like ``now() AT TIME ZONE 'UTC'`` says it of its column. Of all others, the best guess is what the server
calls local time when the application's sessions ask it: ``now()`` put into a ``timestamp`` is that. Promises: how a
zone is known stands beside it; a name that is not the same zone everywhere does not count.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Final
from zoneinfo import available_timezones

from tidemark.model.time_zones import is_time_zone
from tidemark.model.types import PgType

if TYPE_CHECKING:
    from tidemark.drafting.catalog import FoundColumn

SETTINGS: Final = """
SELECT s.setdatabase <> 0, s.setrole::regrole::text, substr(c.value, length('timezone=') + 1)
  FROM pg_db_role_setting s CROSS JOIN unnest(s.setconfig) c(value)
 WHERE s.setdatabase IN (0, (SELECT oid FROM pg_database WHERE datname = current_database()))
   AND lower(c.value) LIKE 'timezone=%'
 ORDER BY s.setdatabase DESC, s.setrole
"""
SESSION: Final = "SELECT setting, source FROM pg_settings WHERE name = 'TimeZone'"
_NOBODY: Final = "-"  # how regrole writes no role: the setting is everyone's
_OWN: Final = ("client", "user", "database user", "session", "interactive")
_NOW: Final = r"(?:now\(\)|CURRENT_TIMESTAMP(?:\(\d\))?|(?:clock|statement|transaction)_timestamp\(\))"
_SAYS: Final = re.compile(rf"{_NOW} AT TIME ZONE '([^']+)'|timezone\('([^']+)'(?:::text)?, {_NOW}\)", re.IGNORECASE)
_NO_NAME: Final = "a zone that has no name of IANA's"
_MOST_NAMED: Final = 5
_UTC: Final = frozenset({"Etc/UTC", "Etc/UCT", "Etc/Universal", "Etc/Zulu", "UCT", "Universal", "Zulu"})


@dataclass(frozen=True)
class ServerZone:
    """What ``now()`` is written in where nothing else says it; ``name`` is empty if that is not an IANA zone.

    ``roles`` are those that see another one.
    """

    name: str = ""
    how: str = "the server's TimeZone is not known"
    roles: tuple[str, ...] = ()


def server_zone(settings: Sequence[tuple[bool, str, str]], session: tuple[str, str]) -> ServerZone:
    """Say which zone an application's sessions have, which may not be the asking one's.

    Parameters
    ----------
    settings, session
        What the server answers to :data:`SETTINGS` and :data:`SESSION`.
    """
    roles = tuple(dict.fromkeys(role for _, role, _ in settings if role != _NOBODY))
    setting, source = session
    for of_database, role, zone in settings:
        if role == _NOBODY:
            what = "ALTER DATABASE" if of_database else "ALTER ROLE ALL"
            return _server_zone(zone, f"{what} has set timezone = '{zone}'", roles)
    if source in _OWN:
        return _server_zone(setting, f"this session has timezone = '{setting}', the server's is hidden by it", roles)
    return _server_zone(setting, f"the server has timezone = '{setting}'", roles)


def zone_of_default(expression: str) -> str | None:
    """Return the zone that a column's default says, empty if that is not an IANA zone, or None if it says nothing."""
    said = {canonical(match[1] or match[2]) for match in _SAYS.finditer(expression)}
    return said.pop() if len(said) == 1 else None if not said else ""


def is_wall_clock(column: FoundColumn) -> bool:
    """Whether a column says what a clock showed, but not where it hung."""
    return column.builtin and PgType.parse(column.type).base == "timestamp"


def zone_notes(server: ServerZone, columns: Sequence[tuple[str, FoundColumn]]) -> list[str]:
    """Say which zone the ``timestamp`` columns (with their names) are taken to hold, and how that is known."""
    silent: list[str] = []
    said: dict[str, list[str]] = defaultdict(list)
    for name, column in columns:
        if is_wall_clock(column):
            (said[column.time_zone] if column.says_zone else silent).append(name)
    found = []
    if silent:
        seen = f", but role {', '.join(server.roles)} has another" if server.roles else ""
        found.append(
            f"{_some(silent)}, timestamps without time zone, are taken to hold {server.name or _NO_NAME}: "
            f"{server.how}{seen}. If the application writes another zone's time, fix time_zone in source.yml"
        )
    for zone, names in sorted(said.items()):
        found.append(f"{_some(names)} hold {zone or _NO_NAME}: the default says so (… AT TIME ZONE …)")
    return found


def _some(columns: Sequence[str]) -> str:
    more = f" and {len(columns) - _MOST_NAMED} more" if len(columns) > _MOST_NAMED else ""
    return ", ".join(columns[:_MOST_NAMED]) + more


def canonical(name: str) -> str:
    """Return a zone as IANA spells it (to PostgreSQL, case does not matter), or nothing."""
    found = _spellings().get(name.strip("'\"").casefold(), "")
    return "UTC" if found in _UTC else found


def _server_zone(name: str, how: str, roles: tuple[str, ...]) -> ServerZone:
    return ServerZone(canonical(name), " ".join(how.split()), roles)


@cache
def _spellings() -> dict[str, str]:
    return {name.casefold(): name for name in sorted(available_timezones()) if is_time_zone(name)}

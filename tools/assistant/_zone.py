"""The user's time zone and the times in it."""

from __future__ import annotations

import os
import sys
from datetime import UTC, datetime, tzinfo
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from dateutil.tz import tzlocal

from plait.errors import ToolCallError

_UTC_NAMES = frozenset({"UTC", "Etc/UTC", "Etc/UCT", "Etc/Universal", "Etc/Zulu", "UCT", "Universal", "Zulu"})
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")  # strftime's depend on the locale


def local_zone() -> tzinfo:
    """The zone of this machine: a ``ZoneInfo`` where its name can be found out, else its rules."""
    name = os.environ.get("TZ", "").lstrip(":") or _system_zone_name()
    try:
        return ZoneInfo(name) if name else tzlocal()
    except (ZoneInfoNotFoundError, ValueError, OSError):  # e.g. TZ="EST5EDT,M3.2.0,M11.1.0"
        return tzlocal()


def utc_now() -> datetime:
    """The time now, aware."""
    return datetime.now(UTC)


def local_now() -> datetime:
    """The time now in the zone of this machine, aware."""
    return utc_now().astimezone(local_zone())


def in_zone(time: datetime, tz: tzinfo) -> datetime:
    """The time as a calendar in ``tz`` keeps it: a naive one is taken to be in ``tz`` already.

    A local time that a change of the clocks leaves out is read with the offset before the change, as
    RFC 5545 says. What only an offset can tell, the second pass of a repeated hour or a zone without
    a name, is given in UTC.

    Raises:
        ToolCallError: the year is none that a calendar is for.
    """
    if not 1900 <= time.year <= 2200:
        raise ToolCallError(f"The year of {time:%Y-%m-%d} is out of range; give one from 1900 to 2200")
    utc = (time if time.tzinfo else time.replace(tzinfo=tz)).astimezone(UTC)
    local = utc.astimezone(tz)
    repeated = local.replace(fold=0).utcoffset() != local.utcoffset()
    return utc if repeated or zone_name(tz) is None else local


def zone_name(tz: tzinfo | None) -> str | None:
    """The IANA name of a zone that has one and is not UTC."""
    key = getattr(tz, "key", None)
    return key if isinstance(key, str) and key not in _UTC_NAMES else None


def day(time: datetime) -> str:
    """``"Tue 2026-11-24"``."""
    return f"{_DAYS[time.weekday()]} {time:%Y-%m-%d}"


def day_and_time(time: datetime) -> str:
    """``"Tue 2026-11-24 09:00"``."""
    return f"{day(time)} {time:%H:%M}"


def span(start: datetime, end: datetime) -> str:
    """``"Tue 2026-11-24 09:00-10:00"`` with an en dash; the day of the end where it is another."""
    last = f"{end:%H:%M}" if start.date() == end.date() else f" {day_and_time(end)}"
    gap = " " if last.startswith(" ") else ""
    return f"{day_and_time(start)}{gap}\N{EN DASH}{last}"


def _posix_name() -> str:
    link = Path("/etc/localtime")
    try:
        parts = link.resolve(strict=True).parts if link.is_symlink() else ()
        roots = [n for n, part in enumerate(parts) if part.startswith("zoneinfo")]
        if roots:
            return "/".join(parts[roots[0] + 1 :])
        return Path("/etc/timezone").read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return ""


if sys.platform == "win32":

    def _windows_name() -> str:
        import winreg

        from icalendar.timezone.windows_to_olson import WINDOWS_TO_OLSON

        place = r"SYSTEM\CurrentControlSet\Control\TimeZoneInformation"
        try:
            with winreg.OpenKey(winreg.HKEY_LOCAL_MACHINE, place) as key:
                name = str(winreg.QueryValueEx(key, "TimeZoneKeyName")[0])
        except OSError:
            return ""
        return WINDOWS_TO_OLSON.get(name.split("\0")[0], "")

    _system_zone_name = _windows_name
else:
    _system_zone_name = _posix_name

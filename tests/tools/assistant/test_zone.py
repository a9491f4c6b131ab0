from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from dateutil.tz import tzlocal
from hypothesis import given
from hypothesis import strategies as st

from plait.tools.assistant import local_zone
from plait.tools.assistant._zone import in_zone, zone_name


def test_the_environment_names_the_zone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", ":Asia/Kolkata")
    assert local_zone() == ZoneInfo("Asia/Kolkata")


@pytest.mark.parametrize("rule", ["EST5EDT,M3.2.0,M11.1.0", "/etc/passwd", "no such zone"])
def test_rules_without_a_name_are_the_machines(monkeypatch: pytest.MonkeyPatch, rule: str) -> None:
    monkeypatch.setenv("TZ", rule)
    assert isinstance(local_zone(), tzlocal)


def test_the_machine_has_a_zone() -> None:
    now = datetime.now(UTC)
    assert now.astimezone(local_zone()).utcoffset() == now.astimezone().utcoffset()


def test_utc_has_no_name_that_a_file_must_define() -> None:
    assert zone_name(UTC) is zone_name(ZoneInfo("Etc/UTC")) is zone_name(None) is None
    assert zone_name(ZoneInfo("Asia/Kolkata")) == "Asia/Kolkata"


@given(
    st.datetimes(datetime(1950, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)),
    st.sampled_from(["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata", "UTC"]),
)
def test_an_aware_time_keeps_its_instant(time: datetime, key: str) -> None:
    kept = in_zone(time, ZoneInfo(key))
    assert kept.astimezone(UTC) == time
    # What a file can say, a local time without a fold, means the same instant.
    assert kept.replace(fold=0).astimezone(UTC) - time == timedelta(0)

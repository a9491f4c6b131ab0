from __future__ import annotations

import re
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from plait.errors import ConfigurationError
from plait.tools.assistant import Home, Settings, read_settings

Put = Callable[[str, str | bytes], Path]
ROOT = Path(__file__).parents[3]


def test_without_a_file_everything_is_the_default(home: Home) -> None:
    assert read_settings(home) == Settings()
    assert not home.path.exists()


def test_a_file_sets_what_it_names(home: Home, put: Put) -> None:
    put(
        "assistant.toml",
        b'\xef\xbb\xbftime_zone = "Europe/Lisbon"\n[mail]\nsend = true\naddress = "Me@example.org"\n',
    )
    settings = read_settings(home)
    assert settings.time_zone == "Europe/Lisbon"
    assert (settings.mail.send, settings.mail.address, settings.mail.keep_sent) == (
        True,
        "Me@example.org",
        True,
    )


def test_the_example_of_the_documentation_is_valid_and_names_every_setting(home: Home, put: Put) -> None:
    page = (ROOT / "docs" / "assistant.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"^```toml\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    put("assistant.toml", example)
    read_settings(home)
    given = {f"{prefix}{key}" for prefix, key in keys(tomllib.loads(example))}
    known = {
        f"{prefix}{key}"
        for prefix, key in keys(Settings.model_validate(tomllib.loads(example)).model_dump(by_alias=True))
    }
    assert known - given == {"sms.form"}


def keys(content: dict[str, object], prefix: str = "") -> list[tuple[str, str]]:
    found = []
    for key, value in content.items():
        found.append((prefix, key))
        if isinstance(value, dict) and key not in {"json", "headers"}:
            found += keys(value, f"{prefix}{key}.")
    return found


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("mail = [", "is no TOML: .*; mend it"),
        (b"\xff\xfe", "cannot be read: .*; mend or remove it"),
        ("[mail]\nsned = true", "mail.sned is no setting; known are address, backend"),
        ("[mial]", "mial is no setting; known are calendars, contacts, mail, maps"),
        ("[mail.imap]\nhots = 'a'", "mail.imap.host is missing; add it; mail.imap.hots is no setting"),
        ("[mail.imap]\nhost = ''", "mail.imap.host: string should have at least 1 character, not ''"),
        (
            "[mail.smtp]\nhost='a'\nport = 0",
            "mail.smtp.port: input should be greater than or equal to 1, not 0",
        ),
        (
            "[mail]\nbackend = 'pop3'",
            "mail.backend: input should be 'auto', 'maildir', 'imap' or 'macos', not 'pop3'",
        ),
        ("[mail]\naddress = 'me'", "mail.address: give an email address, not 'me'"),
        ("[mail]\nsend = 'perhaps'", "mail.send: input should be a valid boolean.*, not 'perhaps'"),
        (
            "time_zone = 'Mars/Base'",
            "time_zone: give an IANA time zone, such as 'Europe/Lisbon', not 'Mars/Base'",
        ),
        (
            "[mail.imap]\nhost = 'a'\npassword = 'x'",
            "mail.imap.password does not belong in a file; remove it",
        ),
        (
            "[zoom]\nclient_secret = 'x'",
            "zoom.client_secret does not belong in a file; .* PLAIT_IMAP_PASSWORD",
        ),
        ("maps = 3", "maps: input should be a valid dictionary"),
    ],
)
def test_what_cannot_be_used_is_named_with_file_key_and_fix(
    home: Home, put: Put, text: str | bytes, said: str
) -> None:
    path = put("assistant.toml", text)
    with pytest.raises(ConfigurationError, match=f"^{re.escape(str(path))}:? ?.*{said}") as caught:
        read_settings(home)
    assert "'x'" not in str(caught.value)


def test_the_fields_of_a_gateway_may_have_any_name(home: Home, put: Put) -> None:
    put(
        "assistant.toml",
        "[sms]\nurl='https://x'\n[sms.json]\nto='{to}'\ntext='{message}'\ntoken='{password}'\n",
    )
    assert read_settings(home).sms is not None


def test_a_folder_in_the_place_of_the_file_is_told(home: Home) -> None:
    (home.path / "assistant.toml").mkdir(parents=True)
    with pytest.raises(ConfigurationError, match=r"assistant\.toml cannot be read"):
        read_settings(home)

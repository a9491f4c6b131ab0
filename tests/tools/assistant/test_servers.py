from __future__ import annotations

import sys
from types import ModuleType

import pytest

from plait.errors import ToolCallError
from plait.tools.assistant import system_secrets


class KeyringError(Exception):
    pass


class NoKeyringError(KeyringError):
    pass


@pytest.fixture
def keyring(monkeypatch: pytest.MonkeyPatch) -> dict[tuple[str, str], str | Exception]:
    """A double of the package keyring, whose real one would ask the desktop."""
    kept: dict[tuple[str, str], str | Exception] = {}

    def get_password(service: str, user: str) -> str | None:
        found = kept.get((service, user))
        if isinstance(found, Exception):
            raise found
        return found

    package, errors = ModuleType("keyring"), ModuleType("keyring.errors")
    package.get_password = get_password  # type: ignore[attr-defined]
    errors.KeyringError, errors.NoKeyringError = KeyringError, NoKeyringError  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "keyring", package)
    monkeypatch.setitem(sys.modules, "keyring.errors", errors)
    monkeypatch.delenv("PLAIT_IMAP_PASSWORD", raising=False)
    return kept


def test_the_environment_goes_before_the_keyring(keyring: object, monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(keyring, dict)
    assert system_secrets("imap", "me") is None
    keyring["plait imap", "me"] = "kept"
    assert system_secrets("imap", "me") == "kept"
    monkeypatch.setenv("PLAIT_IMAP_PASSWORD", "given")
    assert system_secrets("imap", "me") == "given"


def test_a_machine_without_a_keyring_has_no_password(
    keyring: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert isinstance(keyring, dict)
    keyring["plait imap", "me"] = NoKeyringError("no backend")
    assert system_secrets("imap", "me") is None
    monkeypatch.setitem(sys.modules, "keyring", None)
    assert system_secrets("imap", "me") is None


def test_a_keyring_that_is_locked_is_told(keyring: object) -> None:
    assert isinstance(keyring, dict)
    keyring["plait imap", "me"] = KeyringError("it is locked")
    with pytest.raises(ToolCallError, match="The keyring cannot be read: it is locked"):
        system_secrets("imap", "me")

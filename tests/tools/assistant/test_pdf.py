from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pypdf import PdfReader, PdfWriter
from pypdf.errors import DependencyError

from plait.errors import ToolCallError
from plait.tools.assistant import Home, pdf_text

Put = Callable[[str, str | bytes], Path]


class MakePdf(Protocol):
    def __call__(self, pages: Sequence[str], trailer: bytes = b"") -> bytes: ...


def encrypted(path: Path, user_password: str) -> None:
    writer = PdfWriter(clone_from=PdfReader(path))
    writer.encrypt(user_password, "owner", algorithm="RC4-128")
    writer.write(path)


def test_the_text_of_all_pages_is_given(home: Home, put: Put, make_pdf: MakePdf) -> None:
    path = put("documents/a.pdf", make_pdf(["First page\nsecond (line)", "", "Last page"]))
    assert pdf_text(path, home) == "First page\nsecond (line)\n\nLast page"
    assert pdf_text("documents/a.pdf", home) == pdf_text(str(path), home)


def test_a_file_with_an_empty_password_is_read(home: Home, put: Put, make_pdf: MakePdf) -> None:
    path = put("a.pdf", make_pdf(["Hello"]))
    encrypted(path, "")
    assert pdf_text(path, home) == "Hello"


def test_a_file_with_a_password_is_refused(home: Home, put: Put, make_pdf: MakePdf) -> None:
    path = put("a.pdf", make_pdf(["Hello"]))
    encrypted(path, "secret")
    with pytest.raises(ToolCallError, match=r"a\.pdf is protected by a password; save a copy without one"):
        pdf_text(path, home)


@pytest.mark.parametrize(
    ("handler", "reason"),
    [
        (b"/Filter /Other /V 9 /R 9", "only Standard PDF encryption handler is available"),
        (b"/Filter /Standard /V 5 /R 6 /Length 256", "cryptography"),
    ],
)
def test_an_encryption_that_is_not_supported_is_told(
    home: Home,
    put: Put,
    make_pdf: MakePdf,
    monkeypatch: pytest.MonkeyPatch,
    handler: bytes,
    reason: str,
) -> None:
    def lacking(*_: object) -> bytes:
        raise DependencyError("cryptography is needed for AES")

    for name in ("aes_cbc_decrypt", "aes_cbc_encrypt", "aes_ecb_decrypt", "aes_ecb_encrypt"):
        monkeypatch.setattr(f"pypdf._encryption.{name}", lacking)
    keys = b"/O (%s) /U (%s) /OE (%s) /UE (%s)" % (b"o" * 48, b"u" * 48, b"o" * 32, b"u" * 32)
    crypt = b"/Encrypt << %s %s /P 0 >> /ID [(a) (a)]" % (handler, keys)
    put("a.pdf", make_pdf(["Hello"], crypt))
    with pytest.raises(ToolCallError, match=rf"a\.pdf cannot be read here: .*{reason}"):
        pdf_text("a.pdf", home)


def test_a_scan_is_told_by_its_lack_of_text(home: Home, put: Put, make_pdf: MakePdf) -> None:
    put("a.pdf", make_pdf(["", ""]))
    with pytest.raises(ToolCallError, match=r"a\.pdf has no text that could be extracted; it may be a scan"):
        pdf_text("a.pdf", home)


@pytest.mark.parametrize("content", [b"", b"plain text", b"\x89PNG" + bytes(2000) + b"%PDF-1.4"])
def test_another_kind_of_file_is_refused(home: Home, put: Put, content: bytes) -> None:
    put("a.pdf", content)
    with pytest.raises(ToolCallError, match=r"a\.pdf is not a PDF file"):
        pdf_text("a.pdf", home)


def test_a_missing_file_or_a_folder_is_told(home: Home, put: Put) -> None:
    put("b/a.pdf", b"")
    for path in ("a.pdf", "b", ""):
        with pytest.raises(ToolCallError, match="There is no file"):
            pdf_text(path, home)


def test_a_file_outside_the_home_is_refused(home: Home, put: Put, make_pdf: MakePdf, tmp_path: Path) -> None:
    outside = tmp_path / "a.pdf"
    outside.write_bytes(make_pdf(["secret"]))
    paths: list[Path | str] = [outside, "../a.pdf"]
    if os.name != "nt":
        put("x", b"")
        (home.path / "link.pdf").symlink_to(outside)
        paths.append("link.pdf")
    for path in paths:
        with pytest.raises(ToolCallError, match="outside the home"):
            pdf_text(path, home)


@given(data=st.data())
@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    deadline=None,
    max_examples=80,
)
def test_a_damaged_file_gives_text_or_a_clear_error(
    home: Home, put: Put, make_pdf: MakePdf, data: st.DataObject
) -> None:
    raw = bytearray(make_pdf(["Hello"]))
    for _ in range(data.draw(st.integers(1, 5))):
        raw[data.draw(st.integers(9, len(raw) - 1))] = data.draw(st.integers(0, 255))
    put("a.pdf", bytes(raw[: data.draw(st.integers(9, len(raw)))]))
    with contextlib.suppress(ToolCallError):
        pdf_text("a.pdf", home)

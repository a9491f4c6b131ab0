from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from plait.tools.assistant import Home

BERLIN = ZoneInfo("Europe/Berlin")


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home")


@pytest.fixture
def berlin() -> ZoneInfo:
    return BERLIN


@pytest.fixture
def noon() -> Callable[[], datetime]:
    """A clock that stands still."""
    return lambda: datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


@pytest.fixture
def put(home: Home) -> Callable[[str, str | bytes], Path]:
    """Writes a file of the home, newlines as given."""

    def write(name: str, content: str | bytes) -> Path:
        path = home.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return write


@pytest.fixture
def make_pdf() -> Callable[[Sequence[str]], bytes]:
    """Builds a PDF with one page for each text (of Latin letters); an empty text gives an empty page."""

    def build(pages: Sequence[str], trailer: bytes = b"") -> bytes:
        kids = b" ".join(b"%d 0 R" % (4 + 2 * n) for n in range(len(pages)))
        objects = [
            b"<< /Type /Catalog /Pages 2 0 R >>",
            b"<< /Type /Pages /Kids [%s] /Count %d >>" % (kids, len(pages)),
            b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
        ]
        for n, text in enumerate(pages):
            lines = b" T* ".join(
                b"(%s) Tj" % line.replace("(", r"\(").replace(")", r"\)").encode()
                for line in text.splitlines()
            )
            content = b"BT /F1 12 Tf 14 TL 72 720 Td %s ET" % lines
            objects += [
                b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents %d 0 R"
                b" /Resources << /Font << /F1 3 0 R >> >> >>" % (5 + 2 * n),
                b"<< /Length %d >>\nstream\n%s\nendstream" % (len(content), content),
            ]
        out, offsets = bytearray(b"%PDF-1.4\n"), []
        for number, body in enumerate(objects, start=1):
            offsets.append(len(out))
            out += b"%d 0 obj\n%s\nendobj\n" % (number, body)
        start = len(out)
        out += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
        out += b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
        out += b"trailer\n<< /Size %d /Root 1 0 R %s >>\nstartxref\n%d\n%%%%EOF\n" % (
            len(objects) + 1,
            trailer,
            start,
        )
        return bytes(out)

    return build

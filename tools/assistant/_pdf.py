"""The text of PDF files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from plait.errors import ToolCallError
from plait.tools.assistant._home import Home, needs

if TYPE_CHECKING:
    from pypdf import PdfReader

_HEADER_BYTES = 1024  # where readers look for "%PDF-"
# What pypdf lets through on damaged files, beside its own errors.
_DAMAGE = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    RecursionError,
    TypeError,
    ValueError,
)


def pdf_text(path: Path | str, home: Home) -> str:
    """The text of a PDF file, its pages separated by blank lines.

    Args:
        path: absolute, or relative to the home; it must lie inside the home.
        home: the home folder.

    Raises:
        ToolCallError: the file is outside the home, missing, no PDF, damaged, encrypted (with another
            password than the empty one), or without text, as scans are.
    """
    file = home.resolve(path)
    shown = home.shown(file)
    if not file.is_file():
        raise ToolCallError(f"There is no file {shown}")
    with needs("pypdf"):
        from pypdf import PdfReader
        from pypdf.errors import DependencyError, FileNotDecryptedError, PyPdfError
    try:
        with file.open("rb") as stream:
            if b"%PDF-" not in stream.read(_HEADER_BYTES):
                raise ToolCallError(f"{shown} is not a PDF file")
            text = _text(PdfReader(stream))
    except OSError as error:
        raise ToolCallError(f"Cannot read {shown}: {error.strerror or error}") from error
    except FileNotDecryptedError as error:
        raise ToolCallError(f"{shown} is protected by a password; save a copy without one") from error
    except (DependencyError, NotImplementedError) as error:  # kinds of encryption, mostly
        raise ToolCallError(f"{shown} cannot be read here: {error}") from error
    except (PyPdfError, *_DAMAGE) as error:
        raise ToolCallError(f"{shown} is a damaged PDF file: {error}") from error
    if not text:
        raise ToolCallError(f"{shown} has no text that could be extracted; it may be a scan")
    return text


def _text(reader: PdfReader) -> str:
    pages = (page.extract_text().strip() for page in reader.pages)
    text = "\n\n".join(page for page in pages if page)
    return text.encode("utf-8", "replace").decode()  # a broken font table gives lone surrogates

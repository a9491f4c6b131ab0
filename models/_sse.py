"""Server-sent events: bytes in, the data of each event out."""

from __future__ import annotations


class SSEDecoder:
    """Splits a stream of bytes into the data of its events, wherever the bytes are cut.

    Follows the WHATWG specification, with one leniency: an event that the end of the stream cuts off
    before its blank line is still given out, by :meth:`close`. Only ``data`` fields matter here.
    """

    def __init__(self) -> None:
        self._rest = b""
        self._data: list[str] = []

    def feed(self, received: bytes) -> list[str]:
        """The data of the events that ``received`` completes."""
        lines = (self._rest + received).splitlines(keepends=True)
        # A carriage return at the very end may be the first half of a line's end.
        self._rest = lines.pop() if lines and not lines[-1].endswith(b"\n") else b""
        return self._take(lines)

    def close(self) -> list[str]:
        """The data of what was left unfinished when the stream ended."""
        rest, self._rest = self._rest, b""
        return self._take([rest, b""] if rest else [b""])

    def _take(self, lines: list[bytes]) -> list[str]:
        return [event for line in lines if (event := self._take_line(line.rstrip(b"\r\n"))) is not None]

    def _take_line(self, line: bytes) -> str | None:
        """Take in one line; return an event's data if the line ends one."""
        if not line:
            event, self._data = "\n".join(self._data) if self._data else None, []
            return event
        name, _, value = line.removeprefix(b"\xef\xbb\xbf").partition(b":")
        if name == b"data":
            self._data.append(value.removeprefix(b" ").decode("utf-8", errors="replace"))
        return None

from hypothesis import example, given
from hypothesis import strategies as st

from plait.models._sse import SSEDecoder

STREAM = (
    "\ufeff: a comment\n"
    'data: {"text": "Grüße, 世界 \U0001f600"}\n\n'
    "data:no space\r\n\r\n"
    "event: ping\nid: 7\n\n"
    "data: two\r\ndata: lines\r\n\n"
    "data\n\n"
    ": keep alive\n\n"
    "data: a: b\r\r"
    "data: [DONE]"
).encode()
EVENTS = ['{"text": "Grüße, 世界 \U0001f600"}', "no space", "two\nlines", "", "a: b", "[DONE]"]


@given(cuts=st.lists(st.integers(0, len(STREAM)), max_size=30).map(sorted))
@example(cuts=list(range(len(STREAM) + 1)))
def test_events_are_the_same_wherever_the_bytes_are_cut(cuts: list[int]) -> None:
    decoder = SSEDecoder()
    pieces = [STREAM[start:end] for start, end in zip([0, *cuts], [*cuts, len(STREAM)], strict=True)]
    events = [event for piece in pieces for event in decoder.feed(piece)]
    assert events + decoder.close() == EVENTS


def test_an_event_is_given_out_with_its_blank_line_and_not_later() -> None:
    decoder = SSEDecoder()
    assert decoder.feed(b"data: one\n") == []
    assert decoder.feed(b"\n") == ["one"]
    assert decoder.close() == []


def test_bytes_that_are_no_utf_8_are_replaced() -> None:
    assert SSEDecoder().feed(b"data: a\xffb\n\n") == ["a\ufffdb"]

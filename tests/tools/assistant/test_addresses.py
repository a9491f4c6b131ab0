from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plait.errors import ToolCallError
from plait.tools.assistant import Address
from plait.tools.assistant._addresses import read_address, read_addresses


@pytest.mark.parametrize(
    ("written", "address"),
    [
        ("sid@example.com", Address("sid@example.com")),
        (" mailto:sid@example.com ", Address("sid@example.com")),
        ("Sid Hsu <sid@example.com>", Address("sid@example.com", "Sid Hsu")),
        ('"Hsu, Sid" <s.hsu+x@mail.example.com>', Address("s.hsu+x@mail.example.com", "Hsu, Sid")),
        ("<sid@localhost>", Address("sid@localhost")),
        ("zoe@bücher.example", Address("zoe@xn--bcher-kva.example")),
    ],
)
def test_addresses_are_read_as_people_write_them(written: str, address: Address) -> None:
    assert read_address(written, "recipient") == address


@pytest.mark.parametrize(
    "written",
    [
        *("Sid", "", "@", "a@", "@b", "a@b@c", "a b@example.com", ".a@example.com", "a..b@example.com"),
        *("a@-b.example", "a@b..example", "a@b.example.", "+1-555-0101", "<a@b", "a@b>", "A <a@b> x"),
        *("a@b\r\nBcc: e@example.com", "a@b\n", "A\n <a@b>", "A\x00 <a@b>", "a,b@c", "zoë@example.com"),
        *(f"{'a' * 65}@example.com", f"a@{'b' * 64}.example", f"a@{'b.' * 130}c", "a@\u2028b", "$1"),
    ],
)
def test_what_is_no_address_is_refused_with_the_fix(written: str) -> None:
    if written == "a@b\n":  # white space around an address is no harm
        assert read_address(written, "recipient").spec == "a@b"
        return
    with pytest.raises(ToolCallError, match="is no email address; look the address up first"):
        read_address(written, "recipient")


def test_one_text_may_list_several_and_each_counts_once() -> None:
    read = read_addresses(["a@x.example, b@x.example;c@x.example", "Ann <A@x.example>"], "recipient")
    assert [address.spec for address in read] == ["a@x.example", "b@x.example", "c@x.example"]


@given(st.text(max_size=40), st.text(max_size=40))
def test_whatever_is_accepted_is_plain(name: str, spec: str) -> None:
    for written in (spec, f"{name} <{spec}>", f"{name}@example.com"):
        try:
            address = read_address(written, "recipient")
        except ToolCallError:
            continue
        assert address.spec.isascii()
        assert address.spec.isprintable()
        assert not set(address.name) & set('\r\n\0<>"')

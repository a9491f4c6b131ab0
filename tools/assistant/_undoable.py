"""Answers of tools that carry how to undo what was done."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class UndoableText(str):
    """A text with an account of how to undo what it tells of.

    Args:
        text: the text.
        undo: plain JSON with a ``kind``, which names an undoer, and what that needs; no secrets.
    """

    __slots__ = ("undo",)

    undo: Mapping[str, Any]

    def __new__(cls, text: str, undo: Mapping[str, Any]) -> UndoableText:
        made = super().__new__(cls, text)
        made.undo = undo
        return made

    def __getnewargs__(self) -> tuple[str, Mapping[str, Any]]:  # type: ignore[override]
        """For copies, and executors in other processes."""
        return str(self), self.undo


def undoable(text: str, account: Mapping[str, Any] | None) -> str:
    """``text`` with the account, if there is one."""
    return text if account is None else UndoableText(text, account)


def account_of(text: str) -> Mapping[str, Any] | None:
    """The account that a text carries, if it does."""
    return text.undo if isinstance(text, UndoableText) else None

"""How many threads numpy's linear algebra uses.

What is computed here for one request is so small that several threads gain little, and lose much where others
want the cores, such as a model that decodes: each waits, spinning, for one that is not running.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any


@contextmanager
def one_thread() -> Iterator[None]:
    """Have numpy compute in one thread, where ``threadpoolctl`` is installed.

    The number holds for the whole process. Whoever lowers it puts it back, in the same thread, so that it
    never stays low; what others compute at the same time may be done in one thread, or not.
    """
    lowered = [(library, before) for library in _libraries() if (before := library.num_threads or 1) > 1]
    for library, _ in lowered:
        library.set_num_threads(1)
    try:
        yield
    finally:
        for library, before in lowered:
            library.set_num_threads(before)


@cache
def _libraries() -> list[Any]:
    """The libraries of linear algebra; none without ``threadpoolctl``, which comes with the extra."""
    try:
        from threadpoolctl import ThreadpoolController
    except ImportError:
        return []
    return list(ThreadpoolController().select(user_api="blas").lib_controllers)

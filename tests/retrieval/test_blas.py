"""The limit on numpy's threads holds for a while, and never stays."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator

import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from plait.retrieval._blas import _libraries, one_thread


@pytest.fixture(autouse=True)
def two_threads() -> Iterator[None]:
    with threadpool_limits(2, user_api="blas"):
        yield


def n_threads() -> set[int]:
    return {info["num_threads"] for info in threadpool_info() if info["user_api"] == "blas"}


def test_the_limit_holds_within_and_not_after() -> None:
    with one_thread():
        assert n_threads() == {1}
        with one_thread():
            assert n_threads() == {1}
        assert n_threads() == {1}
    assert n_threads() == {2}


def test_the_limit_is_lifted_after_a_failure() -> None:
    with pytest.raises(ZeroDivisionError), one_thread():
        _ = 1 / 0
    assert n_threads() == {2}


def test_the_limit_does_not_stay_when_threads_overlap() -> None:
    inside, leave = threading.Event(), threading.Event()

    def other() -> None:
        with one_thread():
            inside.set()
            assert leave.wait(30)

    thread = threading.Thread(target=other)
    with one_thread():
        thread.start()
        assert inside.wait(30)
    leave.set()
    thread.join(30)
    assert n_threads() == {2}


def test_without_threadpoolctl_there_is_no_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "threadpoolctl", None)
    _libraries.cache_clear()
    with one_thread():
        assert _libraries() == []
    _libraries.cache_clear()

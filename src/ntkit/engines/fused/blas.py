"""Products of matrices on one thread each, beside those of the engine: threads of BLAS that wait keep a core busy."""

import contextlib
import functools
import threading
from collections.abc import Iterator
from typing import Any

import threadpoolctl

_lock = threading.Lock()
_inside: list[Any] = []  # the limits that hold, one for all that are inside


@functools.cache
def _libraries() -> threadpoolctl.ThreadpoolController:
    """Those of this process: looking for them takes some milliseconds."""
    return threadpoolctl.ThreadpoolController().select(user_api="blas")


@contextlib.contextmanager
def one_blas_thread() -> Iterator[None]:
    """Limit BLAS to the thread that calls it, for all threads of the process, until the last one leaves."""
    with _lock:
        if not _inside:
            _inside.append(_libraries().limit(limits=1))
        _inside.append(None)
    try:
        yield
    finally:
        with _lock:
            _inside.pop()
            if len(_inside) == 1:
                _inside.pop().restore_original_limits()

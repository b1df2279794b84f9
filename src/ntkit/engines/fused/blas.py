"""Products of matrices on one thread each, beside those of the engine: threads of BLAS that wait keep a core busy."""

import contextlib
import functools
import threading
from collections.abc import Iterator
from typing import Any

import threadpoolctl

_lock = threading.Lock()
_inside: list[int] = []  # for everyone inside, how many threads NumPy's library had before the first came


@functools.cache
def _library() -> Any:
    """NumPy's, if it is one whose threads can be set; looking for it takes some milliseconds."""
    found = threadpoolctl.ThreadpoolController().select(user_api="blas").lib_controllers
    own = [library for library in found if "numpy" in library.filepath]
    return (own or found or [None])[0]


def _set(threads: int) -> None:
    library = _library()
    # Newer versions of threadpoolctl let one thread alone set the number until it gives that up.
    release = getattr(library, "clear_controlling_thread", None)
    if release is not None:
        release(force=True)
    library.set_num_threads(threads)
    if release is not None:
        release(force=True)


@contextlib.contextmanager
def one_blas_thread() -> Iterator[None]:
    """Limit BLAS to the thread that calls it, for all threads of the process, until the last one leaves."""
    if _library() is None:
        yield
        return
    with _lock:
        _inside.append(_inside[0] if _inside else _library().num_threads)
        _set(1)
    try:
        yield
    finally:
        with _lock:
            before = _inside.pop()
            if not _inside:
                _set(before)

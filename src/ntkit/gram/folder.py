"""A kernel matrix in a folder: NumPy files that fill tile by tile, and a record of the tiles that are finished.

`state.json` says of which kernel and data the matrix is and how it is cut; `tiles.log` has a line for each finished tile with
a checksum of each matrix. What does not fit together is refused, and nothing is overwritten.
"""

import json
import os
import pathlib
import threading
import zlib
from typing import Any

import numpy as np

from ntkit.errors import InputError
from ntkit.gram.plan import Plan, Tile
from ntkit.gram.result import Arrays, write
from ntkit.gram.room import check_disk
from ntkit.pair import KernelPair

_FORMAT = 1
_STATE, _LOG, _LOCK = "state.json", "tiles.log", "lock"


class Folder:
    """A matrix in a folder, open for tiles.

    Attributes:
        arrays: The matrices, mapped from their files.
        finished: Numbers of the tiles that are in them.
    """

    def __init__(self, path: pathlib.Path, state: dict[str, Any]):
        """Make a folder, or open one whose state is the same.

        Args:
            path: The folder; it need not exist.
            state: What `describe` says of the matrix.

        Raises:
            InputError: The folder holds something else, is damaged, or in use; the disk is too small.
        """
        self.path = path
        if not (path / _STATE).exists():
            _create(path, state)
        self._lock = _Lock(path)
        try:
            found = read_state(path)
            _check_same(path, found, state)
            self.plan = plan_of(found)
            self.arrays: Arrays = {name: _open(path, name, found, "r+") for name in found["kernels"]}
            self.finished = read_log(path, found, self.arrays)
        except BaseException:
            self._lock.release()
            raise
        self._log = (path / _LOG).open("a")
        self._writing = threading.Lock()

    def put(self, tile: Tile, values: Arrays) -> None:
        """Write a tile, and then that it is finished."""
        checks = []
        for name, array in self.arrays.items():
            part = np.ascontiguousarray(values[name])
            write(array, tile, part, self.plan.symmetric)
            checks.append(zlib.crc32(part.data))
        with self._writing:
            self._log.write(" ".join(str(n) for n in (tile.number, *checks)) + "\n")
            self._log.flush()
            self.finished.add(tile.number)

    def close(self) -> None:
        """Hand all to the disk."""
        for array in self.arrays.values():
            array.flush()  # type: ignore[attr-defined]
        os.fsync(self._log.fileno())
        self._log.close()
        self._lock.release()


def describe(plan: Plan, kernels: list[str], dtype: np.dtype, kernel: str, data: str) -> dict[str, Any]:
    """The state of a matrix; `kernel` and `data` are fingerprints."""
    shape = {"rows": plan.rows, "columns": plan.columns, "side": plan.side, "symmetric": plan.symmetric}
    what = {"kernels": kernels, "dtype": dtype.name, "kernel": kernel, "data": data}
    return {"format": _FORMAT, **shape, **what}


def plan_of(state: dict[str, Any]) -> Plan:
    """How the matrix of a state is cut."""
    return Plan(state["rows"], state["columns"], state["side"], state["symmetric"])


def read_state(path: pathlib.Path) -> dict[str, Any]:
    """The state of a folder.

    Raises:
        InputError: There is none, or it is damaged.
    """
    try:
        state = json.loads((path / _STATE).read_text())
        known = describe(
            plan_of(state), state["kernels"], np.dtype(state["dtype"]), state["kernel"], state["data"]
        )
    except FileNotFoundError:
        raise InputError(f"{path} holds no kernel matrix: it has no {_STATE}") from None
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path / _STATE} is damaged ({error!r}); nothing was changed") from None
    if known != state or not set(state["kernels"]) <= {"nngp", "ntk"}:
        raise InputError(f"{path / _STATE} is damaged, or of another version of ntkit; nothing was changed")
    return state


def read_log(path: pathlib.Path, state: dict[str, Any], arrays: Arrays) -> set[int]:
    """Which tiles are finished, after a look at their checksums.

    Raises:
        InputError: The log or a matrix is damaged.
    """
    tiles = plan_of(state).tiles()
    finished = set()
    text = (path / _LOG).read_text() if (path / _LOG).exists() else ""
    # A line without its end is that of a process that was killed while it wrote it.
    for line in text.split("\n")[:-1]:
        try:
            number, *checks = (int(word) for word in line.split())
            tile = tiles[number]
            right = [
                zlib.crc32(np.ascontiguousarray(a[tile.rows, tile.columns]).data) for a in arrays.values()
            ]
        except (ValueError, IndexError):
            raise InputError(f"{path / _LOG} is damaged at {line[:40]!r}; nothing was changed") from None
        if checks != right:
            raise InputError(
                f"{path}: rows {tile.rows.start} to {tile.rows.stop} by columns {tile.columns.start} to "
                f"{tile.columns.stop} are not what was written there; nothing was changed. Remedy: another folder, or delete "
                "this one"
            )
        finished.add(number)
    if text and not text.endswith("\n"):
        _drop_last_line(path / _LOG, text)
    return finished


def load(out: str | os.PathLike, *, partial: bool = False) -> KernelPair:
    """The matrices of a folder that `compute` has filled, mapped from their files.

    Args:
        out: The folder.
        partial: Also of an unfinished folder: not a number where tiles are missing.

    Returns:
        A pair with `.nngp` and `.ntk`, None where one was not asked for; read-only unless `partial`.

    Raises:
        InputError: The folder holds no such matrices, they are damaged, or they are not finished.

    Example:
        >>> import tempfile, numpy as np, ntkit as nk
        >>> with tempfile.TemporaryDirectory() as place:
        ...     _ = nk.gram.compute(nk.Dense(1), np.eye(3), out=place, kernels=("ntk",))
        ...     nk.gram.load(place).ntk.shape
        (3, 3)
    """
    path = pathlib.Path(out)
    state = read_state(path)
    arrays = {name: _open(path, name, state, "c" if partial else "r") for name in state["kernels"]}
    finished, tiles = read_log(path, state, arrays), plan_of(state).tiles()
    if len(finished) < len(tiles) and not partial:
        raise InputError(
            f"{path} has {len(finished)} of {len(tiles)} tiles; call ntkit.gram.compute again to finish it, or load it with "
            "partial=True"
        )
    for tile in tiles:
        if tile.number not in finished:
            for array in arrays.values():
                shape = tile.rows.stop - tile.rows.start, tile.columns.stop - tile.columns.start
                write(array, tile, np.full(shape, np.nan, array.dtype), state["symmetric"])
    return KernelPair(arrays.get("nngp"), arrays.get("ntk"))


def _create(path: pathlib.Path, state: dict[str, Any]) -> None:
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise InputError(
            f"{path} exists and holds no kernel matrix of ntkit's; give an empty or a new folder"
        )
    dtype, shape = np.dtype(state["dtype"]), (state["rows"], state["columns"])
    size = dtype.itemsize * shape[0] * shape[1]
    check_disk(path, size * len(state["kernels"]))
    path.mkdir(parents=True, exist_ok=True)
    for name in state["kernels"]:
        file = path / f"{name}.npy"
        np.lib.format.open_memmap(file, "w+", dtype, shape).flush()
        if hasattr(os, "posix_fallocate"):
            # Room that is there now: a disk that fills up later would kill the process.
            with file.open("r+b") as handle:
                os.posix_fallocate(handle.fileno(), 0, file.stat().st_size)
    whole = path / (_STATE + ".new")
    whole.write_text(json.dumps(state, indent=2) + "\n")
    whole.replace(path / _STATE)


def _check_same(path: pathlib.Path, found: dict[str, Any], asked: dict[str, Any]) -> None:
    words = {"kernel": "another kernel", "data": "other data"}
    for key, value in asked.items():
        if key != "side" and found[key] != value:
            what = words.get(key, f"{key} {found[key]!r}, where {value!r} is asked for")
            raise InputError(f"{path} holds a matrix of {what}; nothing was changed. Remedy: another folder")


def _open(path: pathlib.Path, name: str, state: dict[str, Any], mode: Any) -> np.ndarray:
    file = path / f"{name}.npy"
    try:
        # To write, NumPy would lengthen a file that is too short; to read, it says so.
        np.lib.format.open_memmap(file, "r")
        array = np.lib.format.open_memmap(file, mode)
    except (OSError, ValueError) as error:
        raise InputError(f"{file} is damaged ({error}); nothing was changed") from None
    if array.shape != (state["rows"], state["columns"]) or array.dtype != state["dtype"]:
        raise InputError(f"{file} is damaged: it holds {array.shape} of {array.dtype}; nothing was changed")
    return array


def _drop_last_line(log: pathlib.Path, text: str) -> None:
    with log.open("r+") as handle:
        handle.truncate(len(text[: text.rfind("\n") + 1].encode()))


class _Lock:
    """One process at a time; the system gives it back when the process ends, however it ends."""

    def __init__(self, path: pathlib.Path):
        self._file = (path / _LOCK).open("a")
        try:
            import fcntl

            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except ImportError:  # a system without such locks
            pass
        except OSError:
            self._file.close()
            raise InputError(f"{path} is being filled by another process") from None

    def release(self) -> None:
        """Let others in."""
        self._file.close()

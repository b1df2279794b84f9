"""An ``.npz`` file of examples: ``x, y``, or ``x_train, y_train, x_test, y_test``, or graphs."""

import zipfile
from pathlib import Path

import numpy as np

from ntkit.datasets.dataset import LARGEST, Dataset, Table
from ntkit.datasets.graph_file import holds_graphs, load_graphs
from ntkit.datasets.target import code_target
from ntkit.errors import InputError


def open_npz(path: Path) -> dict[str, np.ndarray]:
    """All arrays of an ``.npz`` file.

    Raises:
        InputError: the file cannot be read, or holds Python objects.
    """
    try:
        file = np.load(path, allow_pickle=False)
        if not isinstance(file, np.ndarray):
            with file:
                return {key: file[key] for key in file.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(f"cannot read {path} as an .npz file: {_reason(error)}") from error
    raise InputError(f"{path} holds one bare array: save it with np.savez({path.name!r}, x=…, y=…)")


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    if "allow_pickle" in str(error) or "pickled" in str(error):
        return "it holds Python objects, or is no .npz file; save plain arrays with np.savez"
    return str(error).splitlines()[0] if str(error) else "it is damaged"


def load_npz(path: Path, task: str | None) -> Dataset:
    """The data set of an ``.npz`` file; the split into x_train and x_test is kept where the file has one.

    Raises:
        InputError: arrays are missing, do not fit together, are empty or not finite.
    """
    arrays = open_npz(path)
    if holds_graphs(arrays):
        return load_graphs(arrays, path, task)
    if {"x_train", "y_train", "x_test", "y_test"} <= set(arrays):
        x_train, x_test = arrays["x_train"], arrays["x_test"]
        if x_train.shape[1:] != x_test.shape[1:]:
            raise InputError(
                f"{path}: x_train has examples of shape {x_train.shape[1:]} and x_test of {x_test.shape[1:]}: "
                "they must be the same"
            )
        pairs = [("x_train", "y_train"), ("x_test", "y_test")]
        given_test = np.repeat([False, True], [len(x_train), len(x_test)])
    elif {"x", "y"} <= set(arrays):
        pairs, given_test = [("x", "y")], None
    else:
        found = ", ".join(sorted(arrays)) or "nothing"
        raise InputError(
            f"{path} needs arrays x and y, or x_train, y_train, x_test and y_test; it holds {found}"
        )
    x = np.concatenate([checked_examples(arrays[a], f"{path}: {a}") for a, _ in pairs])
    y = np.concatenate([_targets(arrays, a, b, path) for a, b in pairs])
    task, y, class_names = code_target(y, "y", task)
    names = arrays.get("class_names")
    if (
        task == "classification"
        and names is not None
        and names.ndim == 1
        and _all_indexes(class_names, len(names))
    ):
        class_names = tuple(str(names[int(c)]) for c in class_names)
    return Dataset(path.stem, task, _as_table(x), y, "y", class_names, given_test)


def _as_table(x: np.ndarray) -> Table | np.ndarray:
    if x.ndim > 2:
        return x
    names = tuple(f"x[{i}]" for i in range(x.shape[1]))
    return Table(x, names, np.empty((len(x), 0), dtype=object), ())


def checked_examples(x: np.ndarray, name: str) -> np.ndarray:
    """``x`` as floats of rank 2 or more, not empty, finite and not too large to be squared.

    Args:
        x: (rows,), (rows, columns) or (rows, …positions, channels), any real numeric type.
        name: what messages call it.

    Raises:
        InputError: it is not numeric, has no rows or no axis, or holds NaN, infinity or a number beyond 1e140
            (the message says where).
    """
    if not (np.issubdtype(x.dtype, np.integer) or np.issubdtype(x.dtype, np.floating) or x.dtype == bool):
        raise InputError(f"{name} has type {x.dtype}: real numbers are needed")
    if x.ndim == 0 or x.ndim > 5:
        raise InputError(
            f"{name} has shape {x.shape}: it needs (rows, columns) for a table, or (rows, height, width, channels) "
            "for images"
        )
    if x.size == 0:
        raise InputError(f"{name} has shape {x.shape}: it is empty")
    x = x.astype(x.dtype if x.dtype in (np.float32, np.float64) else np.float64)
    limit = min(LARGEST, float(np.finfo(x.dtype).max))
    for wrong, remedy in (
        (~np.isfinite(x), "remove the rows or fill the values in"),
        (np.abs(x) > limit, f"too large to be squared; scale the values, to below {LARGEST:.0e}"),
    ):
        bad = np.argwhere(wrong)
        if len(bad):
            raise InputError(
                f"{name} holds {x[tuple(bad[0])]} at {_place(bad[0])} (counted from 0), {len(bad)} such value(s) in "
                f"all: {remedy}"
            )
    return x[:, None] if x.ndim == 1 else x


def _place(index: np.ndarray) -> str:
    row, *rest = (int(i) for i in index)
    if len(rest) > 1:
        return f"row {row}, column (pixel, channel) {tuple(rest)}"
    return f"row {row}, column {rest[0]}" if rest else f"row {row}"


def _targets(arrays: dict[str, np.ndarray], x_name: str, y_name: str, path: Path) -> np.ndarray:
    y, rows = arrays[y_name], len(arrays[x_name])
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    if y.ndim == 2 and len(y) == rows and _is_one_hot(y):
        y = np.argmax(y, axis=1)
    if y.ndim != 1 or len(y) != rows:
        raise InputError(
            f"{path}: {y_name} has shape {arrays[y_name].shape} for {rows} rows of {x_name}: "
            f"give one number or class a row, ({rows},), or one-hot rows"
        )
    if y.dtype.kind in "US":
        return y.astype(str)
    return checked_examples(y, f"{path}: {y_name}")[:, 0]


def _is_one_hot(y: np.ndarray) -> bool:
    numeric = y.dtype.kind in "biuf"
    return numeric and bool(np.all((y == 0) | (y == 1)) and np.all(y.sum(axis=1) == 1))


def _all_indexes(class_names: tuple[str, ...], count: int) -> bool:
    return all(name.isdigit() and int(name) < count for name in class_names)

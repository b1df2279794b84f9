"""What ``ntkit kernel`` does: a data file and a network in, an ``.npz`` file of kernels out."""

import json
from importlib.metadata import version
from pathlib import Path

import numpy as np

import ntkit as nk
from ntkit.batches import Graphs
from ntkit.datasets.graph_file import holds_graphs, read_graphs
from ntkit.datasets.npz_file import checked_examples, open_npz
from ntkit.datasets.table_file import SUFFIXES, as_table, column_values, read_frame
from ntkit.errors import InputError
from ntkit.spec import nearest
from ntkit.study import kernels
from ntkit.study.folder import check_npz_place, write_npz
from ntkit.study.network import choose_network
from ntkit.study.preprocessing import fit_channels, fit_table
from ntkit.study.progress import Progress

NAMES = (("x1", "x2"), ("x_train", "x_test"), ("x", None))


def write_kernel(
    data: Path,
    spec: str,
    out: Path,
    *,
    target: str | None,
    standardise: bool,
    dtype: str | None,
    overwrite: bool,
    show_progress: bool,
) -> str:
    """Compute the kernels of a file's rows and write them as ``nngp``, ``ntk`` and ``spec``.

    Where the file has two sets (x1 and x2, or x_train and x_test), the kernels are between them: (n1, n2).

    Args:
        data: An ``.npz`` or table file.
        spec: A spec file, or a name of the zoo.
        out: The ``.npz`` file to write.
        target: A column to leave out of a table.
        standardise: Whether columns or channels get mean 0 and standard deviation 1 over the first set.
        dtype: ``"float32"``, ``"float64"`` or None for that of the data.
        overwrite: Whether ``out`` may be replaced.
        show_progress: Whether to draw a bar.

    Returns:
        One line to print.

    Raises:
        InputError: The data, the network or the place cannot be used.
    """
    if out.suffix.lower() != ".npz":
        raise InputError(f"--out {out} must end in .npz")
    if out.exists() and not (overwrite and out.is_file()):
        raise InputError(f"--out {out} exists: choose another name, or pass --overwrite")
    check_npz_place(out)
    first, second = _examples(data, target, standardise)
    network = choose_network(spec, {}, first.shape[1:], 1)

    def shaped(x: np.ndarray | Graphs) -> np.ndarray | Graphs:
        if isinstance(x, Graphs):
            return x.with_values(x.values.astype(float_type(dtype))) if dtype else x
        return x.reshape(len(x), *network.input_shape).astype(float_type(dtype) if dtype else x.dtype)

    x1 = shaped(first)
    entries = kernels.work(len(first), 0) if second is None else len(first) * len(second)
    with Progress(show_progress) as progress, progress.stage("kernels", entries) as advance:
        if second is None:
            nngp, ntk = kernels.symmetric(network.layer, x1, advance)
        else:
            nngp, ntk = kernels.between(network.layer, x1, shaped(second), advance)
    kernels.check_finite({"NNGP": nngp, "NTK": ntk})
    text = np.array(json.dumps(nk.to_spec(network.layer)))
    write_npz(out, {"nngp": nngp, "ntk": ntk, "spec": text, "ntkit": np.array(version("ntkit"))})
    return f"NNGP and NTK of shape {nngp.shape}, {nngp.dtype}: {out}"


def float_type(name: str) -> type[np.floating]:
    """The type of that name.

    Raises:
        InputError: It is neither float32 nor float64.

    Example:
        >>> float_type("float32")
        <class 'numpy.float32'>
    """
    types: dict[str, type[np.floating]] = {"float32": np.float32, "float64": np.float64}
    if name not in types:
        raise InputError(f"the dtype {name!r} is unknown: use float32 or float64")
    return types[name]


def _examples(
    path: Path, target: str | None, standardise: bool
) -> tuple[np.ndarray | Graphs, np.ndarray | Graphs | None]:
    if not path.is_file():
        raise InputError(f"cannot read {path}: {'it is a folder' if path.is_dir() else 'no such file'}")
    if path.suffix.lower() in SUFFIXES:
        x = _table_rows(path, target, standardise)
        return x, None
    if path.suffix.lower() != ".npz":
        raise InputError(f"cannot read {path}: use a file ending in {', '.join(SUFFIXES)} or .npz")
    arrays = open_npz(path)
    if holds_graphs(arrays):
        if standardise:
            raise InputError(
                f"--standardise is for tables and images: {path} holds graphs, whose nodes are taken as they are"
            )
        return read_graphs(arrays, path)[0], None
    for first, second in NAMES:
        if first in arrays:
            x1 = checked_examples(arrays[first], f"{path}: {first}")
            x2 = checked_examples(arrays[second], f"{path}: {second}") if second in arrays else None
            break
    else:
        raise InputError(f"{path} holds {', '.join(sorted(arrays)) or 'nothing'}: it needs x, or x1 and x2")
    if x2 is not None and x1.shape[1:] != x2.shape[1:]:
        raise InputError(f"{path}: {first} has examples of shape {x1.shape[1:]}, {second} of {x2.shape[1:]}")
    if standardise:
        scale = fit_channels(x1)
        x1, x2 = scale(x1), None if x2 is None else scale(x2)
    return x1, x2


def _table_rows(path: Path, target: str | None, standardise: bool) -> np.ndarray:
    frame = read_frame(path)
    columns = [str(c) for c in frame.columns]
    if target is not None and target not in columns:
        raise InputError(f"{path.name} has no column {target!r}{nearest(target, columns)}")
    table = as_table({c: column_values(frame[c], path) for c in columns if c != target}, path, [])
    if standardise:
        return fit_table(table)(table)
    if table.category_names:
        raise InputError(
            f"{path.name} has the categorical column {table.category_names[0]!r}: pass --standardise to code it, or "
            "--target if it is the one to leave out"
        )
    return checked_examples(table.numbers, path.name)

"""``load``: a data set by its name or its file."""

from pathlib import Path

import numpy as np

from ntkit.datasets.dataset import Dataset, Table
from ntkit.datasets.npz_file import load_npz
from ntkit.datasets.table_file import SUFFIXES, load_table
from ntkit.errors import InputError
from ntkit.spec import nearest

BUILTIN = {
    "digits": "1,797 handwritten digits as 8×8 grey images, 10 classes",
    "breast-cancer": "569 tumours with 30 measurements, malignant or benign",
    "diabetes": "442 patients with 10 measurements, a regression of disease progression after a year",
    "iris": "150 flowers with 4 measurements, 3 species",
    "wine": "178 wines with 13 chemical measurements, 3 growers",
}


def load(source: str | Path, *, target: str | None = None, task: str | None = None) -> Dataset:
    """Read a data set.

    Args:
        source: a name of `BUILTIN` (scikit-learn's sets), or a ``.csv``, ``.tsv``, ``.parquet`` or ``.npz`` file.
        target: the column to predict, for a CSV or Parquet file.
        task: ``"classification"``, ``"regression"``, or None to find out from the target.

    Raises:
        InputError: no such data set or file, it cannot be read, or its content cannot be used.

    Example:
        >>> from ntkit import datasets
        >>> data = datasets.load("iris")
        >>> data.task, len(data), data.class_names
        ('classification', 150, ('setosa', 'versicolor', 'virginica'))
    """
    name = str(source)
    if name in BUILTIN:
        if target is not None:
            raise InputError(f"--target {target!r} is for CSV and Parquet files: {name!r} has its own target")
        return _builtin(name, task)
    path = Path(source)
    suffix = path.suffix.lower()
    if suffix not in (*SUFFIXES, ".npz"):
        raise InputError(
            f"unknown data set {name!r}{nearest(name, BUILTIN)} (files end in {', '.join(SUFFIXES)} or .npz)"
        )
    if not path.is_file():
        reason = "it is a folder" if path.is_dir() else "no such file"
        raise InputError(f"cannot read {path}: {reason}")
    if suffix == ".npz":
        if target is not None:
            raise InputError(
                f"--target {target!r} is for CSV and Parquet files: an .npz file names its target y"
            )
        return load_npz(path, task)
    return load_table(path, target, task)


def _builtin(name: str, task: str | None) -> Dataset:
    from sklearn import datasets as sklearn_datasets

    bunch = getattr(sklearn_datasets, "load_" + name.replace("-", "_"))()
    own_task = "regression" if name == "diabetes" else "classification"
    if task not in (None, own_task):
        raise InputError(f"{name!r} is a {own_task}: leave --task {task} out")
    if name == "digits":
        x = bunch.images[..., None]
    else:
        names = tuple(str(n) for n in bunch.feature_names)
        x = Table(
            np.asarray(bunch.data, dtype=np.float64), names, np.empty((len(bunch.data), 0), dtype=object), ()
        )
    if own_task == "regression":
        return Dataset(name, own_task, x, bunch.target.astype(np.float64), "disease progression")
    classes = tuple(str(c) for c in bunch.target_names)
    target = {"digits": "digit", "breast-cancer": "diagnosis", "iris": "species", "wine": "grower"}[name]
    return Dataset(name, own_task, x, bunch.target.astype(np.int64), target, classes)

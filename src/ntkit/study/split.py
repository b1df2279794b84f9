"""Which rows train and which test: shuffled by a seed, every class in both."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Int

from ntkit.datasets import Dataset
from ntkit.errors import InputError

MOST_TRAIN, MOST_TEST = 1500, 500  # defaults; they keep a study under a minute
MOST_IMAGES_TRAIN, MOST_IMAGES_TEST = 500, 200


@dataclass(frozen=True)
class Split:
    """Row numbers of the data set; no row is in both."""

    train: Int[np.ndarray, " n_train"]
    test: Int[np.ndarray, " n_test"]


def split(data: Dataset, n_train: int | None, n_test: int | None, seed: int, *, large: bool) -> Split:
    """Choose training and test rows; for classes in the proportions of the data, with every class in both.

    Rows that the source sets apart for testing are only used for testing. By default a quarter of the rows tests, and
    at most 1500 train and 500 test (500 and 200 where ``large`` says that an example is costly); where one of the two
    numbers is given, the other is at most what is left.

    Args:
        data: the data set.
        n_train: how many rows train, or None.
        n_test: how many rows test, or None.
        seed: of the shuffle.
        large: whether one kernel entry is costly (images through a convolution).

    Raises:
        InputError: a class has a single example, or there are fewer rows than asked for.
    """
    labels = data.y if data.task == "classification" else np.zeros(len(data), dtype=int)
    rng = np.random.default_rng(seed)
    most_train, most_test = (MOST_IMAGES_TRAIN, MOST_IMAGES_TEST) if large else (MOST_TRAIN, MOST_TEST)
    if data.given_test is None:
        _check_class_sizes(data, 2, "one row must train and another test")
        rows = len(data)
        for flag, wanted, other in (("train", n_train, "test"), ("test", n_test, "train")):
            if wanted == rows:
                raise InputError(
                    f"--{flag} {wanted} leaves none of the {rows} rows of {data.name!r} to {other}"
                )
        left = rows if n_train is None else max(rows - n_train, 1)
        quarter = max(rows // 4, int(labels.max()) + 1, 1)
        test_size = n_test if n_test is not None else min(most_test, quarter, left)
        train_size = n_train if n_train is not None else min(most_train, max(rows - test_size, 0))
        _check_sizes(data, labels, train_size, test_size, rows, rows - train_size)
        order = stratified_order(labels, rng)
        return Split(order[:train_size], order[::-1][:test_size])
    train_rows, test_rows = np.flatnonzero(~data.given_test), np.flatnonzero(data.given_test)
    train_size = n_train if n_train is not None else min(most_train, len(train_rows))
    test_size = n_test if n_test is not None else min(most_test, len(test_rows))
    _check_sizes(data, labels[train_rows], train_size, test_size, len(train_rows), len(test_rows))
    missing = sorted(set(labels.tolist()) - set(labels[train_rows].tolist()))
    if missing:
        raise InputError(
            f"class {data.class_names[missing[0]]!r} has no training example, only test examples"
        )
    return Split(
        train_rows[stratified_order(labels[train_rows], rng)[:train_size]],
        test_rows[stratified_order(labels[test_rows], rng)[:test_size]],
    )


def stratified_order(labels: Int[np.ndarray, " n"], rng: np.random.Generator) -> Int[np.ndarray, " n"]:
    """A random order in which every prefix and every suffix holds the classes in about their proportions.

    The first C rows hold one of each class, and so do the last C where a class has two examples.

    Example:
        >>> order = stratified_order(np.array([0, 0, 0, 0, 1, 1]), np.random.default_rng(0))
        >>> sorted(order.tolist()), np.array([0, 0, 0, 0, 1, 1])[order[:3]].sum()
        ([0, 1, 2, 3, 4, 5], np.int64(1))
    """
    key = np.empty(len(labels))
    for label in np.unique(labels):
        members = rng.permutation(np.flatnonzero(labels == label))
        place = (np.arange(len(members)) + rng.uniform(0.3, 0.7, len(members))) / len(members)
        place[-1] += 1.0
        place[0] = -1.0 + place[0] / 2
        key[members] = place
    return np.argsort(key, kind="stable")


def _check_class_sizes(data: Dataset, least: int, why: str) -> None:
    if data.task != "classification":
        return
    counts = np.bincount(data.y, minlength=len(data.class_names))
    small = np.flatnonzero(counts < least)
    if len(small):
        raise InputError(
            f"class {data.class_names[small[0]]!r} of target {data.target_name!r} has {counts[small[0]]} example: "
            f"{why}; remove it, merge it with another, or use --task regression if the target is a number"
        )


def _check_sizes(data: Dataset, labels: np.ndarray, train: int, test: int, rows: int, rest: int) -> None:
    classes = len(np.unique(labels)) if data.task == "classification" else 1
    least = max(classes, 2)
    if train < least or test < 1:
        raise InputError(
            f"{train} training and {test} test rows: a study of {data.name!r} needs at least {least} and 1"
        )
    if train > rows or test > rest:
        apart = "" if data.given_test is None else f" to train and {rest} to test"
        raise InputError(
            f"{train} training and {test} test rows were asked for, but {data.name!r} has {rows} rows{apart}"
        )

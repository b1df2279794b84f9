"""From a column of targets to class numbers or to numbers with a unit."""

import numpy as np

from ntkit.errors import InputError

TASKS = ("classification", "regression")
MOST_CLASSES = 20  # whole numbers with at most so many different values are read as classes


def code_target(values: np.ndarray, name: str, task: str | None) -> tuple[str, np.ndarray, tuple[str, ...]]:
    """The task, the targets as class numbers or floats, and the names of the classes.

    Text is always classes. Numbers are classes where they are whole and at most 20 different ones occur,
    unless ``task`` says otherwise.

    Args:
        values: (rows,) finite numbers, or text.
        name: the target's name, for messages.
        task: ``"classification"``, ``"regression"`` or None (find out).

    Raises:
        InputError: the task is unknown, does not fit the values, or all targets are equal.

    Example:
        >>> code_target(np.array(["no", "yes", "no"]), "paid", None)
        ('classification', array([0, 1, 0]), ('no', 'yes'))
    """
    if task is not None and task not in TASKS:
        raise InputError(f"the task {task!r} is unknown: use classification or regression, or leave it out")
    numeric = np.issubdtype(values.dtype, np.number)
    if task == "regression" and not numeric:
        raise InputError(
            f"target {name!r} holds text such as {str(values[0])!r}: a regression needs numbers "
            "(leave --task out to treat it as classes)"
        )
    if task is None:
        task = "classification" if not numeric or _look_like_classes(values) else "regression"
    levels, numbers = np.unique(values, return_inverse=True)
    if len(levels) < 2:
        raise InputError(f"target {name!r} has the same value {levels[0]!s} in every row: nothing to learn")
    if task == "regression":
        return task, values.astype(np.float64), ()
    if len(levels) > max(MOST_CLASSES, len(values) // 2):
        raise InputError(
            f"target {name!r} has {len(levels)} different values in {len(values)} rows, too many to be classes: "
            "use --task regression if it is a number, or choose another column"
        )
    return task, numbers.reshape(-1), tuple(_class_name(level) for level in levels)


def _look_like_classes(values: np.ndarray) -> bool:
    whole = bool(np.all(values == np.round(values)))
    different = len(np.unique(values))
    return whole and different < len(values) and different <= min(MOST_CLASSES, max(10, len(values) // 2))


def _class_name(level: object) -> str:
    if isinstance(level, np.floating) and float(level).is_integer():
        return str(int(level))
    return str(level)

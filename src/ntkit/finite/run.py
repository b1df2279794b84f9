"""`TrainingRun`, what is known of a network before and after its training, and its file."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float64

from ntkit.errors import InputError

FORMAT = 1


@dataclasses.dataclass(frozen=True, eq=False)
class TrainingRun:
    """A network before and after training, seen on a few examples.

    Tangent kernels are means over outputs. The outputs of the linearised network are those at the trained parameters,
    f(θ₀) + J (θ − θ₀): no second training is needed.

    Attributes:
        before: (n, o) outputs at the start.
        after: (n, o) outputs in the end.
        linear: (n, o) outputs in the end of the network linearised at the start.
        targets: (n, o)
        kernel_before: (n, n) tangent kernel at the start.
        kernel_after: (n, n) in the end.
        movement: ‖θ − θ₀‖/‖θ₀‖.
        kappa: Chizat's κ along the gradient at the start, ‖f₀ − y‖ ‖D²f[v, v]‖/‖Df[v]‖²; NaN where the model has no second
            derivative along a direction.
        test_targets: (m, o); with the next two, None without test examples.
        test_before: (m, n) tangent kernel at the start of test examples with the n above.
        test_after: (m, n) in the end.
        test_outputs: (m, o) outputs in the end.
    """

    before: Float64[np.ndarray, "n o"]
    after: Float64[np.ndarray, "n o"]
    linear: Float64[np.ndarray, "n o"]
    targets: Float64[np.ndarray, "n o"]
    kernel_before: Float64[np.ndarray, "n n"]
    kernel_after: Float64[np.ndarray, "n n"]
    movement: float
    kappa: float
    test_targets: Float64[np.ndarray, "m o"] | None = None
    test_before: Float64[np.ndarray, "m n"] | None = None
    test_after: Float64[np.ndarray, "m n"] | None = None
    test_outputs: Float64[np.ndarray, "m o"] | None = None

    def tested(self, targets: Any, outputs: Any, kernels: Sequence[Any]) -> "TrainingRun":
        """The run with test examples: their targets, their outputs in the end, and both kernels of them with the others.

        Raises:
            InputError: Targets and outputs differ in shape.
        """
        said = flat(outputs)
        known = check_targets(targets, said, "y_test")
        before, after = (flat(k) for k in kernels)
        return dataclasses.replace(
            self, test_targets=known, test_outputs=said, test_before=before, test_after=after
        )

    def save(self, path: str | Path) -> None:
        """Write the run to a .npz file, for `load_run` and `ntkit regime`."""
        known = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        with Path(path).open("wb") as file:
            np.savez_compressed(file, format=FORMAT, **{k: v for k, v in known.items() if v is not None})


def load_run(path: str | Path) -> TrainingRun:
    """Read a run that `TrainingRun.save` wrote.

    Raises:
        InputError: There is no such file, or it is not one of these.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = dict(file)
    except FileNotFoundError:
        raise InputError(f"there is no file {path}") from None
    except (OSError, ValueError, EOFError) as error:
        raise InputError(f"{path} is not a saved training run: {error}") from None
    found = arrays.pop("format", None)
    names = {f.name for f in dataclasses.fields(TrainingRun)}
    lacking = sorted(
        f.name
        for f in dataclasses.fields(TrainingRun)
        if f.default is dataclasses.MISSING and f.name not in arrays
    )
    if found is None or int(found) != FORMAT or lacking or set(arrays) - names:
        raise InputError(
            f"{path} is not a training run of this version; save one by TrainingRun.save"
            + (f" (it lacks {', '.join(lacking)})" if lacking else "")
        )
    values: dict[str, Any] = {k: np.asarray(v, np.float64) for k, v in arrays.items()}
    return TrainingRun(**values | {k: float(values[k]) for k in ("movement", "kappa")})


def flat(outputs: Any) -> Float64[np.ndarray, "n o"]:
    """Outputs or targets of each example side by side, in float64."""
    values = np.asarray(outputs, np.float64)
    return values.reshape(len(values), -1)


def check_targets(targets: Any, outputs: Float64[np.ndarray, "n o"], name: str) -> Float64[np.ndarray, "n o"]:
    """Targets shaped like outputs, numbers and not class labels.

    Raises:
        InputError: Their shape differs.
    """
    array = flat(targets)
    if array.shape != outputs.shape:
        raise InputError(
            f"{name} has shape {np.shape(targets)}, the outputs {outputs.shape}; give numbers for every output, classes as "
            "one-hot rows"
        )
    return array

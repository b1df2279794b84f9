"""What a study is asked to do."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from ntkit.errors import InputError

NAMES = "data net out target task train test seed finite steps dtype overwrite quiet help"
STEPS = 500  # of a finite network, unless told otherwise
FLAGS = tuple("--" + name for name in NAMES.split())


@dataclass(frozen=True)
class Options:
    """The options of a study; those of the command line, under the same names.

    Args:
        data: A built-in data set or a file, see `ntkit.datasets.load`.
        net: A network of the zoo, or a spec file.
        net_options: Parameters of the zoo's function, as text.
        target: The column to predict, for a CSV or Parquet file.
        task: ``"classification"``, ``"regression"`` or None (find out).
        train: How many rows train, or None.
        test: How many rows test, or None.
        seed: Of the split and of the finite network.
        finite: The width of a finite network to train beside, or None.
        steps: Of its gradient descent, or None for 500.
        dtype: Of the kernels, ``"float32"``, ``"float64"`` or None: float64 for vectors and graphs, float32 for
            images.

    Raises:
        InputError: A number is out of range, or there are steps without a finite network.

    Example:
        >>> Options(data="iris", net="mlp", net_options={"depth": "3"}).seed
        0
    """

    data: str
    net: str = "mlp"
    net_options: Mapping[str, str] = field(default_factory=dict)
    target: str | None = None
    task: str | None = None
    train: int | None = None
    test: int | None = None
    seed: int = 0
    finite: int | None = None
    steps: int | None = None
    dtype: str | None = None

    def __post_init__(self) -> None:
        for name in ("train", "test", "finite", "steps"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise InputError(f"--{name} must be at least 1, found {value}")
        if self.steps is not None and self.finite is None:
            raise InputError(
                f"--steps {self.steps} is for the finite network: pass --finite WIDTH too, or leave --steps out"
            )
        if not 0 <= self.seed < 2**32:
            raise InputError(f"--seed must lie between 0 and {2**32 - 1}, found {self.seed}")
        if self.dtype not in (None, "float32", "float64"):
            raise InputError(f"--dtype must be float32 or float64, found {self.dtype!r}")

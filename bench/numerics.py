"""Where float32, great depth and extreme rows put a kernel: the figures of the table of required numerics."""

import pathlib
import sys
import time

import numpy as np

import ntkit as nk
import record

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "tests"))

from reference import hard_rows

DTYPES = (np.float64, np.float32)


def near_duplicates(n: int, copies: int, dimension: int, apart: float) -> np.ndarray:
    """Rows of which the last `copies` stand at the relative distance `apart` from the first ones."""
    generator = np.random.default_rng(0)
    x = generator.standard_normal((n, dimension))
    step = generator.standard_normal((copies, dimension))
    norms = np.linalg.norm(x[:copies], axis=1) / np.linalg.norm(step, axis=1)
    x[-copies:] = x[:copies] + apart * norms[:, None] * step
    return x.astype(np.float32)


def stack(depth: int, b_std: float = 0.0) -> nk.Layer:
    """A dense ReLU network that keeps variances."""
    stage = nk.Dense(64, w_std=2**0.5, b_std=b_std) >> nk.Relu()
    return nk.Serial((*stage.layers * depth, nk.Dense(1)))


def single_precision(dimension: int, b_std: float) -> dict[str, float | bool]:
    """Depth 20, 500 rows with 50 near-duplicates 1e-3 apart, float32 against float64."""
    x = near_duplicates(500, 50, dimension, 1e-3)
    net = stack(20, b_std)
    single, double = nk.ntk(net, x).astype(np.float64), nk.ntk(net, x.astype(np.float64))
    scale = np.sqrt(np.diag(double))
    error = float(np.max(np.abs(single - double) / np.outer(scale, scale)))
    smallest = float(np.linalg.eigvalsh(single)[0])
    bound = float(-4 * 2.0**-24 * np.sqrt(500) * np.trace(single) / 500)
    return {
        "dimension": dimension,
        "b_std": b_std,
        "largest_error": error,
        "largest_error_of_its_own_entry": float(np.max(np.abs(single / double - 1))),
        "smallest_eigenvalue": smallest,
        "smallest_eigenvalue_allowed": bound,
        "holds": error <= 1e-4 and smallest >= bound,
    }


def depth_1000() -> dict[str, float | bool]:
    """1000 hidden layers at w_std² = 2 in one loop."""
    net = nk.Dense(64, 2**0.5) >> nk.Repeat(nk.Relu() >> nk.Dense(64, 2**0.5), 1000) >> nk.Dense(1)
    x = near_duplicates(50, 5, 10, 1e-3)
    start = time.perf_counter()
    kernels = {t.__name__: nk.kernel(net, x, dtype=t) for t in (np.float32, np.float64)}
    finite = all(bool(np.isfinite(k).all()) for pair in kernels.values() for k in pair)
    error = np.max(np.abs(kernels["float32"].ntk / kernels["float64"].ntk - 1))
    return {"finite": finite, "float32_relative_error": float(error), "seconds": time.perf_counter() - start}


def extreme_rows() -> dict[str, object]:
    """Rows of norm 1e-20 and 1e20, zero, equal, opposite and parallel ones, under every closed ReLU-like activation."""
    row = np.random.default_rng(0).standard_normal(6)
    row /= np.linalg.norm(row)
    x = np.stack([1e-20 * row, 1e20 * row, 0 * row, row, row, -row, 3 * row])
    kernel = nk.kernel(stack(3), x)
    scale = np.sqrt(np.diag(kernel.ntk))
    parallel = kernel.ntk[3, 6] / (scale[3] * scale[6])
    try:
        nk.kernel(stack(3), x, dtype=np.float32)
        single = "finite"
    except nk.errors.InputError as error:
        single = f"refused: {error}"
    return {
        "float64_finite": all(bool(np.isfinite(k).all()) for k in kernel),
        "float32": single,
        "equal_rows_differ_by": float(abs(kernel.ntk[3, 4] / kernel.ntk[3, 3] - 1)),
        "parallel_rows_off_by": float(abs(parallel - 1)),
    }


def against_80_digits(x: np.ndarray, depth: int, b_std: float) -> dict[str, dict[str, float]]:
    """Errors over √ of the diagonals of row 0 with every row, against the recursion in 80 digits."""
    return {
        dtype.__name__: dict(
            zip(("nngp", "ntk"), hard_rows.errors_of_pairs(x, depth, b_std, dtype), strict=True)
        )
        for dtype in DTYPES
    }


def depth_1000_against_80_digits() -> dict[str, dict[str, float]]:
    """Generic rows, a duplicate, a negated and a near-duplicate one."""
    x = np.random.default_rng(0).normal(size=(4, 6))
    return against_80_digits(np.concatenate([x, x[:1], -x[:1], x[:1] + 1e-3]), 1000, 0.0)


def parallel_rows() -> dict[str, dict[str, dict[str, float]]]:
    """Rows x, 2x, 3x, x/7, −x, −3x: without biases their angle stays 0 or π, known to the square root of rounding."""
    rows = hard_rows.parallel_rows()
    settings = ((1, 0.0), (20, 0.0), (20, 0.3))
    return {f"depth {depth}, b_std {b}": against_80_digits(rows, depth, b) for depth, b in settings}


def parallel_rows_under_sign() -> dict[str, float]:
    """The relative error of the NNGP of x, 2x and 3x, which is that of x, after one to three Sign layers."""
    x = np.random.default_rng(1).normal(size=(1, 4)) * np.array([[1.0], [2.0], [3.0]])
    found = {}
    for dtype in DTYPES:
        for depth in (1, 2, 3):
            net = nk.Serial((nk.Dense(8), nk.Sign()) * depth) >> nk.Dense(1)
            k = nk.nngp(net, x.astype(dtype))
            found[f"depth {depth}, {dtype.__name__}"] = float(np.max(np.abs(k / k[0, 0] - 1)))
    return found


def main() -> None:
    """Measures all of it."""
    single = [single_precision(d, b) for d in (10, 784) for b in (0.0, 0.1)]
    deep, extreme = depth_1000(), extreme_rows()
    record.write(
        "numerics",
        {
            "required": "float32, depth 20, 500 rows with 50 near-duplicates: entries within 1e-4 of float64, smallest "
            "eigenvalue >= -4*2^-24*sqrt(n)*trace/n; depth 1000 and extreme rows finite or a clear error",
            "reached": max(s["largest_error"] for s in single),
            "holds": all(s["holds"] for s in single) and deep["finite"] and extreme["float64_finite"],
            "float32_depth_20": single,
            "depth_1000": deep,
            "extreme_rows": extreme,
            "depth_1000_against_80_digits": depth_1000_against_80_digits(),
            "parallel_rows_against_80_digits": parallel_rows(),
            "parallel_rows_under_sign": parallel_rows_under_sign(),
        },
    )


if __name__ == "__main__":
    main()

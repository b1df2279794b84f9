"""Worst error of the activations by quadrature, and what a pair costs.

Errors are differences to independent references (`tests/reference/numerical_moments.py`: mpmath in 50 digits where an
integral over one variable gives the moment, the trapezoidal rule in the plane elsewhere), over variances 1e-6 to 1e4
and correlations up to ±1 and within 1e-12 of it, divided by √(moment(u, u)·moment(v, v)).
"""

import argparse
import itertools
import pathlib
import sys
import time

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

import record
from ntkit.activations.numerical import Elementwise, Elu, NumericalActivation, Sigmoid, Silu, Softplus, Tanh
from ntkit.moments import BivariateNormal

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "tests"))
from reference import numerical_moments as reference

LIMIT = 1e-6
FULL = (
    (1e-6, 1e-2, 1.0, 100.0, 1e4),
    (0.0, 1e-12, 1e-8, 1e-4, 1e-2, 0.05, 0.1, 0.3, 0.7, 1.0),
)
SHORT = ((1e-6, 1.0, 100.0, 1e4), (0.0, 1e-8, 0.05, 0.5, 1.0))

NAMED: dict[str, NumericalActivation] = {
    "tanh": Tanh(),
    "sigmoid": Sigmoid(),
    "softplus": Softplus(),
    "silu": Silu(),
    "elu": Elu(),
}
CUSTOM = {
    "Elementwise(tanh)": ("tanh", Elementwise(jnp.tanh)),
    "Elementwise(silu)": ("silu", Elementwise(jax.nn.silu)),
    "Elementwise(elu)": ("elu", Elementwise(jax.nn.elu)),
}


def points(variances, distances):
    """(var1, var2, 1 − |correlation|, sign) of the grid."""
    pairs = itertools.combinations_with_replacement(variances, 2)
    return [(q, p, d, sign) for (q, p), d, sign in itertools.product(pairs, distances, (1, -1))]


def normal(grid) -> BivariateNormal:
    var1, var2, distance, sign = (np.array(column, dtype=float) for column in zip(*grid, strict=True))
    scale = np.sqrt(var1) * np.sqrt(var2)
    cov = sign * (1 - distance) * scale
    gap = np.where(
        sign > 0, (np.sqrt(var1) - np.sqrt(var2)) ** 2 + 2 * distance * scale, var1 + var2 - 2 * cov
    )
    return BivariateNormal(*map(jnp.asarray, (var1, var2, cov, gap)))


def exact(name: str, order: int, point) -> float:
    """The moment of a point of the grid."""
    if name == "elu":
        return float(reference.elu(order, *point))
    if point[2] in (0.0, 1.0):
        return float(reference.on_line(name, order, *point[:2], point[3] * (1 - point[2])))
    return float(reference.in_plane(name, order, *point))


@eqx.filter_jit
def moments(f, pair):
    return f.dual(pair), f.dual_slope(pair)


@eqx.filter_jit
def stated(f, pair):
    return f.error(pair)


def errors(f: NumericalActivation, grid, references) -> dict[str, float]:
    """Worst error of both moments, the worst that `error` states, and how much of what is stated is reached at most."""
    pair = normal(grid)
    zero = jnp.zeros_like(pair.cov)
    own = [moments(f, BivariateNormal(v, v, v, zero)) for v in (pair.var1, pair.var2)]
    result: dict[str, float] = {"tolerance": f.tolerance}
    bounds = stated(f, pair)
    for order, name in enumerate(("dual", "slope")):
        scale = np.sqrt(np.asarray(own[0][order] * own[1][order]))
        error = np.abs(np.asarray(moments(f, pair)[order]) - references[order]) / scale
        bound = np.asarray(bounds[order]) / scale
        result[f"{name}_error"] = float(np.max(error))
        result[f"{name}_stated"] = float(np.max(bound))
        # The references themselves hold 1e-12.
        result[f"{name}_within_stated"] = bool(np.all(error <= bound + 1e-12))
    return result


def nanoseconds(f: NumericalActivation, variance: float, correlation: float, rows: int = 600) -> float:
    """Time of dual and slope for a kernel of rows × rows pairs about that correlation, per pair."""
    rng = np.random.default_rng(0)
    x = np.sqrt(variance) * (np.sqrt(correlation) + np.sqrt(1 - correlation) * rng.normal(size=(rows, 200)))
    q, cov = np.mean(x**2, axis=1), x @ x.T / x.shape[1]
    gap = np.maximum(0.0, q[:, None] + q - 2 * cov)
    pair = BivariateNormal(*map(jnp.asarray, (q[:, None], q[None], cov, gap)))
    jax.block_until_ready(moments(f, pair))
    start = time.perf_counter()
    jax.block_until_ready(moments(f, pair))
    return round((time.perf_counter() - start) / rows**2 * 1e9, 1)


def main(short: bool) -> None:
    grid = points(*(SHORT if short else FULL))
    references = {n: [np.array([exact(n, o, p) for p in grid]) for o in (0, 1)] for n in NAMED}
    table = {name: errors(f, grid, references[name]) for name, f in NAMED.items()}
    table |= {label: errors(f, grid, references[name]) for label, (name, f) in CUSTOM.items()}
    worst = max(max(row["dual_error"], row["slope_error"]) for row in table.values())
    within = all(row["dual_within_stated"] and row["slope_within_stated"] for row in table.values())
    everything = NAMED | {label: f for label, (_, f) in CUSTOM.items()}
    cost = {
        f"variance {q:g}, correlation {c:g}": {label: nanoseconds(f, q, c) for label, f in everything.items()}
        for q, c in ((1.0, 0.5), (1.0, 0.95), (100.0, 0.5))
    }
    record.write(
        "quadrature",
        {
            "required": f"errors within those stated, and at most {LIMIT:g}",
            "reached": worst,
            "holds": within and worst <= LIMIT,
            "points": len(grid),
            "variances": [min(p[0] for p in grid), max(p[1] for p in grid)],
            "activations": table,
            "nanoseconds_a_pair_dual_and_slope": cost,
        },
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--short", action="store_true", help="a coarser grid")
    with jax.enable_x64(True):
        main(parser.parse_args().short)

"""What kernels say of generalisation, against experiments: learning curves, the sphere, risk estimates, bounds, edges, widths.

`python bench/generalisation.py` measures all rows, `… risk bounds` some; each writes a file of its own.
"""

import sys
from typing import Any

import numpy as np
import scipy.special
import scipy.stats
from sklearn.datasets import load_digits

import ntkit as nk
import record
from ntkit.analysis import (
    Population,
    critical,
    distribution,
    expected_loss,
    interpolation_bound,
    kare,
    measured_loss,
    population,
    sphere_eigenvalues,
    width_study,
)
from ntkit.predict import choose_ridge, kernel_regression

DATA = record.ROOT.parent / "shared" / "data"
NET = (
    nk.Dense(1, w_std=2**0.5, b_std=0.1) >> nk.Relu()
    >> nk.Dense(1, w_std=2**0.5, b_std=0.1) >> nk.Relu() >> nk.Dense(1)
)  # fmt: skip
SIZES = (32, 64, 128, 256)
RIDGES = (0.0, 1e-2, 1e-1, 1.0)  # times the kernel's mean diagonal
DRAWS = 20
ESTIMATES = ("kare", "leave_one_out", "kare_of_merged_repeats")
DEGREES = {1: 1.0, 2: 0.5, 4: 0.25}  # power of the harmonics in the sphere's target


def learning_curves() -> None:
    """Expected against measured losses: digits, and harmonics on spheres with analytic eigenvalues."""
    found = {"digits": _digits(), "sphere_10": _sphere(10), "sphere_3": _sphere(3)}
    within = {name: [row for row in rows if row["expected"] >= row["floor"]] for name, rows in found.items()}
    off = {name: [abs(row["off"]) for row in rows] for name, rows in within.items()}
    held = {name: (np.median(values), max(values)) for name, values in off.items()}
    both = [*off["digits"], *off["sphere_10"]]
    record.write(
        "learning_curves",
        {
            "required": "median relative error at most 10 %, worst at most 30 %, where the loss is at least 1 % of the targets",
            "reached_median": round(float(np.median(both)), 4),
            "reached_worst": round(max(both), 4),
            "holds": bool(np.median(both) <= 0.1 and max(both) <= 0.3),
            "by_population": {name: [round(float(v), 4) for v in pair] for name, pair in held.items()},
            "outside": "sphere_3: in three dimensions the loss is that of the gaps between few points, which draws of Gaussian "
            "features do not have; the expected loss is too low, the more so the faster the eigenvalues fall",
            "rows": found,
        },
    )


def _digits() -> list[dict[str, float]]:
    """All 1,797 rows are the population, drawn without replacement."""
    x, labels = load_digits(return_X_y=True)
    x = x - x.mean(axis=0)
    x *= x.shape[1] ** 0.5 / np.linalg.norm(x, axis=1, keepdims=True)
    y = np.eye(10)[labels] - 0.1
    k = nk.ntk(NET, x)
    modes, mean = population(k, y), float(np.trace(k)) / len(k)
    rows = []
    for ridge in RIDGES:
        measured = measured_loss(k, y, SIZES, ridge=ridge * mean, draws=DRAWS)
        for i, n in enumerate(SIZES):
            rows.append(_row(modes, n, ridge, mean, measured.mean[i], measured.deviation[i]))
    return rows


def _sphere(d: int) -> list[dict[str, float]]:
    kernel = nk.kernel_fn(NET)
    known = sphere_eigenvalues(kernel, d, 60)
    power = np.zeros(len(known.degree))
    power[list(DEGREES)] = list(DEGREES.values())
    modes = distribution(np.maximum(known.ntk, 0), power, known.multiplicity)
    poles = _points(d, len(DEGREES), 0) / d**0.5

    def target(x: np.ndarray) -> np.ndarray:
        parts = []
        for pole, (degree, weight) in zip(poles, DEGREES.items(), strict=True):
            zonal = scipy.special.eval_gegenbauer(degree, d / 2 - 1, x @ pole / d**0.5)
            zonal /= scipy.special.eval_gegenbauer(degree, d / 2 - 1, 1.0)
            parts.append((weight * known.multiplicity[degree]) ** 0.5 * zonal)
        return np.sum(parts, axis=0)

    x_test = _points(d, 4000, 1)
    mean, rows = float(kernel.diag(x_test[:1]).ntk[0]), []
    for n in SIZES:
        losses = np.empty((DRAWS, len(RIDGES)))
        for draw in range(DRAWS):
            x = _points(d, n, 2 + draw)
            own, cross = nk.ntk(NET, x), nk.ntk(NET, x_test, x)
            for i, ridge in enumerate(RIDGES):
                fit = kernel_regression(own, target(x), ridge=ridge * mean)
                losses[draw, i] = np.mean((fit.predict(cross) - target(x_test)) ** 2) / 2
        for i, ridge in enumerate(RIDGES):
            rows.append(_row(modes, n, ridge, mean, losses[:, i].mean(), losses[:, i].std(ddof=1)))
    return rows


def _row(
    modes: Population, n: int, ridge: float, mean: float, measured: float, deviation: float
) -> dict[str, float]:
    expected = expected_loss(modes, n, ridge=ridge * mean).loss
    return {
        "n": n,
        "ridge_of_mean_diagonal": ridge,
        "expected": float(expected),
        "measured": float(measured),
        "standard_error": float(deviation / DRAWS**0.5),
        "off": float(expected / measured - 1),
        "floor": 0.01 * modes.mean_square / 2,
    }


def _points(d: int, count: int, seed: int) -> np.ndarray:
    x = np.random.default_rng([d, seed]).normal(size=(count, d))
    return x * (d**0.5 / np.linalg.norm(x, axis=1, keepdims=True))


def sphere() -> None:
    """Eigenvalues by degree against Gauss–Jacobi quadrature in the cosine, with enough nodes for the kernel's kink."""
    off = {}
    for d in (3, 10):
        found = sphere_eigenvalues(nk.kernel_fn(NET), d, 20)
        roots, weights = scipy.special.roots_jacobi(4000, (d - 3) / 2, (d - 3) / 2)
        first, second = d**0.5 * np.eye(d)[:2]
        pair = nk.kernel(NET, first[None], np.outer(roots, first) + np.outer(np.sqrt(1 - roots**2), second))
        for name, values, profile in (("nngp", found.nngp, pair.nngp[0]), ("ntk", found.ntk, pair.ntk[0])):
            basis = [
                scipy.special.eval_gegenbauer(k, d / 2 - 1, roots)
                / scipy.special.eval_gegenbauer(k, d / 2 - 1, 1.0)
                for k in range(21)
            ]
            expected = np.array(basis) @ (weights * profile) / weights.sum()
            off[f"{name}, d = {d}"] = float(np.abs(values - expected).max())
    record.write(
        "sphere_eigenvalues",
        {
            "required": "at most 1e-8",
            "reached": max(off.values()),
            "holds": max(off.values()) <= 1e-8,
            "off": off,
        },
    )


def risk() -> None:
    """KARE and leave-one-out against the loss on held-out rows, on five sets of UCI, at 20 ridges."""
    sets = np.load(DATA / "uci-regression.npz", allow_pickle=False)
    found = {}
    for name in ("concrete", "energy", "yacht", "power_plant", "wine_red"):
        x, y = sets[f"{name}_x"], sets[f"{name}_y"]
        curves = [
            _against_held_out(x, y, mask) for mask in sets[f"{name}_test_mask"][: 10 if len(x) < 5000 else 2]
        ]
        held_out, *estimates = (np.mean([c[k] for c in curves], axis=0) for k in ("held_out", *ESTIMATES))
        found[name] = {
            "n": int(len(x) * 0.9),
            "splits": len(curves),
            "rows_that_repeat": int(len(x) - len(np.unique(x, axis=0))),
            "spearman": {
                k: float(scipy.stats.spearmanr(e, held_out).statistic)
                for k, e in zip(ESTIMATES, estimates, strict=True)
            },
            "of_best": {
                k: float(held_out[np.argmin(e)] / held_out.min())
                for k, e in zip(ESTIMATES, estimates, strict=True)
            },
            "held_out": held_out.tolist(),
            **{k: e.tolist() for k, e in zip(ESTIMATES, estimates, strict=True)},
        }
    rank = min(min(r["spearman"].values()) for r in found.values())
    ratio = max(max(r["of_best"].values()) for r in found.values())
    record.write(
        "risk_estimates",
        {
            "required": "Spearman at least 0.9; the chosen ridge's test loss at most 1.05 of the grid's best",
            "reached_spearman": rank,
            "reached_of_best": ratio,
            **{
                f"reached_by_{k}": [
                    min(r["spearman"][k] for r in found.values()),
                    max(r["of_best"][k] for r in found.values()),
                ]
                for k in ESTIMATES
            },
            "holds": rank >= 0.9 and ratio <= 1.05,
            "sets": found,
        },
    )


def _against_held_out(x: np.ndarray, y: np.ndarray, mask: np.ndarray) -> dict[str, np.ndarray]:
    """Losses at the 20 ridges, of one split: on its held-out rows, and as estimated from its training rows."""
    x, y = ((a - a[~mask].mean(axis=0)) / a[~mask].std(axis=0) for a in (x, y))
    k, cross = nk.ntk(NET, x[~mask]), nk.ntk(NET, x[mask], x[~mask])
    eigen = nk.solve.eigendecomposition(k)
    grid = float(np.trace(k)) / len(k) * np.geomspace(1e-6, 1e2, 20)
    modes, basis = eigen.vectors.T @ y[~mask], cross @ eigen.vectors
    held_out = [np.mean((basis @ (modes / (eigen.values + r)) - y[mask]) ** 2) / 2 for r in grid]
    return {
        "held_out": np.array(held_out),
        "kare": kare(eigen, y[~mask], grid),
        "leave_one_out": choose_ridge(eigen, y[~mask], grid).losses,
        "kare_of_merged_repeats": kare(*_merged(k, x[~mask], y[~mask]), grid),
    }


def _merged(k: np.ndarray, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The kernel of different rows, and the means of the targets of equal ones."""
    _, first, which, count = np.unique(x, axis=0, return_index=True, return_inverse=True, return_counts=True)
    return k[np.ix_(first, first)], np.bincount(which, y) / count


def bounds() -> None:
    """True labels against random ones: two classes of digits and of CIFAR-10, with clipped losses on held-out rows."""
    x, labels = load_digits(return_X_y=True)
    found = {}
    for one, other in ((0, 1), (3, 8)):
        pair = np.isin(labels, (one, other))
        found[f"digits {one}, {other}"] = _bounds_of(x[pair], labels[pair] == other, (50, 100, 200, 300))
    cifar = np.load(DATA / "cifar10-small.npz", allow_pickle=False)
    pair = np.isin(cifar["y_train"], (0, 1))
    images = cifar["x_train"][pair].reshape(pair.sum(), -1).astype(float)
    found["CIFAR-10 aeroplane, automobile"] = _bounds_of(
        images, cifar["y_train"][pair] == 1, (100, 200, 400, 800)
    )
    rows = [row for curve in found.values() for row in curve]
    record.write(
        "bounds",
        {
            "holds": all(r["true"]["bound"] < r["random"]["bound"] for r in rows)
            and min(r["true"]["bound"] for r in rows) < 1
            and all(r[w]["bound"] >= r[w]["clipped_test_loss"] for r in rows for w in ("true", "random")),
            "required": "true < random; below 1 for true labels at some n; above the clipped test loss everywhere",
            "true_below_random": all(r["true"]["bound"] < r["random"]["bound"] for r in rows),
            "least_for_true": min(r["true"]["bound"] for r in rows),
            "above_the_loss": all(
                r[w]["bound"] >= r[w]["clipped_test_loss"] for r in rows for w in ("true", "random")
            ),
            "rows": found,
        },
    )


def _bounds_of(x: np.ndarray, positive: np.ndarray, sizes: tuple[int, ...]) -> list[dict[str, Any]]:
    x = x - x.mean(axis=0)
    x *= x.shape[1] ** 0.5 / np.linalg.norm(x, axis=1, keepdims=True)
    order = np.random.default_rng(0).permutation(len(x))
    x, true = x[order], np.where(positive[order], 1.0, -1.0)
    k = nk.ntk(NET, x)
    rows = []
    for n in sizes:
        row: dict[str, Any] = {"n": n}
        for which, y in (("true", true), ("random", np.random.default_rng(1).choice([-1.0, 1.0], len(x)))):
            fit = kernel_regression(k[:n, :n], y[:n])
            clipped = np.minimum(np.abs(fit.predict(k[n:, :n]) - y[n:]), 1)
            row[which] = {
                "bound": interpolation_bound(k[:n, :n], y[:n]),
                "clipped_test_loss": float(clipped.mean()),
            }
        rows.append(row)
    return rows


def edges() -> None:
    """The edge of chaos at known values: ReLU 2, tanh 1, erf π/4 of the weights' variance, without biases."""
    known = {"relu": (nk.Relu(), 2.0), "tanh": (nk.Tanh(), 1.0), "erf": (nk.Erf(), np.pi / 4)}
    off = {name: abs(critical(act) ** 2 - variance) for name, (act, variance) in known.items()}
    record.write(
        "edge_of_chaos",
        {
            "required": "known values to 1e-6",
            "reached": max(off.values()),
            "holds": max(off.values()) <= 1e-6,
            "off": off,
        },
    )


def width() -> None:
    """Distances of the kernels of finite ReLU networks from the limit, over widths from 64 to 4096."""

    def net(hidden: int) -> nk.Layer:
        layer = nk.Dense(hidden, w_std=2**0.5, b_std=0.1) >> nk.Relu()
        return layer >> layer >> nk.Dense(1)

    x = _points(10, 12, 0).astype("f")
    found = width_study(net, (64, 128, 256, 512, 1024, 2048, 4096), x, seeds=8)
    record.write(
        "width_study",
        {
            "required": "exponent of the NTK's distance −0.5 ± 0.1",
            "reached": found.ntk_rate.exponent,
            "holds": abs(found.ntk_rate.exponent + 0.5) <= 0.1,
            "ntk_rate": found.ntk_rate._asdict(),
            "nngp_rate": found.nngp_rate._asdict(),
            "widths": found.widths.tolist(),
            "ntk": found.ntk.mean(axis=1).tolist(),
            "nngp": found.nngp.mean(axis=1).tolist(),
        },
    )


ROWS = {
    "learning_curves": learning_curves,
    "sphere": sphere,
    "risk": risk,
    "bounds": bounds,
    "edges": edges,
    "width": width,
}

if __name__ == "__main__":
    for row in sys.argv[1:] or ROWS:
        ROWS[row]()

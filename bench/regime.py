"""From rich to lazy: one small network trained at several scales of its outputs: `python bench/regime.py`, some minutes.

Kernel distances fall monotonically and the verdict of `regime_report` turns from rich to lazy; beside it, how training
approaches that of the infinite network over widths.
"""

import jax
import numpy as np

import ntkit as nk
import record
from ntkit.analysis import regime_report, trajectory_study

ALPHAS = (0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0)
STEPS, RATE = 1000, 0.5


def network(width: int) -> nk.Layer:
    """Two hidden layers."""
    hidden = nk.Dense(width, w_std=1.5) >> nk.Erf()
    return hidden >> hidden >> nk.Dense(1)


def sweep() -> None:
    """The product of two signs, from 40 points in three dimensions."""
    x = np.random.default_rng(0).normal(size=(60, 3))
    y = np.sign(x[:, :1] * x[:, 1:2])
    net = network(64)
    params, _ = net.init(jax.random.key(1), (3,))
    params = jax.tree.map(lambda p: np.asarray(p, np.float64), params)
    centred, rows = nk.finite.centre(net.apply, params), []
    for alpha in ALPHAS:
        f = nk.finite.scale(centred, alpha)
        run = nk.finite.train(f, params, x[:40], y[:40], steps=STEPS, learning_rate=RATE / alpha**2)
        seen = nk.finite.observe(f, params, run.params, x[:40], y[:40], x_test=x[40:], y_test=y[40:])
        rows.append({"alpha": alpha, **regime_report(seen)._asdict()})
        print(rows[-1], flush=True)
    distances, verdicts = ([row[name] for row in rows] for name in ("kernel_distance", "verdict"))
    falls = bool((np.diff(distances) < 0).all())
    record.write(
        "alpha_sweep",
        {
            "required": "the kernel distance falls monotonically, and the verdict flips",
            "reached": [falls, verdicts],
            "holds": falls and verdicts[0] == "rich" and verdicts[-1] == "lazy",
            "rows": rows,
        },
    )


def trajectories() -> None:
    """Outputs, kernels and weights of networks of several widths after 200 steps."""
    x = np.random.default_rng(0).normal(size=(12, 10)).astype("f")
    found = trajectory_study(
        network, (64, 128, 256, 512, 1024), x, np.sin(x[:, :1]), steps=200, learning_rate=0.5, seeds=6
    )
    record.write(
        "trajectories",
        {
            "widths": found.widths.tolist(),
            **{
                name: getattr(found, name).mean(axis=1).tolist()
                for name in ("distance", "kernel_change", "movement")
            },
            **{
                name: getattr(found, name)._asdict()
                for name in ("distance_rate", "kernel_change_rate", "movement_rate")
            },
        },
    )


if __name__ == "__main__":
    sweep()
    trajectories()

"""Computes and draws the figures of the page "Wide networks": `python docs/widths.py`, some minutes on two cores.

Three questions, each over widths and random initial weights: how far the empirical tangent kernel is from the infinite
one, how far it moves in training, and how far the network's outputs get from those of its linearisation.
"""

import json
import pathlib

import jax
import numpy as np
import plotly.graph_objects as go
from picture import picture

import ntkit as nk

HERE = pathlib.Path(__file__).resolve().parent
WIDTHS = (64, 128, 256, 512, 1024, 2048, 4096)
SEEDS = 8
STEPS, RATE = 200, 0.5


def network(width: int) -> nk.Layer:
    """Two hidden layers."""
    hidden = nk.Dense(width, w_std=1.5, b_std=0.1) >> nk.Erf()
    return nk.Serial((*hidden.layers, *hidden.layers, nk.Dense(1)))


def data() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Training inputs and targets, and test inputs: a circle in ten dimensions."""
    generator = np.random.default_rng(0)
    plane = np.linalg.qr(generator.normal(size=(10, 2)))[0].T
    angles = np.linspace(0, 2 * np.pi, 12, endpoint=False)
    circle = np.stack([np.cos(angles), np.sin(angles)], axis=1) @ plane * 10**0.5
    return circle.astype("f"), np.sin(2 * angles)[:, None].astype("f"), np.roll(circle, 1, axis=0).astype("f")


def measured(width: int, seed: int) -> dict[str, float]:
    """The three distances of one network, relative."""
    net, (x, y, _) = network(width), data()
    params, _ = net.init(jax.random.key(seed), x.shape[1:])
    rates, infinite = net.rates(params), nk.ntk(net, x)

    def kernel(p, inputs):
        return nk.finite.empirical.ntk(net.apply, p, inputs, form="trace", rates=rates)

    how = {"steps": STEPS, "learning_rate": RATE, "rates": rates, "record": [STEPS]}
    real = nk.finite.train(net.apply, params, x, y, **how, kernel=kernel, kernels_at=[0, STEPS])
    linear = nk.finite.train(nk.finite.linearize(net.apply, params), params, x, y, **how)
    start, end = real.kernels
    return {
        "kernel": _relative(start, infinite),
        "movement": _relative(end, start),
        "trajectory": _relative(real.outputs["train"][-1], linear.outputs["train"][-1]),
    }


def _relative(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.linalg.norm(a - b) / np.linalg.norm(b))


def slope(values: np.ndarray) -> tuple[float, float]:
    """The fitted exponent of the width, (widths, seeds), and its standard error over seeds."""
    t = np.log(WIDTHS) - np.mean(np.log(WIDTHS))
    fits = t @ np.log(values) / (t @ t)
    return float(fits.mean()), float(fits.std(ddof=1) / len(fits) ** 0.5)


TITLES = {
    "kernel": "Distance of the tangent kernel from the infinite one",
    "movement": "Movement of the tangent kernel in training",
    "trajectory": "Distance of the outputs from the linearisation's, after training",
}


def figure(name: str, values: np.ndarray) -> go.Figure:
    """Means over seeds with standard errors, and the fit."""
    mean, error = values.mean(1), values.std(1, ddof=1) / values.shape[1] ** 0.5
    exponent, uncertain = slope(values)
    line = np.exp(np.log(values).mean() + exponent * (np.log(WIDTHS) - np.mean(np.log(WIDTHS))))
    drawn = go.Figure(
        [
            go.Scatter(
                x=WIDTHS,
                y=line,
                mode="lines",
                name=f"width^({exponent:.2f} ± {uncertain:.2f})",
                line_color="#888888",
            ),
            go.Scatter(
                x=WIDTHS,
                y=mean,
                error_y={"array": error},
                mode="markers",
                name=f"{values.shape[1]} networks each",
                marker_color="#1f5fa8",
            ),
        ]
    )
    drawn.update_xaxes(type="log", title="width", tickvals=WIDTHS)
    drawn.update_yaxes(type="log", title="relative distance")
    return drawn.update_layout(
        title=TITLES[name],
        template="plotly_white",
        width=760,
        height=420,
        legend={"x": 0.99, "y": 0.99, "xanchor": "right"},
    )


def main() -> None:
    """Measure, draw, and print the exponents."""
    found = {name: np.empty((len(WIDTHS), SEEDS)) for name in TITLES}
    for i, width in enumerate(WIDTHS):
        for seed in range(SEEDS):
            for name, value in measured(width, seed).items():
                found[name][i, seed] = value
    for name, values in found.items():
        picture(figure(name, values), HERE / "images" / f"widths-{name}.png")
    fits = {name: [round(v, 3) for v in slope(values)] for name, values in found.items()}
    means = {name: values.mean(1).round(5).tolist() for name, values in found.items()}
    print(json.dumps({"widths": WIDTHS, "seeds": SEEDS, "exponents": fits, "means": means}, indent=2))


if __name__ == "__main__":
    main()

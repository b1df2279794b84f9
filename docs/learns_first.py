"""Computes and draws the figures of the page "What a wide network learns first".

`python docs/learns_first.py`, two minutes on two cores.
"""

import json
import pathlib

import jax
import numpy as np
import plotly.graph_objects as go
from picture import picture
from plotly.subplots import make_subplots

import ntkit as nk

HERE = pathlib.Path(__file__).resolve().parent
HARMONICS = (1, 2, 3, 4, 5, 6)
COLOURS = ("#1f5fa8", "#1d8a7b", "#8a6d1d", "#d9661f", "#a81f5f", "#6a1fa8")
POINTS, WIDTH, STEPS, NOISE = 64, 2048, 4000, 0.5


def network(width: int) -> nk.Layer:
    """Two hidden layers."""
    return (
        nk.Dense(width, w_std=2**0.5, b_std=0.1)
        >> nk.Relu()
        >> nk.Dense(width, w_std=2**0.5, b_std=0.1)
        >> nk.Relu()
        >> nk.Dense(1)
    )


def circle(points: int) -> tuple[np.ndarray, np.ndarray]:
    """Angles, and the points of the plane at them."""
    angles = 2 * np.pi * np.arange(points) / points
    return angles, np.stack([np.cos(angles), np.sin(angles)], axis=1)


def parts(outputs: np.ndarray, angles: np.ndarray) -> np.ndarray:
    """How much of each harmonic outputs hold, (…, harmonics)."""
    waves = np.stack([np.sin(h * angles) for h in HARMONICS], axis=1)
    return outputs @ waves * (2 / len(angles))


def learnt() -> go.Figure:
    """Each harmonic over time: predicted, and in a network that is trained on the sum of all."""
    angles, x = circle(POINTS)
    y = np.sin(np.outer(HARMONICS, angles)).sum(axis=0)
    curve = nk.predict.gradient_flow(nk.ntk(network(1), x), y)
    rate = 0.5 * nk.predict.largest_learning_rate(curve.eigen)
    net = network(WIDTH)
    params, _ = net.init(jax.random.key(0), (2,))
    real = nk.finite.train(
        net.apply, params, x.astype("f"), y[:, None].astype("f"), steps=STEPS, learning_rate=rate,
        rates=net.rates(params),
    )  # fmt: skip
    times = np.geomspace(rate, rate * STEPS, 100)
    predicted = parts(curve.train(times), angles)
    outputs = real.outputs["train"][..., 0]
    measured = parts(outputs - outputs[0], angles) / (1 - parts(outputs[0], angles))
    drawn = go.Figure()
    for i, (harmonic, colour) in enumerate(zip(HARMONICS, COLOURS, strict=True)):
        drawn.add_scatter(
            x=times, y=predicted[:, i], mode="lines", line_color=colour, name=f"sin {harmonic}φ"
        )
        drawn.add_scatter(
            x=real.steps[1:] * rate, y=measured[1:, i], mode="markers", marker_color=colour, showlegend=False
        )
    drawn.update_xaxes(type="log", title="training time t")
    drawn.update_yaxes(title="part that is learnt", tickformat="~%", range=[-0.05, 1.1])
    print(
        json.dumps(
            {
                "width": WIDTH,
                "largest_distance": float(
                    np.abs(measured[1:] - _at(curve, real.steps[1:] * rate, angles)).max()
                ),
            }
        )
    )
    return drawn.update_layout(
        title=f"Harmonics of a circle: lines are predicted, dots a network of width {WIDTH}",
        template="plotly_white", width=760, height=420,
    )  # fmt: skip


def _at(curve: nk.predict.TrainingCurve, times: np.ndarray, angles: np.ndarray) -> np.ndarray:
    return parts(curve.train(times), angles)


def stopped() -> go.Figure:
    """A noisy target before, at and after the time that cross-validation chooses."""
    angles, x = circle(POINTS)
    truth = np.sin(angles) + 0.5 * np.sin(2 * angles)
    y = truth + NOISE * np.random.default_rng(0).normal(size=POINTS)
    fine, x_fine = circle(400)
    k = nk.ntk(network(1), x)
    stop = nk.analysis.early_stopping(k, y)
    curve, cross = nk.predict.gradient_flow(k, y), nk.ntk(network(1), x_fine, x)
    times = [stop.time / 30, stop.time, stop.time * 1000]
    titles = [f"t = {time:.3g}{what}" for time, what in zip(times, ("", ", chosen", ""), strict=True)]
    drawn = make_subplots(rows=1, cols=3, subplot_titles=titles, shared_yaxes=True)
    for column, time in enumerate(times, start=1):
        first = column == 1
        drawn.add_scatter(
            x=angles, y=y, mode="markers", marker={"color": "#999999", "size": 4}, name="data",
            row=1, col=column, showlegend=first,
        )  # fmt: skip
        drawn.add_scatter(
            x=fine, y=np.sin(fine) + 0.5 * np.sin(2 * fine), mode="lines", name="truth",
            line={"color": "#999999", "dash": "dot"}, row=1, col=column, showlegend=first,
        )  # fmt: skip
        drawn.add_scatter(
            x=fine, y=curve.test(time, cross), mode="lines", line_color="#1f5fa8", name="network",
            row=1, col=column, showlegend=first,
        )  # fmt: skip
    losses = nk.predict.squared_loss(curve.test([*times, np.inf], nk.ntk(network(1), x)), truth)
    print(json.dumps({"times": times, "distance_from_the_truth": losses.round(4).tolist()}))
    drawn.update_xaxes(title="φ")
    return drawn.update_layout(
        template="plotly_white",
        width=760,
        height=380,
        margin={"t": 50},
        legend={"orientation": "h", "y": -0.25},
    )


if __name__ == "__main__":
    picture(learnt(), HERE / "images" / "learns-first-harmonics.png")
    picture(stopped(), HERE / "images" / "learns-first-stopping.png")

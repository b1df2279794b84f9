"""The figures of training beyond one network and one loss: cross-entropy, and how far networks scatter."""

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from ntkit.study.report.panel import Panel, Results
from ntkit.study.report.style import FAINT, NNGP, NTK, line, logarithmic, styled
from ntkit.study.words import number, percent, score_text

COLOURS = {"squared": NTK, "cross_entropy": NNGP}
NAMES = {"squared": "squared loss", "cross_entropy": "cross-entropy"}
BAND = "rgba(34, 87, 168, 0.16)"


def losses(results: Results) -> Panel:
    """Accuracy over training time on both losses, and the cross-entropy."""
    found = results["cross_entropy"]
    figure = make_subplots(
        rows=1, cols=2, subplot_titles=("accuracy", "cross-entropy, trained on it"), horizontal_spacing=0.11
    )
    for loss, name in NAMES.items():
        for part, dash in (("train", "dot"), ("test", "solid")):
            label = f"{name}, {'training' if part == 'train' else 'test'} rows"
            trace = line(found["time"], found[f"{loss}_{part}_score"], label, COLOURS[loss], dash=dash)
            figure.add_trace(trace, 1, 1)
    for part, dash in (("train", "dot"), ("test", "solid")):
        trace = line(
            found["time"], found[f"{part}_loss"], part, COLOURS["cross_entropy"], dash=dash, showlegend=False
        )
        figure.add_trace(trace, 1, 2)
    figure = styled(figure, height=420, legend={"y": 1.1})
    figure.update_xaxes(**logarithmic(found["time"], "training time t"))
    figure.update_yaxes(tickformat="~%", row=1, col=1)
    figure.update_yaxes(**logarithmic(found["train_loss"] + found["test_loss"]), row=1, col=2)
    best = {loss: max(found[f"{loss}_test_score"]) for loss in NAMES}
    see = (
        f"The best test accuracy along the way is {score_text(results, best['squared'])} on the squared loss and "
        f"{score_text(results, best['cross_entropy'])} on cross-entropy, whose test value is lowest, "
        f"{number(found['best_loss'])}, at t = {number(found['best_time'])}; "
        "on training data it has no least one, and outputs grow for ever, as the logarithm of t."
    )
    return Panel("losses", "Does the loss make a difference?", see, figure)


def scatter(results: Results) -> Panel:
    """Mean and twice the standard deviation over initial weights, at three test rows."""
    found = results["scatter"]
    figure = make_subplots(
        rows=1,
        cols=3,
        subplot_titles=[f"row {row['row']}" for row in found["rows"]],
        horizontal_spacing=0.06,
    )
    for column, row in enumerate(found["rows"], start=1):
        low, high = (
            [m + sign * d for m, d in zip(row["mean"], row["deviation"], strict=True)] for sign in (-2, 2)
        )
        first = column == 1
        edge = {"mode": "lines", "line": {"width": 0}, "hoverinfo": "skip"}
        figure.add_trace(go.Scatter(x=found["time"], y=low, showlegend=False, **edge), 1, column)
        band = go.Scatter(
            x=found["time"], y=high, fill="tonexty", fillcolor=BAND, name="± 2 standard deviations",
            showlegend=first, **edge,
        )  # fmt: skip
        figure.add_trace(band, 1, column)
        figure.add_trace(
            line(found["time"], row["mean"], "mean of networks", NTK, showlegend=first), 1, column
        )
        ends = [found["time"][0], found["time"][-1]]
        truth = line(ends, [row["truth"]] * 2, "truth", FAINT, dash="dash", showlegend=first)
        figure.add_trace(truth, 1, column)
    figure = styled(figure, height=380, legend={"y": 1.1})
    figure.update_xaxes(**logarithmic(found["time"], "training time t"))
    kept = found["mean_deviation_end"] / max(found["mean_deviation_start"], 1e-300)
    what = "output of the true class" if results["score"]["id"] == "accuracy" else "prediction"
    see = (
        f"Each band holds the {what} of 95 of 100 networks that differ in their initial weights alone, at the test rows of "
        f"least, median and largest scatter: training leaves {percent(kept)} of the standard deviation "
        "that outputs have before it."
    )
    return Panel("scatter", "How far do networks differ from one another?", see, figure)

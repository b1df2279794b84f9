"""The figures of training over time: of the infinite network, and of a finite one beside it."""

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from ntkit.study.report.panel import Panel, Results
from ntkit.study.report.style import FINITE, NTK, dots, line, logarithmic, styled
from ntkit.study.words import number, percent, score_text


def _loss_and_score(results: Results) -> go.Figure:
    return make_subplots(
        rows=1, cols=2, subplot_titles=("squared loss", results["score"]["name"]), horizontal_spacing=0.11
    )


def _time_axes(results: Results, figure: go.Figure, times: list[float], losses: list[float]) -> go.Figure:
    figure = styled(figure, height=400, legend={"y": 1.1})
    figure.update_xaxes(**logarithmic(times, "training time t"))
    figure.update_yaxes(**logarithmic(losses), row=1, col=1)
    if results["score"]["id"] == "accuracy":
        figure.update_yaxes(tickformat="~%", row=1, col=2)
    return figure


def curves(results: Results) -> Panel:
    """Loss and score over training time, as gradient flow on the infinite network gives them."""
    found = results["curves"]
    figure = _loss_and_score(results)
    for column, what in ((1, "loss"), (2, "score")):
        for part, dash, label in (("train", "dot", "training rows"), ("test", "solid", "test rows")):
            trace = line(
                found["time"], found[f"{part}_{what}"], label, NTK, dash=dash, showlegend=column == 1
            )
            figure.add_trace(trace, 1, column)
    figure = _time_axes(results, figure, found["time"], found["train_loss"] + found["test_loss"])
    end = "convergence" if found["converged"] else "the last time shown"
    if found["early_stopping_gain"] > 0.01:
        see = (
            f"The test loss is lowest at t = {number(found['best_time'])}: stopping there leaves "
            f"{number(found['best_loss'])} instead of {number(found['last_loss'])} at {end}, "
            f"{percent(found['early_stopping_gain'])} less{_score_at_best(results)}."
        )
    else:
        see = (
            f"At {end} the test loss is {number(found['last_loss'])} and the test {results['score']['name']} "
            f"{score_text(results, found['last_score'])}: stopping early would lower that loss by less than 1 %."
        )
    return Panel("curves", "What happens during training?", see, figure)


def _score_at_best(results: Results) -> str:
    """A warning where the loss is lowest and yet the score is worse than at the end."""
    best, last = results["curves"]["best_score"], results["curves"]["last_score"]
    worse = best < last if results["score"]["higher_is_better"] else best > last
    if not worse:
        return ""
    texts = [score_text(results, value) for value in (best, last)]
    return f" (while the {results['score']['name']} goes the other way, from {texts[0]} there to {texts[1]})"


def finite(results: Results) -> Panel:
    """A trained finite network, and what the infinite one predicts for it."""
    found = results["finite"]
    figure = _loss_and_score(results)
    for column, what in ((1, "loss"), (2, "score")):
        for part, dash, label in (("train", "dot", "training"), ("test", "solid", "test")):
            first = column == 1
            measured, predicted = found[f"{part}_{what}"], found[f"predicted_{part}_{what}"]
            figure.add_trace(
                line(found["time"], predicted, f"predicted, {label}", NTK, dash=dash, showlegend=first),
                1,
                column,
            )
            marks = dots(
                found["time"], measured, f"network, {label}", FINITE, hollow=part == "train", showlegend=first
            )
            figure.add_trace(marks, 1, column)
    figure = _time_axes(results, figure, found["time"], found["train_loss"] + found["predicted_train_loss"])
    see = (
        f"The dots are a real network {found['width']} wide and the lines were computed without training it: after "
        f"{found['steps']} steps their test outputs differ by {percent(found['relative_distance_test'])} of the "
        "distance that training has moved them (the wider the network, the smaller the difference)."
    )
    return Panel("finite", "Does a real network do the same?", see, figure)

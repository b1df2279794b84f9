"""The figures that show how good the predictions are and where they fail."""

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from ntkit.study.report.panel import Panel, Results
from ntkit.study.report.style import FAINT, KIND, NNGP, NTK, line, styled
from ntkit.study.words import number, percent, score_text

COLUMNS = 6  # of sample images


def scores(results: Results) -> Panel:
    """The test score of every method whose score is determined."""
    accuracy = results["score"]["id"] == "accuracy"
    determined = [m for m in results["methods"] if m["determined"]]
    methods = sorted(determined, key=lambda m: m["test"]["score"], reverse=not accuracy)
    figure = go.Figure()
    for kind, label in (
        ("infinite", "infinite network"),
        ("finite", "finite network"),
        ("baseline", "scikit-learn"),
    ):
        chosen = [m for m in methods if m["kind"] == kind]
        if not chosen:
            continue
        errors = [m["test"]["standard_error"] for m in chosen]
        figure.add_scatter(
            x=[m["test"]["score"] for m in chosen],
            y=[m["name"] for m in chosen],
            error_x={"array": errors, "thickness": 1.4, "width": 0, "color": KIND[kind]},
            mode="markers",
            marker={"size": 11, "color": KIND[kind]},
            name=label,
            customdata=[[score_text(results, m[part]["score"]) for part in ("test", "train")] for m in chosen],
            hovertemplate="%{y}<br>test %{customdata[0]}<br>training %{customdata[1]}<extra></extra>",
        )  # fmt: skip
    order = [m["name"] for m in methods]
    figure = styled(figure, height=130 + 38 * len(methods))
    figure.update_yaxes(
        categoryorder="array", categoryarray=order, showline=False, ticks="", tickfont={"size": 13}
    )
    figure.update_xaxes(title_text=results["score"]["axis"], tickformat="~%" if accuracy else None)
    lead = next(m for m in methods if m["id"] == results["lead"])
    how = "trained to convergence" if lead["id"] == "ntk" else "with a ridge"
    left_out = " (convergence is left out: the singular kernel does not determine it)"
    see = (
        f"Further {'right' if accuracy else 'left'} is better: on rows it has never seen, the infinite network {how} "
        f"reaches {score_text(results, lead['test']['score'])}, {_compared(results, lead, methods[-1])}; bars are one "
        f"standard error{left_out if lead['id'] != 'ntk' else ''}."
    )
    return Panel("scores", "How good are the predictions?", see, figure)


def _compared(results: Results, lead: Results, best: Results) -> str:
    """How the leading method compares with the best; differences within one standard error say nothing."""
    behind = abs(best["test"]["score"] - lead["test"]["score"])
    if behind > max(lead["test"]["standard_error"], best["test"]["standard_error"]):
        return f"and the best, {best['name']}, {score_text(results, best['test']['score'])}"
    return "and no method is better by more than one standard error"


def outcome(results: Results) -> Panel:
    """Which test examples are right: a confusion matrix, or predictions with their uncertainty against the truth."""
    return _confusion(results) if results["data"]["task"] == "classification" else _scatter(results)


def _confusion(results: Results) -> Panel:
    table = np.array(results["outcome"]["confusion"])
    names = results["data"]["classes"]
    share = table / np.maximum(1, table.sum(axis=1, keepdims=True))
    figure = go.Figure(
        go.Heatmap(
            z=share.tolist(),
            x=names,
            y=names,
            text=[[str(c) if c else "" for c in row] for row in table],
            texttemplate="%{text}",
            colorscale=[[0, "#f6f8fb"], [0.02, "#dbe6f5"], [1, NTK]],
            showscale=False,
            xgap=2,
            ygap=2,
            hovertemplate="true %{y}, predicted %{x}: %{text}<extra></extra>",
        )
    )
    figure = styled(figure, height=min(640, 170 + 36 * len(names)))
    figure.update_xaxes(title_text="predicted class", type="category", showline=False, ticks="")
    figure.update_yaxes(
        title_text="true class", type="category", autorange="reversed", showline=False, ticks=""
    )
    wrong = table - np.diag(np.diag(table))
    name = next(m["name"] for m in results["methods"] if m["id"] == results["lead"])
    see = f"Each row is a true class and the diagonal counts the {int(np.trace(table))} test rows of which {name} is right"
    i, j = np.unravel_index(int(np.argmax(wrong)), wrong.shape)
    if wrong.sum() == 0:
        see += ": there is no error."
    elif wrong[i, j] == 1:
        see += (
            f"; no two of the {int(wrong.sum())} errors are alike."
            if wrong.sum() > 1
            else "; there is one error."
        )
    else:
        see += (
            f"; of the {int(wrong.sum())} errors the most frequent is {names[i]} taken for {names[j]} "
            f"({int(wrong[i, j])} times)."
        )
    return Panel("outcome", "Where is it wrong?", see, figure)


def _scatter(results: Results) -> Panel:
    found = results["outcome"]
    truth, mean, deviation = (np.array(found[k]) for k in ("truth", "mean", "deviation"))
    ends = [float(min(truth.min(), mean.min())), float(max(truth.max(), mean.max()))]
    figure = go.Figure(line(ends, ends, "exact", FAINT, dash="dot", hoverinfo="skip"))
    figure.add_scatter(
        x=truth.tolist(),
        y=mean.tolist(),
        error_y={
            "array": (1.96 * deviation).tolist(),
            "thickness": 1,
            "width": 0,
            "color": "rgba(29,138,123,0.3)",
        },
        mode="markers",
        marker={"size": 7, "color": NNGP},
        name="posterior mean and 95 % interval",
        hovertemplate="true %{x:,.4r}<br>predicted %{y:,.4r} ± %{error_y.array:,.2r}<extra></extra>",
    )
    figure = styled(figure, height=460)
    figure.update_xaxes(title_text=f"true {results['data']['target']}")
    figure.update_yaxes(title_text=f"predicted {results['data']['target']}")
    see = (
        f"A perfect prediction lies on the dotted line; the Bayesian network's 95 % intervals hold the truth for "
        f"{percent(found['coverage'])} of the {len(truth)} test rows."
    )
    return Panel("outcome", "Where is it wrong, and does it know?", see, figure)


def samples(results: Results) -> Panel:
    """Test images, those that are taken for another class first."""
    found = results["samples"]
    titles = [
        said if said == true else f"<b>{said}</b>, is {true}"
        for said, true in zip(found["predicted"], found["true"], strict=True)
    ]
    rows = -(-len(titles) // COLUMNS)
    figure = make_subplots(
        rows=rows, cols=COLUMNS, subplot_titles=titles, horizontal_spacing=0.02, vertical_spacing=0.12
    )
    for place, image in enumerate(found["images"]):
        figure.add_trace(go.Image(z=image, hoverinfo="skip"), place // COLUMNS + 1, place % COLUMNS + 1)
    figure = styled(figure, height=60 + 160 * rows, margin={"l": 0, "r": 0, "t": 30, "b": 10})
    figure.update_xaxes(visible=False, constrain="domain")
    figure.update_yaxes(visible=False, constrain="domain")
    wrong = sum(said != true for said, true in zip(found["predicted"], found["true"], strict=True))
    marked = "Each image carries" if wrong == len(titles) else f"The first {wrong} images carry"
    see = f"{marked} the network's wrong answer in bold and then the true one: would you have made these mistakes?"
    if wrong == 0:
        see = "The network answers all of these test images right."
    return Panel(
        "samples",
        "What do the mistakes look like?" if wrong else "What do the examples look like?",
        see,
        figure,
    )


def data(results: Results) -> Panel:
    """How many rows of every class, or the distribution of the targets."""
    facts = results["data"]
    figure = go.Figure()
    for part, color in (("train", NTK), ("test", NNGP)):
        label = {"train": "training", "test": "test"}[part]
        if facts["task"] == "classification":
            figure.add_bar(x=facts["classes"], y=facts[f"counts_{part}"], name=label, marker_color=color)
        else:
            figure.add_bar(x=facts["bins"], y=facts[f"counts_{part}"], name=label, marker_color=color)
    figure = styled(figure, height=320, barmode="group", bargap=0.25)
    figure.update_yaxes(title_text="rows")
    if facts["task"] == "classification":
        figure.update_xaxes(title_text=facts["target"], type="category")
        least, most = min(facts["counts_train"]), max(facts["counts_train"])
        each = f"between {least:,} and {most:,}" if least < most else f"{most:,}"
        see = (
            f"The {facts['n_train']:,} training and {facts['n_test']:,} test rows hold the {len(facts['classes'])} "
            f"classes in about the same proportions, with {each} training rows each."
        )
    else:
        figure.update_xaxes(title_text=facts["target"])
        see = (
            f"The {facts['n_train']:,} training and {facts['n_test']:,} test rows cover the same range of targets, "
            f"{number(facts['target_range'][0])} to {number(facts['target_range'][1])}."
        )
    return Panel("data", "What is there to learn?", see, figure)

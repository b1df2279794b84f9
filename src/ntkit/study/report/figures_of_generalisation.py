"""The figure of generalisation: the learning curve, and estimates of the risk beside the test loss."""

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from ntkit.study.report.panel import Panel, Results
from ntkit.study.report.style import BASELINE, FINITE, NNGP, NTK, line, logarithmic, styled
from ntkit.study.words import number


def generalisation(results: Results) -> Panel:
    """Expected and measured losses over training rows; leave-one-out, KARE and the test loss over ridges."""
    found = results["generalisation"]
    curve, risk = found["learning_curve"], found["risk"]
    figure = make_subplots(
        rows=1,
        cols=2,
        subplot_titles=("loss over all training rows", "loss on unseen rows"),
        horizontal_spacing=0.11,
    )
    figure.add_trace(line(curve["n"], curve["expected"], "expected from the kernel", NTK), 1, 1)
    marks = go.Scatter(
        x=curve["measured_n"],
        y=curve["measured"],
        error_y={"array": curve["deviation"], "color": FINITE},
        mode="markers",
        marker={"color": FINITE, "size": 7},
        name=f"measured, {curve['draws']} draws",
    )
    figure.add_trace(marks, 1, 1)
    for name, label, color, dash in (
        ("test", "measured on test rows", BASELINE, "solid"),
        ("leave_one_out", "leave-one-out", NTK, "dash"),
        ("kare", "KARE", NNGP, "dot"),
    ):
        figure.add_trace(line(risk["ridge"], risk[name], label, color, dash=dash), 1, 2)
    figure = styled(figure, height=400, legend={"y": 1.1})
    figure.update_xaxes(**logarithmic(curve["n"], "training rows drawn"), row=1, col=1)
    figure.update_yaxes(**logarithmic(curve["expected"] + curve["measured"]), row=1, col=1)
    figure.update_xaxes(**logarithmic(risk["ridge"], "ridge λ"), row=1, col=2)
    figure.update_yaxes(**logarithmic(risk["test"] + risk["leave_one_out"] + risk["kare"]), row=1, col=2)
    last = curve["measured_n"][-1]
    expected = curve["expected"][curve["n"].index(last)]
    see = (
        f"Left, from the kernel of all training rows a loss of {number(expected)} is expected after drawing {last:,} of them, "
        f"and {number(curve['measured'][-1])} is measured; right, both estimates use training rows alone and ought to be "
        "least where the test loss is."
    )
    return Panel("generalisation", "Will more data help, and can the error be known beforehand?", see, figure)

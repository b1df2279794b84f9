"""The figures of the kernel: its entries, its spectrum, and the ridge."""

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from ntkit.study.report.panel import Panel, Results
from ntkit.study.report.style import BASELINE, FAINT, FINITE, NNGP, NTK, line, logarithmic, styled
from ntkit.study.words import number


def kernel(results: Results) -> Panel:
    """The NTK between training rows, sorted by their target."""
    picture = results["picture"]
    figure = go.Figure(
        go.Heatmap(
            z=picture["correlation"],
            text=[[f"{a} and {b}" for b in picture["labels"]] for a in picture["labels"]],
            hovertemplate="%{text}: %{z:.3f}<extra></extra>",
            colorscale=[[0, "#ffffff"], [0.35, "#cfdff2"], [0.7, "#5d92d1"], [1, "#12315f"]],
            colorbar={
                "title": {"text": "similarity", "side": "top", "font": {"size": 13}},
                "orientation": "h",
                "thickness": 10,
                "outlinewidth": 0,
                "len": 0.45,
                "y": 1.01,
                "yanchor": "bottom",
                "tickfont": {"size": 12, "color": FAINT},
            },
        )
    )
    figure = styled(figure, height=620, margin={"l": 64, "r": 16, "t": 70, "b": 30})
    ticks = {
        "tickvals": picture["tick_positions"],
        "ticktext": picture["tick_labels"],
        "ticks": "",
        "showline": False,
    }
    figure.update_xaxes(**ticks, constrain="domain")
    figure.update_yaxes(**ticks, autorange="reversed", scaleanchor="x", constrain="domain")
    if results["data"]["task"] == "classification":
        see = (
            "Darker squares along the diagonal mean that examples of one class look alike to the network: the mean "
            f"similarity is {number(picture['mean_near'])} within a class and {number(picture['mean_far'])} between "
            "classes."
        )
    else:
        figure.update_xaxes(title_text=results["data"]["target"])
        figure.update_yaxes(title_text=results["data"]["target"])
        see = (
            "Rows run from the smallest target to the largest, so a darker band along the diagonal means that rows "
            "with similar targets look alike to the network (mean similarity "
            f"{number(picture['mean_near'])} among the closest tenth, {number(picture['mean_far'])} over all pairs)."
        )
    return Panel("kernel", "Which examples look alike to the network?", see, figure)


def spectrum(results: Results) -> Panel:
    """Eigenvalues of the NTK, and how the targets spread over its eigenvectors."""
    found = results["spectrum"]
    modes = list(range(1, len(found["eigenvalues"]) + 1))
    figure = make_subplots(rows=2, cols=1, shared_xaxes=True, vertical_spacing=0.1, row_heights=[0.45, 0.55])
    figure.add_trace(line(modes, found["eigenvalues"], "eigenvalue of the NTK", NTK), 1, 1)
    figure.add_trace(
        line(modes, found["eigenvalues_nngp"], "eigenvalue of the NNGP kernel", NNGP, dash="dash"), 1, 1
    )
    figure.add_trace(
        line(modes, found["cumulative_power"], "share of the targets in the first modes", FINITE), 2, 1
    )
    figure.add_trace(
        line(modes, found["cumulative_trace"], "share of the NTK's trace", BASELINE, dash="dot"), 2, 1
    )
    figure = styled(figure, height=520)
    figure.update_xaxes(**logarithmic(modes))
    figure.update_xaxes(title_text="mode, from the fastest to the slowest", row=2, col=1)
    shown = [
        v for v in found["eigenvalues"] + found["eigenvalues_nngp"] if v > 1e-14 * found["eigenvalues"][0]
    ]
    figure.update_yaxes(**logarithmic(shown, "eigenvalue"), row=1, col=1)
    figure.update_yaxes(title_text="share", tickformat=".0%", range=[0, 1.03], row=2, col=1)
    rank = results["kernels"]["ntk"]["rank"]
    slowest = (
        f"the slowest of these is learnt {number(found['slowdown_90'])} times more slowly than the first mode"
        if found["modes_90"] <= rank
        else f"only {rank:,} modes have eigenvalues above rounding"
    )
    see = (
        f"The earlier the orange line rises, the easier the task: the first {found['modes_90']:,} of {len(modes):,} "
        f"modes carry 90 % of the targets, and {slowest}."
    )
    return Panel("spectrum", "Is the task easy for this network?", see, figure)


def ridge(results: Results) -> Panel:
    """The leave-one-out error and the test error along the ridge."""
    path = results["ridge"]
    figure = go.Figure()
    figure.add_trace(
        line(path["ridge"], path["leave_one_out_loss"], "leave-one-out, from training rows alone", NTK)
    )
    figure.add_trace(line(path["ridge"], path["test_loss"], "test rows", NNGP, dash="dash"))
    figure.add_vline(x=path["chosen"], line={"color": FAINT, "width": 1, "dash": "dot"})
    figure = styled(figure, height=340)
    figure.update_xaxes(**logarithmic(path["ridge"], "ridge λ"))
    figure.update_yaxes(**logarithmic(path["leave_one_out_loss"] + path["test_loss"], "squared loss"))
    none = path["chosen"] == min(path["ridge"])
    choice = "asks for no smoothing at all" if none else f"chooses λ = {number(path['chosen'])} (dotted line)"
    see = (
        f"Leave-one-out, which needs no test rows, {choice}; the test loss is then "
        f"{number(path['test_loss_at_chosen'])}, and the best that any λ reaches on the test rows is "
        f"{number(min(path['test_loss']))}."
    )
    return Panel("ridge", "How much smoothing is best?", see, figure)

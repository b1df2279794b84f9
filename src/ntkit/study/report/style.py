"""Colours, fonts and axes that all figures of the report share."""

import math
from collections.abc import Iterable
from typing import Any

import plotly.graph_objects as go

INK, FAINT, GRID, PAPER = "#1f2430", "#697080", "#e6e8ec", "#ffffff"
NTK, NNGP, FINITE, BASELINE = "#2257a8", "#1d8a7b", "#d9661f", "#8b919c"
KIND = {"infinite": NTK, "finite": FINITE, "baseline": BASELINE}
FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"


def styled(figure: go.Figure, height: int = 380, **layout: Any) -> go.Figure:
    """The figure in the report's look; ``layout`` overrides it."""
    figure.update_layout(
        template="none",
        height=height,
        margin={"l": 64, "r": 16, "t": 40, "b": 56},
        font={"family": FONT, "size": 13, "color": INK},
        paper_bgcolor=PAPER,
        plot_bgcolor=PAPER,
        hoverlabel={"font": {"family": FONT, "size": 13}, "bgcolor": PAPER, "bordercolor": GRID},
        legend={"orientation": "h", "x": 0, "y": 1.02, "xanchor": "left", "yanchor": "bottom"},
    )
    axis = {
        "gridcolor": GRID,
        "zeroline": False,
        "showline": True,
        "linecolor": "#b9bec8",
        "ticks": "outside",
        "tickcolor": "#b9bec8",
        "ticklen": 4,
        "tickfont": {"color": FAINT, "size": 12},
        "automargin": True,
        "title": {"font": {"size": 13, "color": INK}, "standoff": 12},
    }
    figure.update_xaxes(**axis)
    figure.update_yaxes(**axis)
    for note in figure.layout.annotations:  # the titles of subplots
        note.font = {"family": FONT, "size": 13, "color": FAINT}
    return figure.update_layout(**layout)


def logarithmic(values: Iterable[float], title: str | None = None) -> dict[str, Any]:
    """A logarithmic axis for these values: ticks at powers of ten, or at 1, 2, 5 where they span less than two."""
    positive = [v for v in values if v > 0] or [1.0]
    low, high = math.log10(min(positive)), math.log10(max(positive))
    ticks: dict[str, Any] = {"dtick": max(1, round((high - low) / 7)), "tickfont.size": 10}
    if high - low < 2:
        ticks = {
            "tickvals": [d * 10.0**k for k in range(math.floor(low), math.ceil(high) + 1) for d in (1, 2, 5)]
        }
        ticks["ticktext"] = [f"{v:g}" for v in ticks["tickvals"]]
    text = {} if title is None else {"title.text": title}
    return {"type": "log", "exponentformat": "power", **ticks, **text}


def line(x: Any, y: Any, name: str, color: str, *, dash: str = "solid", **more: Any) -> go.Scatter:
    """A line of the report."""
    return go.Scatter(
        x=x, y=y, name=name, mode="lines", line={"color": color, "width": 2.2, "dash": dash}, **more
    )


def dots(x: Any, y: Any, name: str, color: str, *, hollow: bool = False, **more: Any) -> go.Scatter:
    """Markers of the report; hollow ones stand for training rows."""
    marker = {"color": PAPER if hollow else color, "size": 7, "line": {"color": color, "width": 1.6}}
    return go.Scatter(x=x, y=y, name=name, mode="markers", marker=marker, **more)

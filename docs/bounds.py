"""Draws the figure of true and random labels from the bench's figures: `python docs/bounds.py`."""

import json
import pathlib

import plotly.graph_objects as go
from picture import picture

HERE = pathlib.Path(__file__).resolve().parent
COLOURS = {"true": "#1f5fa8", "random": "#d9661f"}
DASHES = ("solid", "dash", "dot")


def main() -> None:
    """Bounds and losses over the number of training rows, for both kinds of labels."""
    rows = json.loads((HERE.parent / "bench" / "results" / "bounds.json").read_text())["figures"]["rows"]
    drawn = go.Figure()
    for (name, sizes), dash in zip(rows.items(), DASHES, strict=False):
        n = [row["n"] for row in sizes]
        for labels, colour in COLOURS.items():
            line = {"color": colour, "dash": dash}
            bounds, losses = ([row[labels][what] for row in sizes] for what in ("bound", "clipped_test_loss"))
            first = labels == "true"
            drawn.add_scatter(x=n, y=bounds, mode="lines+markers", line=line, name=name, showlegend=first)
            marks = {"color": colour, "symbol": "x"}
            drawn.add_scatter(x=n, y=losses, mode="markers", marker=marks, showlegend=False)
    drawn.add_hline(y=1, line={"color": "#888888", "width": 1})
    drawn.update_xaxes(title="training rows")
    drawn.update_yaxes(type="log", dtick=1, title="clipped loss")
    drawn.update_layout(
        title="Bounds (lines) and test losses (crosses): true labels blue, random ones orange",
        template="plotly_white",
        width=760,
        height=420,
        title_font_size=15,
    )
    picture(drawn, HERE / "images" / "bounds.png")


if __name__ == "__main__":
    main()

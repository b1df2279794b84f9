"""A figure of the report with its words."""

from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go

Results = dict[str, Any]


@dataclass(frozen=True)
class Panel:
    """A figure of the report.

    Args:
        id: Its anchor in the page.
        title: Its heading, a question.
        see: One sentence: what to see in it.
        figure: The figure.
    """

    id: str
    title: str
    see: str
    figure: go.Figure

"""From results to one self-contained HTML page."""

import json
from typing import Any

import jinja2
from plotly.offline import get_plotlyjs

from ntkit.study.report.figures import panels
from ntkit.study.words import number, percent, score_text

CARDS = ("ntk", "ntk_ridge", "nngp", "svm")
CHOSEN = {
    "noise_variance": "noise variance",
    "cross_validated_accuracy": "cross-validated accuracy",
    "cross_validated_r2": "cross-validated R²",
}


def render(results: dict[str, Any]) -> str:
    """The page as HTML text; plotly.js is inlined, so the page works without a network.

    Args:
        results: What `ntkit.study.run` returns, or the content of a ``results.json``.
    """
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("ntkit.study.report", "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(number=number, percent=percent)
    made = panels(results)
    methods = {method["id"]: method for method in results["methods"]}
    figures = {panel.id: json.loads(str(panel.figure.to_json())) for panel in made.values()}
    return environment.get_template("report.html.j2").render(
        results=results,
        panels=made,
        score=lambda value: score_text(results, value),
        cards=[methods[id] for id in CARDS if methods[id]["determined"]],
        chosen_names=CHOSEN,
        figures=_in_script(json.dumps(figures)),
        plotly=get_plotlyjs(),
        spec=json.dumps(results["network"]["spec"], indent=2),
    )


def _in_script(text: str) -> str:
    """JSON that may stand in a script element, whatever strings it holds."""
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")

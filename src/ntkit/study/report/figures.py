"""All figures of the report, from the results alone."""

from ntkit.study.report.figures_of_function_space import losses, scatter
from ntkit.study.report.figures_of_generalisation import generalisation
from ntkit.study.report.figures_of_kernels import kernel, ridge, spectrum
from ntkit.study.report.figures_of_predictions import data, outcome, samples, scores
from ntkit.study.report.figures_of_training import curves, finite
from ntkit.study.report.panel import Panel, Results


def panels(results: Results) -> dict[str, Panel]:
    """The figures that these results have, by their anchor, in the order of the page."""
    makers = [
        scores,
        outcome,
        samples,
        data,
        kernel,
        spectrum,
        curves,
        losses,
        scatter,
        ridge,
        generalisation,
        finite,
    ]
    absent = {
        samples: results["samples"] is None,
        losses: results["cross_entropy"] is None,
        finite: results["finite"] is None,
    }
    made = [make(results) for make in makers if not absent.get(make, False)]
    return {panel.id: panel for panel in made}

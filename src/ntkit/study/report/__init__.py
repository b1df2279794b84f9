"""The page of a study: ``render(results)`` makes one self-contained HTML text from the results alone."""

from ntkit.study.report.page import render

__all__ = ["render"]

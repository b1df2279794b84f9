"""The main job: study a data set with an infinitely wide network, and write a page about it."""

from ntkit.study.options import Options
from ntkit.study.run import run, write_study
from ntkit.study.summary import summary

__all__ = ["Options", "run", "summary", "write_study"]

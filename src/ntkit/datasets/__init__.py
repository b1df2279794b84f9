"""Data sets of a study: scikit-learn's, a CSV or Parquet file, or an ``.npz`` file."""

from ntkit.datasets.dataset import Dataset, Table
from ntkit.datasets.loading import BUILTIN, load

__all__ = ["BUILTIN", "Dataset", "Table", "load"]

"""Batches of examples that differ in size: graphs, sequences, and how either is laid out for arrays."""

from ntkit.batches.graphs import Graphs
from ntkit.batches.padded import Padded
from ntkit.batches.ragged import Ragged, check_same_kind
from ntkit.batches.sequences import Sequences

__all__ = ["Graphs", "Padded", "Ragged", "Sequences", "check_same_kind"]

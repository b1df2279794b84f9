"""How the kernel of a tile of examples is computed."""

from ntkit.engines.choice import explain
from ntkit.engines.explanation import Explanation

__all__ = ["Explanation", "explain"]

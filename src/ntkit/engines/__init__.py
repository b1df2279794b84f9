"""How the kernel of a tile of examples is computed."""

from ntkit.engines.choice import Explanation, explain

__all__ = ["Explanation", "explain"]

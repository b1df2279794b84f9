"""The tangent kernel and the training of PyTorch models; it needs PyTorch, as the extra `ntkit[torch]` says."""

from ntkit.finite.torch.kernels import ntk
from ntkit.finite.torch.observe import observe

__all__ = ["ntk", "observe"]

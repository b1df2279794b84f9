"""The tangent kernel of PyTorch models; it needs PyTorch, as the extra `ntkit[torch]` says."""

from ntkit.finite.torch.kernels import ntk

__all__ = ["ntk"]

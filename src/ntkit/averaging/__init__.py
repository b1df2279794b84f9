"""Kernels averaged over transformations of the data: what training on all transformed examples comes to."""

from ntkit.averaging.averaged import averaged
from ntkit.averaging.transformations import (
    IDENTITY,
    Transformation,
    combined,
    cyclic_translations,
    flips,
    translations,
)

__all__ = [
    "IDENTITY",
    "Transformation",
    "averaged",
    "combined",
    "cyclic_translations",
    "flips",
    "translations",
]

"""What a kernel's numbers say before anything is trained."""

from ntkit.analysis.spectrum import Spectrum, TargetPower, spectrum, target_power

__all__ = ["Spectrum", "TargetPower", "spectrum", "target_power"]

"""`Explanation`, what is said of an engine before it runs."""

import dataclasses
import math


@dataclasses.dataclass(frozen=True)
class Explanation:
    """What `explain` says.

    Attributes:
        engine: "fused", "reference" or "monte_carlo".
        why: The reason.
        seconds: About how long the kernel takes, without the time to compile; not a number where that hangs on sizes of
            examples that are not given.
        bytes_per_pair: About how much working memory a pair of examples takes with that engine; 0 where that is not known.
    """

    engine: str
    why: str
    seconds: float
    bytes_per_pair: int

    def __str__(self) -> str:
        long = "" if math.isnan(self.seconds) else f"; about {self.seconds:.2g} s"
        room = f"{self.bytes_per_pair / 2**20:.3g} MiB of working memory for a pair of examples"
        return f"{self.engine}: {self.why}{long}" + (f", {room}" if self.bytes_per_pair else "")

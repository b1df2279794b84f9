"""Which displacements a stage runs: those that the stage behind it asks for, through the pool between them."""

import dataclasses

import numpy as np

from ntkit.engines.fused import code
from ntkit.engines.fused.program import Stage, pool_matrices
from ntkit.tape import Flatten, Mix


def with_displacements(stages: list[Stage]) -> list[Stage]:
    """From the last stage to the first: which displacements are asked of it."""
    found = []
    cross: set[tuple[int, int]] = {(0, 0)}
    own: set[tuple[int, int]] = set()
    for k in reversed(range(len(stages))):
        stage = stages[k]
        if stage.end is not None:
            variances = k + 1 < len(stages)
            cross = _above(stage, cross)
            own = _above(stage, own | {(0, 0)}) if variances and isinstance(stage.end, Mix) else set()
        found.append(dataclasses.replace(stage, displacements=_array(cross), own=_array(own)))
        cross, own = _asked_above(stage, cross), _asked_above(stage, own)
    return found[::-1]


def _asked_above(stage: Stage, wanted: set[tuple[int, int]]) -> set[tuple[int, int]]:
    """The displacements of its first grid that a stage reads; one around the edge is one of two on the grid as it lies."""
    steps = stage.code[0, code.STEP_IN : code.STEP_IN + 2]
    read = {(int(y * steps[0]), int(x * steps[1])) for y, x in wanted}
    if not stage.wrap:
        return read
    height, width = stage.grid_in
    return {(y - height * j, x - width * k) for y, x in read for j in (0, 1) for k in (0, 1)}


def _array(pairs: set[tuple[int, int]]) -> np.ndarray:
    return np.array(sorted(pairs), np.int64).reshape(-1, 2)


def _above(stage: Stage, below: set[tuple[int, int]]) -> set[tuple[int, int]]:
    """The displacements of the last grid that some pair of windows with a displacement of `below` holds."""
    if isinstance(stage.end, Flatten):
        return {(0, 0)}
    assert stage.end is not None
    reach = []
    matrices = pool_matrices(stage.end)
    for axis, matrix in enumerate(matrices):
        extent, windows = stage.grid_out[axis], matrix.shape[0]
        between: dict[int, set[int]] = {}
        for e in range(-windows + 1, windows):
            found = set()
            for a in range(max(0, -e), min(windows, windows - e)):
                p, q = np.flatnonzero(matrix[a]), np.flatnonzero(matrix[a + e])
                found |= set((q[None, :] - p[:, None]).ravel().tolist())
            between.setdefault(e % windows if stage.wrap else e, set()).update(
                {f % extent for f in found} if stage.wrap else found
            )
        reach.append(between)
    return {
        (dy, dx)
        for ey, ex in below
        for dy in reach[0].get(ey % len(matrices[0]) if stage.wrap else ey, ())
        for dx in reach[1].get(ex % len(matrices[1]) if stage.wrap else ex, ())
    }

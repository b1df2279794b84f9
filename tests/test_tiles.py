"""Predictions for many test points, some at a time."""

import numpy as np
import pytest

import ntkit as nk
from ntkit.errors import InputError
from ntkit.kernels import KernelPair
from ntkit.predict import ensemble, gradient_flow, in_tiles, kernel_regression, kernel_tiles

NET = nk.Dense(8, w_std=1.5) >> nk.Relu() >> nk.Dense(1)
DRAW = np.random.default_rng(0)
X, X_TEST, Y = DRAW.normal(size=(12, 5)), DRAW.normal(size=(50, 5)), DRAW.normal(size=(12, 2))


@pytest.mark.parametrize("rows", [None, 1, 7, 50, 99])
def test_predictions_in_tiles_are_those_of_the_whole(rows, tmp_path):
    k = nk.kernel_fn(NET)
    whole, curve = k(X_TEST, X), gradient_flow(k(X).ntk, Y)
    networks, diagonal = ensemble(curve, k(X).nngp), k.diag(X_TEST).nngp
    times = [0.0, 3.0]
    files = KernelPair(
        *(np.lib.format.open_memmap(tmp_path / f"{i}.npy", "w+", float, (50, 12)) for i in (0, 1))
    )
    for file, array in zip(files, whole, strict=True):
        file[:] = array
    for kernel, points in ((k, (X_TEST, X)), (files, (None, None))):
        found = in_tiles(lambda _, pair: curve.test(times, pair.ntk), kernel, *points, axis=1, rows=rows)
        np.testing.assert_allclose(found, curve.test(times, whole.ntk), atol=1e-12)
        spread = in_tiles(
            lambda part, pair: networks.test_variance(times, pair.ntk, pair.nngp, diagonal[part]),
            kernel, *points, axis=1, rows=rows,
        )  # fmt: skip
        np.testing.assert_allclose(
            spread, networks.test_variance(times, whole.ntk, whole.nngp, diagonal), atol=1e-12
        )


def test_tiles_are_checked():
    k = nk.kernel_fn(NET)
    with pytest.raises(InputError, match="give x_test and x_train with a kernel of a network"):
        kernel_tiles(k, X_TEST)
    with pytest.raises(InputError, match="neither with a pair of arrays"):
        kernel_tiles(k(X_TEST, X), X_TEST, X)
    with pytest.raises(InputError, match="rows is 0; expected at least 1"):
        kernel_tiles(k, X_TEST, X, rows=0)
    fit = kernel_regression(k(X).ntk, Y)
    with pytest.raises(InputError, match="there is no test point"):
        in_tiles(lambda _, pair: fit.predict(pair.ntk), k, X_TEST[:0], X)

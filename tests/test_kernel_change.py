"""Kernels along training: nothing moves in a linear network, and the less the wider it is."""

import jax
import numpy as np
import pytest

import ntkit as nk
from ntkit.analysis import alignment, kernel_change, kernel_distance
from ntkit.errors import InputError

X = np.random.default_rng(0).normal(size=(12, 4)).astype("f")
Y = np.sin(X[:, :1])


def _run(width, linear=False):
    net = nk.Dense(width) >> nk.Erf() >> nk.Dense(1)
    params, _ = net.init(jax.random.key(0), (4,))
    f = nk.finite.linearize(net.apply, params) if linear else net.apply
    return nk.finite.train(
        f, params, X, Y, steps=200, learning_rate=0.5, rates=net.rates(params), kernels_at=[0, 10, 50, 200],
        kernel=lambda p, x: nk.finite.empirical.ntk(f, p, x, form="trace", rates=net.rates(p)),
    )  # fmt: skip


def _change(run):
    return kernel_change(np.asarray(run.kernels, float), run.kernels_at)


def test_a_linear_network_keeps_its_kernel():
    found = _change(_run(64, linear=True))
    np.testing.assert_allclose(found.distance, 0, atol=1e-6)
    np.testing.assert_allclose(found.relative, 0, atol=1e-5)


def test_the_wider_the_less_it_moves():
    ends = [_change(_run(width)).distance[-1] for width in (16, 128, 1024)]
    assert ends[0] > 3 * ends[1] > 9 * ends[2] > 0


def test_distances_and_velocities_are_those_of_pairs():
    kernels = np.asarray(_run(16).kernels, float)
    found = kernel_change(kernels, [0, 1, 3, 7])
    assert found.distance[0] == found.relative[0] == 0
    for i in (1, 2, 3):
        np.testing.assert_allclose(found.distance[i], 1 - alignment(kernels[0], kernels[i]), atol=1e-12)
        between = kernel_distance(kernels[i - 1], kernels[i])
        np.testing.assert_allclose(found.velocity[i - 1], between / (found.times[i] - found.times[i - 1]))
    np.testing.assert_allclose(found.scale, np.linalg.norm(kernels, axis=(1, 2)) / np.linalg.norm(kernels[0]))


def test_runs_are_checked():
    with pytest.raises(
        InputError, match=r"kernels has shape \(1, 2, 2\); expected \(t, n, n\) of at least 2"
    ):
        kernel_change([np.eye(2)], [0])
    with pytest.raises(InputError, match=r"times has shape \(2,\); expected \(2,\), rising"):
        kernel_change([np.eye(2), np.eye(2)], [1, 1])

"""Stacks of any block: the dense ones as their equations say, residual and convolutional ones as theory says of them."""

import math

import numpy as np
import pytest

import ntkit as nk
from ntkit.analysis import mode_depths, phase, stack_phase, trainability
from ntkit.errors import InputError


@pytest.mark.parametrize(("w_std", "b_std"), [(1.0, 0.3), (2.0, 0.3)])
def test_a_dense_stack_has_the_phase_of_its_equations(w_std, b_std):
    expected = phase(nk.Erf(), w_std, b_std)
    block = nk.Erf() >> nk.Dense(1, w_std, b_std)
    found = stack_phase(block, 20, variance=expected.variance)
    np.testing.assert_allclose(found.variance, expected.variance, rtol=1e-6)
    assert found.name == expected.name
    assert found.slope[0] == pytest.approx(expected.slope, rel=1e-4)
    assert found.correlation[-1] == pytest.approx(expected.correlation, abs=1e-2)


@pytest.mark.parametrize("w_std", [0.5, 1.0, 2.0])
def test_a_residual_stack_grows_and_stays_near_the_edge(w_std):
    found = stack_phase(nk.Residual(nk.Relu() >> nk.Dense(1, w_std)), 12)
    assert found.growth == pytest.approx(1 + w_std**2 / 2)
    assert found.name == "critical"
    plain = stack_phase(nk.Relu() >> nk.Dense(1, 1.0, 0.5), 12)
    assert plain.name == "ordered"


def test_a_uniform_image_goes_through_convolutions_as_a_vector_through_dense_layers():
    images = stack_phase(nk.Conv(1, 3, 1, "CIRCULAR", w_std=1.7, b_std=0.2) >> nk.Erf(), 8, (6,))
    vectors = stack_phase(nk.Dense(1, 1.7, 0.2) >> nk.Erf(), 8)
    for a, b in zip(images, vectors, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6)


@pytest.mark.parametrize("mode", [1, 2])
def test_modes_over_positions_die_out_as_told(mode):
    """The variance of a circular stack, disturbed by a wave over positions, returns at the rate of that wave."""
    extent, w, b = 8, 1.7, 0.3
    fixed = phase(nk.Erf(), w, b)
    wave = np.cos(2 * np.pi * mode * np.arange(extent) / extent)
    x = np.sqrt(np.maximum(fixed.variance * (1 + 1e-3 * wave), 0))[None, :, None]
    block = nk.Erf() >> nk.Conv(1, 3, 1, "CIRCULAR", w_std=w, b_std=b)
    stack = nk.Dense(1) >> nk.Repeat(block, 4)
    found = [np.diagonal(pair.nngp[0, 0]) for _, pair in nk.moments_by_layer(stack, x)[2::2]]
    heights = np.array([q @ wave for q in found])
    expected = math.exp(-1 / mode_depths(fixed.variance_depth, 3, extent)[mode])
    np.testing.assert_allclose(np.abs(heights[1:] / heights[:-1]), expected, rtol=1e-2)


def test_on_the_edge_the_condition_of_relu_stays_bounded():
    """Off the diagonal Θ tends to a quarter of the diagonal, so the condition of n points to (n + 3)/3."""
    found = trainability(nk.Dense(1, 2**0.5) >> nk.Relu(), [10, 100, 1000], np.eye(3))
    assert found.condition[-1] == pytest.approx(2, rel=0.02)
    assert found.correlation[-1] == pytest.approx(0.25, rel=0.02)
    assert found.size[-1] / found.size[-2] == pytest.approx(10, rel=0.02)


def test_order_and_chaos_end_at_either_extreme():
    ordered = trainability(nk.Dense(1, 1.0, 0.3) >> nk.Tanh(), [2, 8, 16, 400], np.eye(3))
    chaotic = trainability(nk.Dense(1, 3.0, 0.0) >> nk.Erf(), [2, 8, 16], np.eye(3))
    assert (np.diff(ordered.condition) > 0).all()
    assert np.isinf(ordered.condition[-1])
    assert (np.diff(chaotic.condition) <= 0).all()
    assert chaotic.condition[-1] == pytest.approx(1, abs=0.05)
    assert abs(chaotic.correlation[-1]) < 0.05


@pytest.mark.parametrize(
    ("block", "shape"),
    [
        (nk.Residual(nk.Relu() >> nk.Dense(1)), (3,)),
        (nk.Conv(1, 3, b_std=0.1) >> nk.Relu(), (4, 2)),
    ],
    ids=["residual", "convolution"],
)
def test_trainability_is_of_the_stack_itself(block, shape):
    x = np.random.default_rng(0).normal(size=(4, *shape))
    end = nk.Dense(1) if len(shape) == 1 else nk.Flatten() >> nk.Dense(1)
    k = nk.ntk(nk.Dense(1) >> block >> block >> block >> end, x)
    assert trainability(block, [3], x).condition[0] == pytest.approx(np.linalg.cond(k), rel=1e-8)


def test_wrong_stacks_are_refused():
    block = nk.Dense(1) >> nk.Relu()
    with pytest.raises(InputError, match="depth is 1"):
        stack_phase(block, 1)
    with pytest.raises(InputError, match="cannot be repeated"):
        stack_phase(nk.Conv(1, 3, padding="VALID"), 2, (8,))
    with pytest.raises(InputError, match="odd number of at most 8"):
        mode_depths(1.0, 4, 8)
    with pytest.raises(InputError, match="at least 2 rows"):
        trainability(block, [1], np.ones((1, 2)))

"""Alignment: a cosine between kernels, unchanged by what does not matter."""

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest

from ntkit.analysis import alignment, target_alignment
from ntkit.errors import InputError


def _kernel(seed, n=9, width=4):
    root = np.random.default_rng(seed).normal(size=(n, width)) + 1
    return root, root @ root.T


@hypothesis.given(st.integers(0, 10**6), st.integers(0, 10**6), st.floats(1e-6, 1e6), st.booleans())
def test_it_is_a_symmetric_cosine_that_scale_leaves_alone(one, two, scale, centred):
    (_, a), (_, b) = _kernel(one), _kernel(two)
    found = alignment(a, b, centred=centred)
    assert 0 <= found <= 1 + 1e-12
    np.testing.assert_allclose(alignment(scale * b, a, centred=centred), found, rtol=1e-9)
    np.testing.assert_allclose(alignment(a, scale * a, centred=centred), 1)


@hypothesis.given(st.integers(0, 10**6), st.integers(0, 10**6))
def test_centred_it_is_cka_of_features(one, two):
    (x, a), (z, b) = _kernel(one), _kernel(two, width=6)
    x, z = x - x.mean(axis=0), z - z.mean(axis=0)
    cka = np.linalg.norm(x.T @ z) ** 2 / np.linalg.norm(x.T @ x) / np.linalg.norm(z.T @ z)
    np.testing.assert_allclose(alignment(a, b, centred=True), cka, rtol=1e-9)
    np.testing.assert_allclose(alignment(a + 3.0, b, centred=True), cka, rtol=1e-9)


@pytest.mark.parametrize("centred", [False, True])
def test_of_targets_it_is_that_of_their_kernel(centred):
    _, k = _kernel(0)
    y = np.random.default_rng(1).normal(size=(9, 2))
    np.testing.assert_allclose(
        target_alignment(k, y, centred=centred), alignment(k, y @ y.T, centred=centred)
    )


def test_what_has_no_direction_is_refused():
    with pytest.raises(InputError, match="a kernel is zero: it has no direction"):
        alignment(np.zeros((2, 2)), np.eye(2))
    with pytest.raises(InputError, match=r"first has shape \(2, 2\) and second \(3, 3\)"):
        alignment(np.eye(2), np.eye(3))
    with pytest.raises(InputError, match=r"y has shape \(3,\); expected \(2,\)"):
        target_alignment(np.eye(2), np.ones(3))
    with pytest.raises(InputError, match="y is constant: no kernel fits that better"):
        target_alignment(np.eye(2), np.full(2, 0.3))
    with pytest.raises(InputError, match="y is zero"):
        target_alignment(np.eye(2), np.zeros(2), centred=False)

"""The risk estimator against dense algebra, and its limit without a ridge."""

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest

from ntkit.analysis import kare
from ntkit.errors import InputError


@hypothesis.given(st.integers(2, 12), st.integers(1, 3), st.floats(1e-3, 1e3), st.integers(0, 10**6))
def test_it_is_generalised_cross_validation(n, outputs, ridge, seed):
    draw = np.random.default_rng(seed)
    root, y = draw.normal(size=(n, n + 2)), draw.normal(size=(n, outputs))
    k = root @ root.T
    smoother = k @ np.linalg.inv(k + ridge * np.eye(n))
    left = np.eye(n) - smoother
    gcv = np.mean(np.sum((left @ y) ** 2, axis=1)) / 2 / (np.trace(left) / n) ** 2
    inverse = np.linalg.inv(k / n + ridge / n * np.eye(n))  # as Jacot et al. write it
    paper = np.mean(np.sum((inverse @ y) ** 2, axis=1)) / 2 / (np.trace(inverse) / n) ** 2
    np.testing.assert_allclose(kare(k, y, [ridge]), gcv, rtol=1e-7)
    np.testing.assert_allclose(paper, gcv, rtol=1e-7)


@pytest.mark.parametrize("rank", [3, 8])
def test_without_a_ridge_it_is_the_limit(rank):
    draw = np.random.default_rng(0)
    root, y = draw.normal(size=(8, rank)), draw.normal(size=8)
    found = kare(root @ root.T, y, [0.0, 1e-7])
    np.testing.assert_allclose(found[0], found[1], rtol=1e-5)


def test_what_it_is_given_is_checked():
    with pytest.raises(InputError, match="at least 2 training points; found 1"):
        kare([[1.0]], [1.0], [0.1])
    for ridges in ([], [-1.0], 0.1):
        with pytest.raises(InputError, match=r"ridges has shape .*; expected \(g,\)"):
            kare(np.eye(3), np.ones(3), ridges)

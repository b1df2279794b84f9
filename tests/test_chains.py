"""Polynomials in place of the functions between two sums: those of the closed forms, and none where they would not be."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.polynomial.polynomial import polyval

import ntkit as nk
from ntkit.engines.colours.plan import Field, plan_of
from ntkit.tape import record

X = nk.Graphs(np.ones((3, 2)), np.array([0, 3]), np.array([[0, 1], [1, 2]]), np.array([0, 2]))
POSITIVE = st.floats(0.3, 2.0)


def field_behind_a_sum(*layers: nk.Layer) -> Field:
    net = nk.Serial((nk.Aggregate(), *layers, nk.GlobalSumPool(), nk.Dense(1)))
    return plan_of(record(net, (None, 2)), [X]).fields[1]


def closed_form(s: np.ndarray, slopes: list[tuple[float, float]], weights: list[tuple[float, float]]):
    """Gap, and what tangent kernels are multiplied by, and what is added to them, of unit vectors a distance s apart."""
    v, c, factor, added = 1.0, 1 - s * s / 2, np.ones_like(s), np.zeros_like(s)
    for (right, left), (w_std, w_lr) in zip(slopes, weights, strict=True):
        added = w_std**2 * (added + w_lr * c)
        v, c, factor = (w_std**2 * x for x in (v, c, factor))
        angle, p, q = np.arccos(c / v), (right - left) ** 2, right * left
        slope = p * (math.pi - angle) / (2 * math.pi) + q
        relu = v * (np.sin(angle) + (math.pi - angle) * np.cos(angle)) / (2 * math.pi)
        v, c, factor, added = (p / 2 + q) * v, p * relu + q * c, factor * slope, added * slope
    return 2 * (v - c), factor, added


@given(st.lists(st.tuples(POSITIVE, POSITIVE, st.floats(0.0, 0.9)), min_size=1, max_size=4))
@settings(max_examples=25, deadline=None)
def test_polynomials_are_closed_forms(layers: list[tuple[float, float, float]]) -> None:
    made = [(nk.Dense(8, w, w_lr=lr), nk.LeakyRelu(slope)) for w, lr, slope in layers]
    field = field_behind_a_sum(*(layer for pair in made for layer in pair))
    s = np.linspace(0.1, 2**0.5, 60)
    exact = closed_form(s, [(1.0, slope) for _, _, slope in layers], [(w, lr) for w, lr, _ in layers])
    for dtype, tolerance in (("float32", 4e-7), ("float64", 1e-12)):
        found = field.polynomials(dtype)
        assert found is not None
        assert all(c.dtype == dtype for of_one in found for c in of_one)
        gap, factor, added = (polyval(s, np.array(c, np.float64)) for c in found)
        for a, b in zip((gap * s * s, factor, added), exact, strict=True):
            assert np.abs(a - b).max() < tolerance * np.abs(b).max()


@pytest.mark.parametrize(
    ("layers", "dtype"),
    [
        pytest.param((nk.Dense(8, 1.2), nk.Dense(8)), "float32", id="weights_alone"),
        pytest.param((nk.Dense(8, 1.2, 0.1), nk.Relu()), "float64", id="biases"),
        pytest.param((nk.Dense(8), nk.Erf()), "float64", id="not_half_lines"),
        pytest.param((nk.Dense(8), nk.Abs()) * 5, "float32", id="too_steep_for_the_degree"),
    ],
)
def test_where_there_are_none(layers: tuple[nk.Layer, ...], dtype: str) -> None:
    assert field_behind_a_sum(*layers).polynomials(dtype) is None


def test_vectors_at_obtuse_angles_have_none() -> None:
    net = nk.Aggregate() >> nk.Dense(8) >> nk.Relu() >> nk.GlobalSumPool() >> nk.Dense(1)
    data = X.with_values(X.values * [1, -1])
    assert plan_of(record(net, (None, 2)), [data]).fields[1].polynomials("float64") is None

"""Phases of deep networks against known values and against the kernels of deep networks themselves."""

import math

import numpy as np
import pytest

import ntkit as nk
from ntkit.analysis import critical, phase, phase_diagram
from ntkit.errors import InputError

X = np.array([[2.0, 0.0], [0.3, 1.1]])


@pytest.mark.parametrize(
    ("activation", "b_std", "w_variance"),
    [(nk.Relu(), 0.0, 2.0), (nk.Tanh(), 0.0, 1.0), (nk.Erf(), 0.0, math.pi / 4), (nk.LeakyRelu(0.1), 0.0, 2 / 1.01)],
    ids=repr,
)  # fmt: skip
def test_known_edges(activation, b_std, w_variance):
    assert critical(activation, b_std) ** 2 == pytest.approx(w_variance, abs=1e-6)
    assert phase(activation, w_variance**0.5).name == "critical"


@pytest.mark.parametrize("b_std", [0.1, 0.3])
@pytest.mark.parametrize("activation", [nk.Erf(), nk.Tanh()], ids=repr)
def test_on_the_edge_the_slope_is_one(activation, b_std):
    edge = critical(activation, b_std)
    assert phase(activation, edge, b_std).slope == pytest.approx(1, abs=1e-6)
    assert phase(activation, 0.99 * edge, b_std).name == "ordered"
    assert phase(activation, 1.01 * edge, b_std).name == "chaotic"


def test_the_edge_of_erf_is_that_of_its_closed_form():
    b, q = 0.3, 1.0  # E[φ²] = (2/π) asin(2q/(1 + 2q)), E[φ′²] = (4/π)/√(1 + 4q)
    for _ in range(200):
        slope = 4 / math.pi / math.sqrt(1 + 4 * q)
        q = 2 / math.pi * math.asin(2 * q / (1 + 2 * q)) / slope + b**2
    assert critical(nk.Erf(), b) ** 2 == pytest.approx(math.pi / 4 * math.sqrt(1 + 4 * q), abs=1e-6)


@pytest.mark.parametrize(("w_std", "b_std"), [(1.0, 0.3), (2.0, 0.3), (1.3, 0.0), (0.9, 0.2)])
@pytest.mark.parametrize("activation", [nk.Erf(), nk.Relu()], ids=repr)
@pytest.mark.every(3)
def test_deep_networks_end_there(activation, w_std, b_std):
    found = phase(activation, w_std, b_std)
    block = nk.Dense(2, w_std, b_std) >> activation
    ends = []
    for depth in (60, 61, 62):
        k = nk.nngp(nk.Repeat(block, depth) >> nk.Dense(1, w_std, b_std), X)
        ends.append((k[0, 0], k[0, 1] / math.sqrt(k[0, 0] * k[1, 1])))
    (q, c), (q1, c1), (_, c2) = ends
    if found.variance == 0 or math.isinf(found.variance):
        assert q1 / q == pytest.approx(found.slope, rel=1e-4)
        return
    assert q == pytest.approx(found.variance, rel=1e-6)
    assert c == pytest.approx(found.correlation, abs=1e-2)
    if abs(c1 - c) > 1e-9:
        assert math.log((c2 - c1) / (c1 - c)) == pytest.approx(-1 / found.correlation_depth, rel=1e-2)


def test_the_diagram_holds_the_slopes_of_its_phases():
    diagram = phase_diagram(nk.Erf(), [0.7, 1.5], [0.1, 0.5])
    for i, b in enumerate([0.1, 0.5]):
        for j, w in enumerate([0.7, 1.5]):
            assert diagram[i, j] == pytest.approx(phase(nk.Erf(), w, b).slope)


def test_what_has_no_phase_is_refused():
    with pytest.raises(InputError, match=r"w_std is 0; expected a positive number"):
        phase(nk.Relu(), 0)
    with pytest.raises(InputError, match="b_std is -1"):
        critical(nk.Relu(), -1.0)
    with pytest.raises(
        InputError, match=r"Relu has no edge of chaos at b_std = 0.1: no variance is a fixed point"
    ):
        critical(nk.Relu(), 0.1)
    with pytest.raises(InputError, match=r"shapes \(1,\) and \(\); expected \(w,\) above 0"):
        phase_diagram(nk.Erf(), [1.0], 0.1)

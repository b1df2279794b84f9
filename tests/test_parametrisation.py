"""The exponents of abc-parametrisations say what trained networks of growing width do."""

import numpy as np
import pytest

from ntkit.errors import InputError
from ntkit.finite import AbcMlp, Parametrisation, coordinate_check

X = np.random.default_rng(0).normal(size=(6, 5))
Y = np.sign(X[:, :1])


@pytest.mark.parametrize(
    ("name", "hidden", "r", "regime"),
    [
        ("standard", 2, 0.5, "kernel"),
        ("standard", 1, 1.5 - 0.5, "kernel"),
        ("ntk", 1, 0.5, "kernel"),
        ("ntk", 3, 0.5, "kernel"),
        ("mup", 1, 0.0, "feature learning"),
        ("mup", 3, 0.0, "feature learning"),
        ("mean_field", 1, 0.0, "feature learning"),
    ],
)
def test_the_rule(name: str, hidden: int, r: float, regime: str):
    found = Parametrisation.named(name, hidden)
    if (name, hidden) != ("standard", 1):
        assert found.r == r
    assert found.regime == regime


def test_what_is_unstable_or_trivial():
    assert Parametrisation((0, 0, 0), (0, 0.5, 0.5), 0.0).regime == "unstable"
    assert Parametrisation((0, 0.5, 0.5), (0, 0, 0), 1.0).regime == "trivial"


# Hidden layers move as n^(−r) at least for the layer that moves most; outputs of nontrivial ones do not depend on the width.
@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "hidden"), [("ntk", 1), ("ntk", 2), ("mup", 1), ("mup", 2), ("mean_field", 1)]
)
def test_widths(name: str, hidden: int):
    parametrisation = Parametrisation.named(name, hidden)
    rate = 0.5 if name == "ntk" else 0.2
    found = coordinate_check(
        parametrisation, X, Y, widths=(128, 256, 512, 1024, 2048), seeds=4, learning_rate=rate
    )
    assert max(found.slopes[:-1]) == pytest.approx(-parametrisation.r, abs=0.1)
    assert found.slopes[-1] == pytest.approx(0, abs=0.1)


def test_a_check():
    found = coordinate_check(Parametrisation.named("ntk", 1), X, Y, widths=(64, 512), seeds=3)
    assert found.slopes[0] == pytest.approx(-0.5, abs=0.15)
    assert np.all(found.errors > 0)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Parametrisation((0,), (0,), 0), "an exponent for every layer of weights"),
        (lambda: Parametrisation((0, 1), (0,), 0), "found 2 and 1"),
        (lambda: Parametrisation.named("odd", 1), "name must be one of standard, ntk, mup, mean_field"),
        (lambda: Parametrisation.named("ntk", 0), "hidden must be a whole number"),
        (lambda: Parametrisation.named("mean_field", 2), "has one hidden layer"),
        (lambda: AbcMlp(Parametrisation.named("ntk", 1), 0), "width must be a whole number"),
        (
            lambda: coordinate_check(Parametrisation.named("ntk", 1), X, Y, widths=[8]),
            "widths must hold at least two",
        ),
    ],
)
def test_refused(call, message):
    with pytest.raises(InputError, match=message):
        call()

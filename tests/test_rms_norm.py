"""RMSNorm: exact on the data, LayerNorm without a mean, and refused where the mean square is random."""

import numpy as np
import pytest

import ntkit as nk
from ntkit.errors import InputError, NoClosedFormError

WEIGHTS = {"w_std": 1.3, "b_std": 0.3, "w_lr": 0.7, "b_lr": 1.2}
RELU = nk.Relu()


def examples(*shape: int) -> np.ndarray:
    """Four examples, two of them equal, one the negative of another."""
    x = np.random.default_rng(0).normal(size=(4, *shape))
    x[1], x[2] = x[0], -x[3]
    return x


def test_rms_norm_of_the_data_is_exact():
    """Normalised data, given as data."""
    x = examples(3, 4, 2)
    for over, axes in (("channels", (3,)), ("channels_and_space", (1, 2, 3))):
        normed = x / np.sqrt(np.mean(x**2, axis=axes, keepdims=True))
        rest = nk.Conv(4, 3, **WEIGHTS) >> RELU >> nk.GlobalAvgPool() >> nk.Dense(1)
        for k, other in zip(nk.kernel(nk.RMSNorm(over) >> rest, x), nk.kernel(rest, normed), strict=True):
            np.testing.assert_allclose(k, other, rtol=1e-8)
        np.testing.assert_allclose(nk.RMSNorm(over).apply((), x), normed, rtol=1e-5)


def test_rms_norm_is_layer_norm_of_what_is_centred():
    x = examples(3, 2)
    for over in ("channels", "channels_and_space"):
        nets = [
            nk.Conv(4, 3, **WEIGHTS) >> norm >> RELU >> nk.Flatten()
            for norm in (nk.RMSNorm(over), nk.LayerNorm(over))
        ]
        for k, other in zip(*(nk.kernel(net, x) for net in nets), strict=True):
            np.testing.assert_allclose(k, other, rtol=1e-12)


@pytest.mark.slow
def test_rms_norm_behind_a_relu_undoes_its_half():
    x = examples(3)
    net = nk.Dense(4, **WEIGHTS) >> RELU >> nk.RMSNorm()
    q = np.diag(nk.nngp(nk.Dense(4, **WEIGHTS), x))
    np.testing.assert_allclose(np.diag(nk.nngp(net, x)), 1.0, rtol=1e-10)
    np.testing.assert_allclose(
        nk.ntk(net, x), nk.ntk(nk.Dense(4, **WEIGHTS) >> RELU, x) * 2 / np.sqrt(np.outer(q, q)), rtol=1e-10
    )


@pytest.mark.parametrize(
    "below",
    [nk.Dropout(0.5), nk.Sum((nk.Identity(), nk.Dense(3)))],
    ids=["masked data", "data beside weights"],
)
def test_rms_norm_by_a_random_mean_is_refused(below):
    with pytest.raises(NoClosedFormError, match="RMSNorm: a finite number of random channels lies below"):
        nk.kernel(below >> nk.RMSNorm() >> nk.Dense(4), examples(3))


def test_rms_norm_over_something_else():
    with pytest.raises(InputError, match="RMSNorm: over must be"):
        nk.RMSNorm("space")

"""Right or refused, never silently wrong: networks at the border of what second moments determine."""

import jax
import numpy as np
import pytest

import ntkit as nk
from ntkit.errors import NoClosedFormError

X = np.random.default_rng(0).standard_normal((3, 4))
SIGNAL = np.random.default_rng(1).standard_normal((3, 6, 2))

D = nk.Dense(256, w_std=1.2, b_std=0.3)
C = nk.Conv(64, 3, w_std=1.2, b_std=0.3)
OUT = nk.Dense(8, b_std=0.2)
RELU = nk.Relu()

REFUSED = {
    "activation after activation": (D >> RELU >> nk.Erf() >> OUT, X, "not Gaussian"),
    "activation on the data": (RELU >> OUT, X, "its input is the data"),
    "activation after dropout": (D >> nk.Dropout(0.5) >> RELU >> OUT, X, "not Gaussian"),
    "activation after flatten": (C >> nk.Flatten() >> RELU >> OUT, SIGNAL, "not identically distributed"),
    "activation after product": (nk.Product((D, D >> RELU)) >> RELU >> OUT, X, "not Gaussian"),
    "activation after concat of gaussians": (nk.Concat((D, D)) >> RELU >> OUT, X, "not Gaussian"),
    "activation after concat of others": (nk.Concat((D >> RELU, D)) >> RELU >> OUT, X, "not Gaussian"),
    "sum of two uncentred": (nk.Sum((D >> RELU, D >> RELU)) >> OUT, X, "nonzero mean"),
    "sum of identities": (D >> nk.Sum((nk.Identity(), nk.Identity())) >> OUT, X, "same random weights"),
    "residual without weights": (D >> nk.Residual(RELU) >> OUT, X, "same random weights"),
    "sum of data with data": (nk.Sum((nk.Identity(), nk.Identity())) >> OUT, X, "nonzero mean"),
    "product of dependent": (D >> nk.Product((nk.Identity(), RELU)) >> OUT, X, "same random weights"),
    "layer norm after activation": (
        D >> RELU >> nk.LayerNorm() >> OUT,
        X,
        "LayerNorm: it follows an activation",
    ),
    "layer norm on the data": (nk.LayerNorm() >> OUT, X, "LayerNorm: it follows the data"),
    "dropout on the data, then a nonlinearity": (
        nk.Dropout(0.5) >> D >> RELU >> OUT,
        X,
        "finite number of random channels",
    ),
    "data beside weights, then a nonlinearity": (
        nk.Sum((nk.Identity(), nk.Dense(4))) >> D >> RELU >> OUT,
        X,
        "finite number of random channels",
    ),
    "rms norm of masked data": (
        nk.Dropout(0.5) >> nk.RMSNorm() >> OUT,
        X,
        "finite number of random channels",
    ),
    "groups of the data": (
        nk.Conv(64, 3, groups=2) >> nk.Flatten() >> OUT,
        SIGNAL,
        "groups of channels are not",
    ),
    "depthwise": (C >> nk.Conv(64, 3, groups=64) >> nk.Flatten() >> OUT, SIGNAL, "does not concentrate"),
    "product of two masks on the data": (
        nk.Product((nk.Dropout(0.5) >> nk.Dense(4), nk.Dropout(0.5) >> nk.Dense(4))) >> OUT,
        X,
        "fluctuate together",
    ),
}


@pytest.mark.every(2)
@pytest.mark.parametrize("name", REFUSED)
def test_what_second_moments_do_not_determine_is_refused(name):
    net, x, why = REFUSED[name]
    for call in (nk.kernel, nk.nngp):
        with pytest.raises(NoClosedFormError, match=why) as caught:
            call(net, x)
        assert "Remedy" in str(caught.value) or "remedy" in str(caught.value)
    with pytest.raises(NoClosedFormError, match=why):
        jax.jit(lambda x: nk.nngp(net, x))(x.astype(np.float32))


RIGHT = {
    "sum of independent gaussians": (nk.Sum((D, D >> RELU >> D)) >> RELU >> OUT, X),
    "one uncentred branch": (nk.Sum((D >> RELU, D)) >> OUT, X),
    "residual": (D >> nk.Residual(RELU >> D) >> RELU >> OUT, X),
    "residual after an activation": (D >> RELU >> nk.Residual(D) >> D >> RELU >> OUT, X),
    "product": (nk.Product((D, D >> RELU)) >> D >> RELU >> OUT, X),
    "concat": (nk.Concat((nk.Dense(192) >> RELU, nk.Dense(64, 1.5))) >> D >> RELU >> OUT, X),
    "dropout": (D >> RELU >> nk.Dropout(0.4) >> D >> RELU >> OUT, X),
    "dropout on the data": (nk.Dropout(0.4) >> OUT, X),
    "layer norm": (D >> nk.LayerNorm() >> RELU >> OUT, X),
    "layer norm after dropout": (D >> nk.Dropout(0.4) >> nk.LayerNorm() >> OUT, X),
    "layer norm after a centred activation": (D >> nk.Tanh() >> nk.LayerNorm() >> OUT, X),
    "data beside weights": (nk.Sum((nk.Identity(), nk.Dense(4))) >> OUT, X),
    "flatten, then weights": (C >> RELU >> nk.Flatten() >> D >> RELU >> OUT, SIGNAL),
    "nonlinearity after a pool": (
        C >> RELU >> C >> nk.AvgPool(2, stride=1) >> RELU >> nk.Flatten() >> OUT,
        SIGNAL,
    ),
    "pooled sign": (
        nk.Conv(64, 3, w_lr=0.0, b_lr=0.0)
        >> nk.Sign()
        >> nk.AvgPool(2)
        >> C
        >> RELU
        >> nk.GlobalAvgPool()
        >> OUT,
        SIGNAL,
    ),
    "overlapping pool between convolutions": (
        C >> RELU >> nk.AvgPool(3, stride=2, padding="SAME") >> C >> RELU >> nk.GlobalAvgPool() >> OUT,
        SIGNAL,
    ),
    "a mean over what a stride leaves": (
        nk.Conv(64, 3, stride=2, padding="VALID") >> RELU >> nk.GlobalAvgPool() >> OUT,
        SIGNAL,
    ),
    "standard parametrisation": (
        nk.StandardDense(256, 1.2, 0.3) >> RELU >> nk.StandardDense(8, 1.1, 0.0),
        X,
    ),
    "one position": (C >> RELU >> nk.Index(2) >> OUT, SIGNAL),
    "rms norm after an activation": (D >> RELU >> nk.RMSNorm() >> D >> RELU >> OUT, X),
    "rms norm of the data": (nk.RMSNorm() >> D >> RELU >> OUT, X),
    "groups": (C >> RELU >> nk.Conv(64, 3, w_std=1.2, groups=2) >> RELU >> nk.GlobalAvgPool() >> OUT, SIGNAL),
    "weights not shared": (
        nk.ConvLocal(64, 3, w_std=1.2) >> RELU >> C >> RELU >> nk.GlobalAvgPool() >> OUT,
        SIGNAL,
    ),
    "transposed": (
        C
        >> RELU
        >> nk.ConvTranspose(64, 3, 2, w_std=1.6, b_std=0.2)
        >> RELU
        >> C
        >> RELU
        >> nk.GlobalAvgPool()
        >> OUT,
        SIGNAL,
    ),
    "resized": (nk.ImageResize((4,)) >> C >> RELU >> nk.Flatten() >> OUT, SIGNAL),
}


def disagreement(net: nk.Layer, x: np.ndarray, count: int) -> float:
    """The largest distance of both kernels from finite networks, in standard errors beside 4/width of the diagonal."""
    exact = nk.kernel(net, x)
    found = nk.sample(net, x, key=jax.random.key(0), count=count)
    worst = 0.0
    for k, mean, error in (
        (exact.nngp, found.nngp, found.nngp_error),
        (exact.ntk, found.ntk, found.ntk_error),
    ):
        scale = np.sqrt(np.outer(np.diag(k), np.diag(k)))
        worst = max(worst, float(np.max(np.abs(k - mean) / (error + 0.01 * scale))))
    return worst


QUICK = {
    "sum of independent gaussians",
    "one uncentred branch",
    "product",
    "dropout on the data",
    "standard parametrisation",
}


@pytest.mark.parametrize(
    "name", [n if n in QUICK else pytest.param(n, marks=pytest.mark.slow) for n in RIGHT], ids=str
)
@pytest.mark.every(3)
def test_legal_neighbours_agree_with_finite_networks(name):
    net, x = RIGHT[name]
    assert disagreement(net, x, 96) < 4.5


def test_a_wrong_kernel_would_be_seen():
    net, x = RIGHT["sum of independent gaussians"]
    exact = nk.kernel(net, x)
    found = nk.sample(net, x, key=jax.random.key(0), count=96)
    scale = np.sqrt(np.outer(np.diag(exact.ntk), np.diag(exact.ntk)))
    assert np.max(np.abs(1.1 * exact.ntk - found.ntk) / (found.ntk_error + 0.01 * scale)) > 4.5


@pytest.mark.slow
def test_an_odd_number_of_convolutions_on_images_that_are_not_square():
    x = np.random.default_rng(0).standard_normal((2, 3, 5, 2))
    turned = x.transpose(0, 2, 1, 3)
    net = nk.Conv(8, (3, 1)) >> RELU >> nk.Conv(8, (1, 3)) >> RELU >> nk.Conv(8, (3, 3)) >> nk.GlobalAvgPool()
    other = (
        nk.Conv(8, (1, 3)) >> RELU >> nk.Conv(8, (3, 1)) >> RELU >> nk.Conv(8, (3, 3)) >> nk.GlobalAvgPool()
    )
    np.testing.assert_allclose(nk.ntk(net, x), nk.ntk(other, turned), rtol=1e-12)

"""Eigenvalues on the sphere against quadrature, sums and the spectrum of sampled points."""

import numpy as np
import pytest
import scipy.special

import ntkit as nk
from ntkit.analysis import sphere_eigenvalues
from ntkit.errors import InputError, NumericalError

RELU = nk.Dense(8, w_std=2**0.5, b_std=0.3) >> nk.Relu() >> nk.Dense(8, w_std=1.2) >> nk.Relu() >> nk.Dense(1)
NETS = {
    "relu": RELU,
    "erf": nk.Dense(8, w_std=1.5, b_std=0.2) >> nk.Erf() >> nk.Dense(1),
    "gelu": nk.Dense(8, w_std=1.5) >> nk.Gelu() >> nk.Dense(1),
    "linear": nk.Dense(1, b_std=0.5),
}


def _profile(net, d, angles):
    """Both kernels of two points of norm √d at angles."""
    first, second = d**0.5 * np.eye(d)[:2]
    pair = nk.kernel(net, first[None], np.outer(np.cos(angles), first) + np.outer(np.sin(angles), second))
    return pair.nngp[0], pair.ntk[0]


@pytest.mark.parametrize("d", [3, 10])
@pytest.mark.parametrize("net", ["relu", "erf"])
@pytest.mark.every(2)
def test_eigenvalues_are_those_of_another_quadrature(net, d):
    found = sphere_eigenvalues(nk.kernel_fn(NETS[net]), d, 6)
    roots, weights = scipy.special.roots_jacobi(3000, (d - 3) / 2, (d - 3) / 2)  # in cos θ
    for values, profile in zip(
        (found.nngp, found.ntk), _profile(NETS[net], d, np.arccos(roots)), strict=True
    ):
        for k in range(7):
            polynomial = scipy.special.eval_gegenbauer(k, d / 2 - 1, roots)
            polynomial /= scipy.special.eval_gegenbauer(k, d / 2 - 1, 1.0)
            np.testing.assert_allclose(values[k], weights @ (profile * polynomial) / weights.sum(), atol=1e-8)


@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize(("d", "degrees"), [(2, 100), (3, 100), (5, 40), (30, 8)])
@pytest.mark.every(3)
def test_they_add_up_to_the_diagonal(name, d, degrees):
    found = sphere_eigenvalues(nk.kernel_fn(NETS[name]), d, degrees)
    at = _profile(NETS[name], d, np.zeros(1))
    for values, (whole,) in zip((found.nngp, found.ntk), at, strict=True):
        assert np.all(values >= -1e-12 * whole)
        total = found.multiplicity @ np.maximum(values, 0)
        assert total <= whole * (1 + 1e-9)
        assert total >= whole * (0.9 if name in ("relu", "gelu") else 0.95)


@pytest.mark.slow
def test_sampled_points_have_this_spectrum():
    draw = np.random.default_rng(0).normal(size=(3000, 3))
    x = draw / np.linalg.norm(draw, axis=1, keepdims=True)
    found = sphere_eigenvalues(nk.kernel_fn(RELU), 3, 2, radius=1.0)
    sampled = np.linalg.eigvalsh(nk.ntk(RELU, x))[::-1] / len(x)
    np.testing.assert_allclose(sampled[0], found.ntk[0], rtol=0.02)
    np.testing.assert_allclose(sampled[1:4].mean(), found.ntk[1], rtol=0.05)


def test_what_has_no_such_spectrum_is_refused():
    kernel = nk.kernel_fn(RELU)
    for options in ({"dimension": 1}, {"dimension": 3, "degrees": -1}):
        with pytest.raises(InputError, match="expected whole numbers of at least 2 and 0"):
            sphere_eigenvalues(kernel, **options)
    with pytest.raises(InputError, match=r"radius is -1\.0; expected a positive number"):
        sphere_eigenvalues(kernel, 3, radius=-1.0)

    def cut(profile, scale=1.0):
        """A kernel of scaled inner products, without a network."""

        class Plain:
            fingerprint = ""

            def __call__(self, x1, x2=None):
                k = profile((x1 * scale) @ (x1 if x2 is None else x2).T)
                return nk.kernels.KernelPair(k, k)

            def diag(self, x):
                raise NotImplementedError

        return Plain()

    with pytest.raises(InputError, match="NNGP changes when both inputs are turned alike"):
        sphere_eigenvalues(cut(np.exp, np.arange(1.0, 4.0)), 3)
    with pytest.raises(NumericalError, match=r"still change by .* with 8192 nodes; ask for fewer degrees"):
        sphere_eigenvalues(cut(lambda k: np.abs(k - 0.1) ** 0.5), 3)

"""Averaged kernels: invariant, equal to the dense mean, and to regression on all transformed examples."""

import itertools

import jax
import numpy as np
import pytest

import ntkit as nk
from ntkit.averaging import (
    IDENTITY,
    Transformation,
    averaged,
    combined,
    cyclic_translations,
    flips,
    translations,
)
from ntkit.errors import InputError

RNG = np.random.default_rng(2)
X = RNG.normal(size=(4, 3, 3, 2))
X_TEST = RNG.normal(size=(3, 3, 3, 2))

ROUND = nk.Conv(8, 3, padding="CIRCULAR", b_std=0.2) >> nk.Relu() >> nk.Flatten() >> nk.Dense(1)
DENSE = (
    nk.Flatten() >> nk.Dense(8, b_std=0.1) >> nk.Erf() >> nk.Dense(1)
)  # invariant under permutations of pixels
ORDERED = nk.Conv(8, 2, padding="VALID") >> nk.Relu() >> nk.Flatten() >> nk.Dense(1)  # not, under shifts
SHIFTS = cyclic_translations(3, 3)
EVERYTHING = combined(flips(vertical=True), SHIFTS)


def dense_mean(k, group, x1, x2):
    """The mean over all pairs of transformations."""
    pairs = itertools.product(group, group)
    found = [k(g.apply(x1), h.apply(x2)) for g, h in pairs]
    return [np.mean([pair[i] for pair in found], axis=0) for i in (0, 1)]


# Transformations ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("group", [flips(), flips(vertical=True), SHIFTS, EVERYTHING], ids=len)
def test_groups_are_closed(group):
    def images(of):
        return {g.apply(x).tobytes() for g in group for x in of}

    once = [g.apply(X) for g in group]
    assert len({x.tobytes() for x in once}) == len(group)
    assert images(once) == {x.tobytes() for x in once}
    assert IDENTITY in group
    assert len({g.name for g in group}) == len(group)


@pytest.mark.parametrize("padding", ["CIRCULAR", "SAME"])
def test_translations_move_pixels(padding):
    image = np.zeros((1, 5, 6, 1))
    image[0, 2, 3, 0] = 1
    moved = {tuple(np.argwhere(g.apply(image))[0][1:3]) for g in translations(2, padding)}
    assert moved == {(2 + i, 3 + j) for i in range(-2, 3) for j in range(-2, 3)}
    assert len(translations(2, padding)) == 25


def test_zeros_come_in_at_the_edge():
    image = np.ones((1, 3, 4, 1))
    sums = sorted(g.apply(image).sum() for g in translations(1, "SAME"))
    assert sums == [6, 6, 6, 6, 8, 8, 9, 9, 12]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: translations(-1), "translations: reach must be a whole number of at least 0"),
        (
            lambda: translations(1, "VALID"),
            "translations: padding must be one of CIRCULAR, SAME, found 'VALID'",
        ),
        (lambda: cyclic_translations(0, 3), "cyclic_translations: height must be a whole number"),
        (lambda: cyclic_translations(3, 1.5), "cyclic_translations: width must be a whole number"),
        (lambda: flips()[1].apply(X[0]), r"are of images, .* found shape \(3, 3, 2\)"),
        (lambda: translations(3, "SAME")[0].apply(X), "leaves nothing of images of 3 by 3"),
        (lambda: averaged(np.eye, flips()), "kernel must be a network or a KernelFn, found function"),
        (lambda: averaged(DENSE, ()), "give at least one transformation"),
        (lambda: averaged(DENSE, [np.flip]), "expected transformations"),
        (
            lambda: averaged(DENSE, [Transformation("cut", lambda x: x[:, :2])])(X),
            "'cut' makes .* keep the shape",
        ),
        (lambda: averaged(DENSE, translations(1, "SAME"), invariant=True)(X), "no group: 'shift SAME by"),
        (
            lambda: averaged(ORDERED, SHIFTS, invariant=True)(X),
            "the nngp is not invariant under 'shift CIRCULAR",
        ),
        (lambda: averaged(ORDERED, SHIFTS, invariant=True).diag(X), "the nngp is not invariant"),
    ],
)
def test_refusals(make, message):
    with pytest.raises(InputError, match=message):
        make()


# Averages -----------------------------------------------------------------------------------------------------------------


@pytest.mark.every(2)
@pytest.mark.parametrize(
    ("net", "maps", "invariant"),
    [
        (ORDERED, flips(), False),
        (ORDERED, translations(1, "SAME")[3:6], False),
        (DENSE, flips(vertical=True), True),
        (ROUND, SHIFTS, True),
    ],
    ids=["flips", "zeros", "four flips", "cyclic"],
)
def test_it_is_the_mean_over_all_pairs(net, maps, invariant):
    k = nk.kernel_fn(net)
    found = averaged(k, maps, invariant=invariant)
    for a, b in zip(found(X, X_TEST), dense_mean(k, maps, X, X_TEST), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10)
    symmetric = found(X)
    for a, b, diagonal in zip(symmetric, dense_mean(k, maps, X, X), found.diag(X), strict=True):
        np.testing.assert_array_equal(a, a.T)
        np.testing.assert_allclose(a, b, rtol=1e-10)
        np.testing.assert_allclose(diagonal, np.diagonal(b), rtol=1e-10)
    np.testing.assert_allclose(found.ntk(X), symmetric.ntk, rtol=1e-12)
    np.testing.assert_allclose(found.nngp(X, X_TEST), found(X, X_TEST).nngp, rtol=1e-12)


def test_one_sum_and_two_agree():
    one, two = (averaged(DENSE, flips(), invariant=invariant) for invariant in (True, False))
    for a, b in zip(one(X), two(X), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12)


def test_it_is_invariant_in_each_argument():
    k = averaged(ROUND, SHIFTS, invariant=True)
    expected = k(X, X_TEST).ntk
    np.testing.assert_allclose(k(np.roll(X, 1, 1), np.roll(X_TEST, 2, 2)).ntk, expected, rtol=1e-10)
    assert np.linalg.eigvalsh(k(X).ntk).min() > 0


def test_averaging_twice_changes_nothing():
    once = averaged(DENSE, flips(), invariant=True)
    twice = averaged(once, flips(), invariant=True)
    np.testing.assert_allclose(twice(X, X_TEST).ntk, once(X, X_TEST).ntk, rtol=1e-12)


@pytest.mark.parametrize("ridge", [0.0, 0.3])
@pytest.mark.parametrize(("net", "group"), [(ROUND, SHIFTS), (DENSE, flips())], ids=["translations", "flips"])
def test_regression_is_that_on_the_augmented_set(net, group, ridge):
    y = RNG.normal(size=len(X))
    k, mean = nk.kernel_fn(net), averaged(net, group, invariant=True)
    augmented = np.concatenate([g.apply(X) for g in group])
    full = k(augmented).ntk + len(group) * ridge * np.eye(len(augmented))
    expected = k(X_TEST, augmented).ntk @ np.linalg.solve(full, np.tile(y, len(group)))
    fit = nk.predict.kernel_regression(mean(X).ntk, y, ridge=ridge)
    np.testing.assert_allclose(fit.predict(mean(X_TEST, X).ntk), expected, rtol=1e-6, atol=1e-9)


def test_global_pooling_is_an_average_over_translations():
    """Li et al. (2019): pooling over all positions behind circular convolutions is full translation."""
    body = nk.Conv(8, 3, padding="CIRCULAR") >> nk.Relu()
    pooled = nk.nngp(body >> nk.GlobalAvgPool(), X, X_TEST)
    flat = averaged(body >> nk.Flatten(), SHIFTS, invariant=True)
    np.testing.assert_allclose(flat.nngp(X, X_TEST), pooled, rtol=1e-10)


def test_it_keeps_the_type_and_positions():
    k = averaged(nk.Conv(4, 3) >> nk.Relu() >> nk.Conv(1, 1), flips())
    found = k(X.astype(np.float32))
    assert found.ntk.dtype == np.float32
    assert found.ntk.shape == (4, 4, 9, 9)
    np.testing.assert_allclose(k.diag(X).ntk[1], k(X).ntk[1, 1], rtol=1e-12)


def test_large_matrices_take_it_in_tiles():
    k = averaged(DENSE, flips(), invariant=True)
    found = nk.gram.compute(k, X, kernels=["ntk"], tile=2)
    np.testing.assert_allclose(found.ntk, k(X).ntk, rtol=1e-12)
    assert isinstance(k, nk.KernelFn)


def test_any_kernel_can_be_averaged():
    """One without functions for a single kernel and for tiles."""

    class Linear:
        fingerprint = "linear"

        def __call__(self, x1, x2=None):
            x1, x2 = (x.reshape(len(x), -1) for x in (x1, x1 if x2 is None else x2))
            return nk.KernelPair(x1 @ x2.T, 2 * x1 @ x2.T)

        def diag(self, x):
            return nk.KernelPair(*(np.diagonal(k) for k in self(x)))

    k = averaged(Linear(), SHIFTS, invariant=True)
    means = np.broadcast_to(X.mean((1, 2), keepdims=True), X.shape)
    for name in ("nngp", "ntk"):
        np.testing.assert_allclose(
            getattr(k, name)(X), getattr(Linear()(means), name), rtol=1e-10, atol=1e-12
        )
    np.testing.assert_allclose(nk.gram.compute(k, X, tile=3).ntk, k(X).ntk, rtol=1e-12)


def test_fingerprints_tell_averages_apart():
    kernels = [averaged(DENSE, flips()), averaged(DENSE, flips(), invariant=True), averaged(DENSE, SHIFTS)]
    prints = {k.fingerprint for k in (*kernels, averaged(ROUND, flips()), nk.kernel_fn(DENSE))}
    assert len(prints) == 5
    assert averaged(DENSE, flips()).fingerprint in prints


@pytest.mark.slow
def test_it_is_differentiable():
    k = averaged(DENSE, (IDENTITY, *translations(1, "SAME")[:1]))
    x = X[:2].astype(np.float32)
    slope = jax.grad(lambda a: k(a, x).ntk.sum())(x)
    step = 1e-3 * RNG.normal(size=x.shape)
    up, down = (k(x.astype(float) + sign * step, x.astype(float)).ntk.sum() for sign in (1, -1))
    np.testing.assert_allclose((slope * step).sum() * 2, up - down, rtol=1e-3)

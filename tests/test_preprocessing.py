"""Preprocessing of images: whitened covariances, agreement with dense algebra, examples fewer than pixels, refusals."""

import numpy as np
import pytest
import sklearn.pipeline
import torch

from ntkit.errors import InputError
from ntkit.preprocessing import ZCA, Channels, Patches, contrast_normalised

RNG = np.random.default_rng(4)
MIX = RNG.normal(size=(12, 12)) * np.linspace(0.1, 3, 12)
MANY = (RNG.normal(size=(200, 12)) @ MIX + 5).reshape(200, 2, 3, 2)
FEW = (RNG.normal(size=(7, 12)) @ MIX + 5).reshape(7, 2, 3, 2)
IMAGES = np.cumsum(RNG.normal(size=(6, 7, 8, 2)), axis=1) + 3


def flat(x):
    return x.reshape(len(x), -1)


def covariance(x):
    return np.cov(flat(x).T, bias=True)


def dense_whitening(train, ridge):
    """(Σ + ridge · tr Σ/d · I)^(−1/2) by a dense decomposition."""
    sigma = covariance(train)
    values, vectors = np.linalg.eigh(sigma + ridge * np.trace(sigma) / len(sigma) * np.eye(len(sigma)))
    return vectors / np.sqrt(values) @ vectors.T


# ZCA ----------------------------------------------------------------------------------------------------------------------


def test_the_covariance_becomes_the_identity():
    z = ZCA(ridge=0).fit_transform(MANY)
    assert z.shape == MANY.shape
    np.testing.assert_allclose(flat(z).mean(0), 0, atol=1e-10)
    np.testing.assert_allclose(covariance(z), np.eye(12), atol=1e-9)


@pytest.mark.parametrize("ridge", [1e-3, 0.1, 10.0])
@pytest.mark.parametrize("train", [MANY, FEW], ids=["many", "few"])
def test_it_is_the_dense_inverse_root(train, ridge):
    found = ZCA(ridge).fit(train)
    new = RNG.normal(size=(5, 2, 3, 2))
    expected = (flat(new) - flat(train).mean(0)) @ dense_whitening(train, ridge)
    np.testing.assert_allclose(flat(found.transform(new)), expected, rtol=1e-8, atol=1e-9)
    assert found.whitening_.epsilon == pytest.approx(ridge * np.trace(covariance(train)) / 12)


def test_eigenvalues_shrink_by_the_ridge():
    """λ becomes λ/(λ + ε)."""
    z = ZCA(ridge=0.5).fit(MANY)
    values, epsilon = z.whitening_.eigenvalues, z.whitening_.epsilon
    expected = np.sort(values / (values + epsilon))
    np.testing.assert_allclose(np.linalg.eigvalsh(covariance(z.transform(MANY))), expected, rtol=1e-9)


def test_both_sides_give_one_whitening():
    """Every example twice: by eigenvectors for the 12 of them, by singular values for 6."""
    doubled = np.concatenate([MANY[:6], MANY[:6]])  # of rank 5
    new = MANY[20:25]
    np.testing.assert_allclose(
        ZCA(0.1).fit(doubled).transform(new), ZCA(0.1).fit(MANY[:6]).transform(new), rtol=1e-7
    )


@pytest.mark.parametrize("train", [FEW, np.concatenate([FEW, FEW])], ids=["few", "repeated"])
def test_without_a_ridge_what_does_not_vary_is_left_out(train):
    zca = ZCA(ridge=0).fit(train)
    assert zca.whitening_.directions.shape == (12, 6)  # the mean takes one of seven
    z = covariance(zca.transform(train))
    np.testing.assert_allclose(z @ z, z, atol=1e-9)  # a projection
    outside = np.linalg.svd(flat(FEW) - flat(FEW).mean(0))[2][6:].reshape(6, 2, 3, 2)
    np.testing.assert_allclose(zca.transform(FEW[:1] + outside), zca.transform(FEW[[0] * 6]), atol=1e-8)


def test_whitening_twice_is_whitening_once():
    z = ZCA(ridge=0).fit_transform(MANY)
    np.testing.assert_allclose(ZCA(ridge=0).fit_transform(z), z, atol=1e-8)


def test_the_ridge_has_no_unit():
    np.testing.assert_allclose(ZCA(0.3).fit_transform(1000 * MANY), ZCA(0.3).fit_transform(MANY), rtol=1e-9)


def test_whitening_changes_images_least():
    """Of all whitenings the symmetric one correlates most with its input."""
    zca = ZCA(ridge=0).fit(MANY)
    matrix = zca.transform(np.eye(12).reshape(12, 2, 3, 2)) - zca.transform(np.zeros((1, 2, 3, 2)))
    np.testing.assert_allclose(flat(matrix), flat(matrix).T, atol=1e-10)
    assert np.linalg.eigvalsh(flat(matrix)).min() > 0


# Channels and contrast ----------------------------------------------------------------------------------------------------


def test_channels_have_mean_0_and_deviation_1():
    z = Channels().fit_transform(np.concatenate([MANY, np.full((200, 2, 3, 1), 4.0)], axis=-1))
    np.testing.assert_allclose(z.mean((0, 1, 2)), 0, atol=1e-12)
    np.testing.assert_allclose(z.std((0, 1, 2)), [1, 1, 0], atol=1e-12)


@pytest.mark.parametrize("offset", [0.0, 2.0])
def test_contrast_is_that_of_each_example(offset):
    z = flat(contrast_normalised(MANY, offset))
    variances = flat(MANY).var(1)
    np.testing.assert_allclose(z.mean(1), 0, atol=1e-12)
    np.testing.assert_allclose(z.var(1), variances / (variances + offset), rtol=1e-12)


def test_contrast_normalised_twice_is_once_and_constants_are_zero():
    once = contrast_normalised(MANY)
    np.testing.assert_allclose(contrast_normalised(once), once, rtol=1e-10)
    assert (contrast_normalised(np.full((2, 7), 0.1)) == 0).all()


# Patches ------------------------------------------------------------------------------------------------------------------


def patches_of(x, size):
    """By torch: (patches, size²·C), channels innermost."""
    unfolded = torch.nn.functional.unfold(torch.from_numpy(np.moveaxis(x, -1, 1).copy()), size)
    per_pixel = unfolded.numpy().reshape(len(x), x.shape[-1], size**2, -1)
    return per_pixel.transpose(0, 3, 2, 1).reshape(-1, size**2 * x.shape[-1])


@pytest.mark.parametrize("size", [2, 3])
def test_patches_are_normalised_and_whitened(size):
    found = Patches(size, 0.2, contrast=0.05).fit(IMAGES)
    raw = patches_of(IMAGES, size)
    assert found.offset_ == pytest.approx(0.05 * raw.var(1).mean())
    normal = (raw - raw.mean(1, keepdims=True)) / np.sqrt(raw.var(1, keepdims=True) + found.offset_)
    expected = (normal - normal.mean(0)) @ dense_whitening(normal, 0.2)
    z = found.transform(IMAGES)
    assert z.shape == (6, 8 - size, 9 - size, 2 * size**2)
    np.testing.assert_allclose(z.reshape(expected.shape), expected, rtol=1e-9, atol=1e-10)


def test_whitened_patches_are_uncorrelated_but_for_their_mean():
    """Without a ridge the covariance is the projection that leaves out brightness, which contrast has taken away."""
    z = Patches(3, 0, contrast=0).fit_transform(IMAGES).reshape(-1, 18)
    np.testing.assert_allclose(covariance(z), np.eye(18) - 1 / 18, atol=1e-9)


def test_patches_ignore_brightness_and_unit():
    z = Patches(3).fit_transform(IMAGES)
    np.testing.assert_allclose(Patches(3).fit_transform(255 * IMAGES + 40), z, rtol=1e-6, atol=1e-8)


def test_a_translation_of_images_is_one_of_patches():
    patches = Patches(3).fit(IMAGES)
    np.testing.assert_allclose(
        patches.transform(IMAGES[:, 1:, 2:]), patches.transform(IMAGES)[:, 1:, 2:], rtol=1e-12
    )


def test_signs_are_positive_and_negative_parts():
    z, parts = (Patches(2, signs=signs).fit_transform(IMAGES) for signs in (False, True))
    assert parts.min() == 0
    np.testing.assert_array_equal(parts[..., :8] - parts[..., 8:], z)
    assert (parts[..., :8] * parts[..., 8:] == 0).all()


def test_memory_changes_nothing(monkeypatch):
    expected = Patches(3).fit_transform(IMAGES)
    monkeypatch.setattr("ntkit.preprocessing.patches._AT_ONCE", 1)
    np.testing.assert_allclose(Patches(3).fit_transform(IMAGES), expected, rtol=1e-9, atol=1e-12)


# All of them --------------------------------------------------------------------------------------------------------------

EVERY = [Channels(), ZCA(), Patches(2), Patches(2, signs=True)]


@pytest.mark.parametrize("make", EVERY, ids=lambda p: type(p).__name__)
def test_the_type_is_that_of_the_examples(make):
    double = make.fit_transform(IMAGES)
    single = make.fit_transform(IMAGES.astype(np.float32))
    assert (double.dtype, single.dtype) == (np.float64, np.float32)
    np.testing.assert_allclose(single, double, rtol=1e-3, atol=1e-3)
    assert make.fit_transform(np.round(IMAGES).astype(int)).dtype == np.float64


@pytest.mark.parametrize("make", EVERY, ids=lambda p: type(p).__name__)
def test_new_examples_change_nothing_of_what_was_learnt(make):
    make.fit(IMAGES)
    np.testing.assert_allclose(make.transform(IMAGES[:1]), make.transform(IMAGES)[:1], rtol=1e-9, atol=1e-12)


def test_they_stand_in_pipelines_of_sklearn():
    steps = sklearn.pipeline.make_pipeline(Channels(), Patches(3))
    found = steps.fit_transform(IMAGES)
    np.testing.assert_allclose(found, Patches(3).fit_transform(Channels().fit_transform(IMAGES)))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ZCA().transform(MANY), "ZCA is not fitted: call fit"),
        (lambda: Channels().transform(MANY), "Channels is not fitted"),
        (lambda: Patches().transform(IMAGES), "Patches is not fitted"),
        (lambda: ZCA(-1).fit(MANY), "ZCA: ridge must be a finite number of at least 0, found -1"),
        (lambda: ZCA(np.inf).fit(MANY), "ZCA: ridge must be a finite number"),
        (lambda: ZCA("much").fit(MANY), "ZCA: ridge must be a finite number"),
        (
            lambda: ZCA().fit(MANY).transform(MANY[:, :1]),
            r"fitted to examples shaped \(2, 3, 2\), found \(1, 3, 2\)",
        ),
        (lambda: ZCA().fit(np.ones((20, 3))), "the training examples are all the same"),
        (lambda: ZCA().fit(np.ones((2, 3))), "the training examples are all the same"),
        (lambda: ZCA().fit(MANY * np.nan), "ZCA: x holds nan"),
        (lambda: Channels().fit(np.ones((2, 3))), "every training image is the same constant"),
        (lambda: Channels().fit(MANY).transform(MANY[..., :1]), "fitted to 2 channels, found 1"),
        (lambda: Patches(0).fit(IMAGES), "Patches: size must be a whole number of at least 1"),
        (lambda: Patches(8).fit(IMAGES), "images of 7 by 8 have no patch of size 8"),
        (lambda: Patches(3).fit(IMAGES).transform(IMAGES[:, :2]), "images of 2 by 8 have no patch of size 3"),
        (lambda: Patches(2, -0.1).fit(IMAGES), "Patches: regularisation must be a finite number"),
        (lambda: Patches(2, contrast=-0.1).fit(IMAGES), "Patches: contrast must be a finite number"),
        (lambda: Patches(2).fit(IMAGES[..., 0]), r"needs images, .* found shape \(6, 7, 8\)"),
        (
            lambda: Patches(2).fit(IMAGES).transform(IMAGES[..., :1]),
            "fitted to images of 2 channels, found 1",
        ),
        (lambda: Patches(1).fit(IMAGES[..., :1]), "no patch of the training images has any contrast"),
        (lambda: contrast_normalised(MANY, -1.0), "offset must be a finite number of at least 0"),
        (lambda: contrast_normalised(MANY[0, 0, 0]), "contrast_normalised: x must be shaped"),
    ],
)
def test_refusals(make, message):
    with pytest.raises(InputError, match=message):
        make()

"""Losses: values written out, targets in their two forms, and shapes that do not fit."""

import jax
import numpy as np
import pytest

from ntkit.errors import InputError
from ntkit.losses import HINGE, LOSSES, choose_loss

DRAW = np.random.default_rng(0)
F = DRAW.normal(size=(7, 3)) * 2
SIGNS = np.where(DRAW.normal(size=(7, 3)) > 0, 1.0, -1.0)


def value(name, y, target):
    with jax.enable_x64(True):
        return float(choose_loss(name).function(np.asarray(y), np.asarray(target)))


def test_values_are_means_over_examples_of_sums_over_outputs():
    gap = F - SIGNS
    np.testing.assert_allclose(value("squared", F, SIGNS), np.sum(gap**2) / 14)
    small = np.abs(gap) <= 1
    np.testing.assert_allclose(
        value("huber", F, SIGNS), np.sum(np.where(small, gap**2 / 2, np.abs(gap) - 0.5)) / 7
    )
    logistic = np.sum(np.log1p(np.exp(-SIGNS * F))) / 7
    np.testing.assert_allclose(value("logistic", F, SIGNS), logistic)
    np.testing.assert_allclose(value("binary_cross_entropy", F, (SIGNS + 1) / 2), logistic)
    np.testing.assert_allclose(
        value("hinge", F, SIGNS), np.sum(np.maximum(0, 1 - SIGNS * F)) / 7, atol=3 * HINGE / 4
    )


def test_cross_entropy_takes_classes_or_their_probabilities():
    classes = np.array([0, 2, 1, 1, 0, 2, 2])
    expected = np.mean(np.log(np.exp(F).sum(axis=1)) - F[np.arange(7), classes])
    np.testing.assert_allclose(value("cross_entropy", F, classes), expected)
    np.testing.assert_allclose(value("cross_entropy", F, np.eye(3)[classes]), expected)


def test_the_hinge_is_a_parabola_at_its_kink_alone():
    margins = 1 + HINGE * np.array([-3.0, -1.0, 0.0, 1.0, 3.0])
    found = [value("hinge", [[m]], [[1.0]]) for m in margins]
    np.testing.assert_allclose(found, [3 * HINGE, HINGE, HINGE / 4, 0, 0], atol=1e-15)
    with jax.enable_x64(True):
        slope = jax.grad(lambda m: choose_loss("hinge").function(m, np.array([[1.0]])))
        found = [float(slope(np.array([[m]]))[0, 0]) for m in margins]
    np.testing.assert_allclose(found, [-1, -1, -0.5, 0, 0], atol=1e-12)


@pytest.mark.parametrize("name", sorted(set(LOSSES) - {"cross_entropy"}))
def test_outputs_and_targets_are_shaped_alike(name):
    with pytest.raises(InputError, match=r"the outputs are shaped \(7, 3\) and the targets \(7,\)"):
        value(name, F, SIGNS[:, 0])


def test_a_loss_is_a_name_or_a_function():
    own = choose_loss(lambda y, target: 0.0)
    assert own.own
    assert own.finite
    assert not choose_loss("squared").own
    with pytest.raises(InputError, match=r"loss must be one of squared, huber, .*; found 'absolute'"):
        choose_loss("absolute")

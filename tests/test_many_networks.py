"""The ensemble is what trained networks do: sample means and covariances against the predicted ones."""

import numpy as np
import pytest

from many_networks import compare


@pytest.mark.slow
def test_the_ensemble_is_that_of_trained_networks():
    beyond = compare(networks=1000, width=2048).beyond
    assert np.mean(beyond <= 3) >= 0.99
    assert beyond.max() <= 5


@pytest.mark.slow
def test_the_ensemble_is_about_that_of_few_trained_networks():
    beyond = compare(networks=100, width=128, points=6, test_points=2).beyond
    assert np.mean(beyond <= 3) >= 0.97
    assert beyond.max() <= 6

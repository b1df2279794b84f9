"""Whatever network is not refused has the kernel of finite networks."""

import jax
import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

import ntkit as nk
from ntkit.errors import InputError, NoClosedFormError
from ntkit.testing import count_weights
from random_networks import WIDTH, network

VECTORS = ((3,),)
GRIDS = ((4, 2), (3, 4, 2))

# The right kernel or none: a network that is refused is passed over, quickly, since only its facts are computed.
SIGMAS = 5.0
EVERYTHING = [HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large]


@st.composite
def allowed(draw, shapes):
    """A network that is not refused, and the shape of its inputs."""
    shape, depth = draw(st.sampled_from(shapes)), draw(st.integers(2, 4))
    try:
        net = network(lambda choices: draw(st.sampled_from(list(choices))), shape, depth)
    except InputError:  # shapes that do not fit
        assume(False)
    try:
        jax.eval_shape(lambda x: nk.kernel(net, x), np.ones((2, *shape), np.float32))
    except NoClosedFormError:
        assume(False)
    return net, shape


def disagreement(net, x, count):
    """The largest distance from finite networks, in units of 5 standard errors + 2·depth/width of the diagonal."""
    exact = nk.kernel(net, x)
    found = nk.sample(net, x.astype(np.float32), key=jax.random.key(1), count=count, units=2)
    worst = 0.0
    for name in ("nngp", "ntk"):
        k, mean, error = getattr(exact, name), getattr(found, name), getattr(found, f"{name}_error")
        own = np.sqrt(np.diagonal(k))
        allowed_ = SIGMAS * error + 2 * count_weights(net) / WIDTH * np.outer(own, own)
        worst = max(worst, float(np.max(np.abs(mean - k) / (allowed_ + 1e-12))))
    return worst


def check(case):
    net, shape = case
    x = np.random.default_rng(0).normal(size=(3, *shape))
    x[2] = x[0] + 0.3 * x[2]
    assert disagreement(net, x, 100) < 1, net


@settings(max_examples=3, suppress_health_check=EVERYTHING)
@given(allowed(VECTORS))
def test_networks_of_vectors(case):
    check(case)


@pytest.mark.slow
@settings(max_examples=2, suppress_health_check=EVERYTHING)
@given(allowed(GRIDS))
def test_networks_of_grids(case):
    check(case)


@pytest.mark.slow
@settings(max_examples=60, suppress_health_check=EVERYTHING)
@given(allowed(VECTORS + GRIDS))
def test_many_networks(case):
    check(case)
    jax.clear_caches()

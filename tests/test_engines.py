"""Which engine runs a kernel, and that it says so."""

import jax
import numpy as np
import pytest

import ntkit as nk
from graph_batches import random_graphs
from ntkit.engines import choice, explain
from ntkit.engines.fused import tile
from ntkit.errors import InputError, NoClosedFormError

CONVNET = nk.Conv(4, 3) >> nk.Relu() >> nk.GlobalAvgPool() >> nk.Dense(1)
SMALL = nk.Dense(4) >> nk.Relu() >> nk.Dense(1)


@pytest.mark.parametrize(
    ("net", "shape", "sizes", "engine", "why"),
    [
        (CONVNET, (32, 32, 3), (1000,), "fused", "every layer has an instruction"),
        (CONVNET, (32, 32, 3), (500, 1000), "fused", "every layer has an instruction"),
        (SMALL, (8,), (100,), "reference", "a kernel so small is done at once"),
        (
            nk.Conv(4, 3) >> nk.LayerNorm() >> nk.Flatten(),
            (32, 32, 3),
            (9000,),
            "reference",
            "no instruction for a normal",
        ),
        (
            nk.PositionalEncoding() >> CONVNET,
            (32, 32, 3),
            (9000,),
            "reference",
            "no instruction for a positional encoding",
        ),
    ],
)
def test_what_is_chosen_and_why(net: nk.Layer, shape: tuple, sizes: tuple, engine: str, why: str):
    found = explain(net, shape, *sizes)
    assert found.engine == engine
    assert why in found.why
    assert found.seconds > 0
    assert found.bytes_per_pair > 0
    assert str(found).startswith(f"{engine}: ")


def test_more_work_takes_longer():
    times = [explain(CONVNET, (32, 32, 3), n).seconds for n in (200, 400, 800)]
    assert times == sorted(times)
    assert times[2] / times[1] == pytest.approx(4, rel=0.01)
    both = [explain(CONVNET, (32, 32, 3), 400, dtype=dtype).seconds for dtype in (np.float32, np.float64)]
    assert both[1] == 2 * both[0]


@pytest.mark.parametrize("shape", [(), (0,), (32, 32.0, 3), (None, 3, 3), (None, 0)])
def test_shapes_that_are_none(shape: tuple):
    with pytest.raises(InputError, match="shape must be"):
        explain(CONVNET, shape)


def test_facts_are_checked():
    with pytest.raises(NoClosedFormError, match="its input is not Gaussian"):
        explain(nk.Dense(2) >> nk.Relu() >> nk.Relu(), (3,), 100_000)


@pytest.fixture
def every_size(monkeypatch: pytest.MonkeyPatch) -> list:
    """Kernels of any size are worth the fused engine; calls of it are noted."""
    monkeypatch.setattr(choice, "WORTH_SECONDS", 0.0)
    calls: list = []
    pairs = tile.Engine.pairs

    def noted(self, *arguments, **options):
        calls.append(self.threads)
        return pairs(self, *arguments, **options)

    monkeypatch.setattr(tile.Engine, "pairs", noted)
    return calls


def test_auto_takes_the_fused_engine(every_size: list):
    x = np.random.default_rng(0).normal(size=(3, 4, 4, 2))
    found = nk.kernel(CONVNET, x, threads=1)
    assert every_size == [1]
    for a, b in zip(found, nk.kernel(CONVNET, x, engine="reference"), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-11)


def test_auto_goes_on_where_a_series_does_not_end(every_size: list):
    x = 100 * np.random.default_rng(0).normal(size=(3, 4))
    net = nk.Dense(2) >> nk.Tanh() >> nk.Dense(1)
    for a, b in zip(nk.kernel(net, x), nk.kernel(net, x, engine="reference"), strict=True):
        np.testing.assert_array_equal(a, b)
    assert len(every_size) == 1


def test_a_trace_takes_the_reference_engine(every_size: list):
    x = np.ones((2, 3), np.float32)
    jax.grad(lambda x: nk.ntk(SMALL, x).sum())(x)
    assert not every_size


@pytest.mark.parametrize("threads", [0, 1.5, True])
def test_threads(threads: object):
    with pytest.raises(InputError, match="threads must be a whole number, at least 1"):
        nk.kernel(SMALL, np.ones((2, 3)), threads=threads)


def test_kernels_that_overflow():
    net = nk.Conv(2, 1, w_std=1e12) >> nk.Relu() >> nk.GlobalAvgPool() >> nk.Dense(1, w_std=1e12)
    with pytest.raises(nk.errors.NumericalError, match="it overflows float32"):
        nk.kernel(net, np.full((2, 3, 2), 1e6, np.float32), engine="fused")


POOLED = nk.Aggregate("mean", 1.0) >> nk.Dense(4) >> nk.Relu() >> nk.GlobalSumPool() >> nk.Dense(1)
NODES = nk.Aggregate("mean", 1.0) >> nk.Dense(1)


@pytest.mark.parametrize(
    ("net", "x", "engine", "why"),
    [
        (POOLED, random_graphs((4, 5)), "fused", "graphs by colours, at most 9 kinds among the 9 nodes"),
        (POOLED, (None, 3), "fused", "graphs by colours, every layer has an instruction"),
        (NODES, random_graphs((4,)), "fused", "graphs by colours"),
        (NODES, (None, 3), "reference", "a network that ends with nodes, of batches of more than one graph"),
        (
            nk.Dense(4) >> nk.LayerNorm() >> POOLED,
            random_graphs((4, 5)),
            "reference",
            "no instruction for a normalisation",
        ),
        (CONVNET.layers[-1], nk.Sequences([np.ones((3, 2))]), "reference", "reads graphs, and no sequences"),
    ],
)
def test_what_is_chosen_for_graphs_and_why(net, x, engine, why):
    found = explain(net, x)
    assert found.engine == engine
    assert why in found.why
    assert str(found).startswith(f"{engine}: ")
    if isinstance(x, tuple):
        assert "nan" not in str(found)
    else:
        assert found.seconds > 0
        assert found.bytes_per_pair > 0


def test_a_batch_of_graphs_has_its_own_size():
    with pytest.raises(InputError, match="a batch of 2 examples has its own number of rows"):
        explain(POOLED, random_graphs((4, 5)), 100)
    with pytest.raises(InputError, match="is explained for examples of one size"):
        explain(POOLED, random_graphs((4, 5)), engine="monte_carlo")

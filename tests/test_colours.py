"""Laws of the engine of colours: dense algebra and the reference engine, whatever the order, the blocks and the threads."""

import numpy as np
import pytest

import ntkit as nk
from ntkit.engines.colours import blocks
from ntkit.engines.colours.commuting import weights_behind_sums
from ntkit.engines.colours.engine import by_colours
from ntkit.engines.colours.maps import aggregation, readout
from ntkit.engines.colours.plan import plan_of
from ntkit.engines.colours.refinement import of_all, of_sums, of_values
from ntkit.errors import InputError
from ntkit.moments.neighbours import Neighbours
from ntkit.tape import NotOnTape, record
from reference import dense_graphs as reference

GENERIC = 1e-12  # of closed forms in float64
MEMORY = 2**30


def random_graphs(
    seed: int, n: int = 6, *, tags: int | None = None, sizes: tuple[int, int] = (2, 9)
) -> nk.Graphs:
    """Graphs whose edges are drawn at random; nodes have random features, or one of a few tags."""
    rng = np.random.default_rng(seed)
    nodes = rng.integers(*sizes, n)
    edges, weights = [], []
    for size in nodes:
        pairs = np.argwhere(np.triu(rng.random((size, size)) < 0.45, 1))
        edges.append(pairs)
        weights.append(np.ones(len(pairs)) if tags else rng.uniform(0.5, 1.5, len(pairs)))
    values = (
        rng.normal(size=(nodes.sum(), 4))
        if tags is None
        else np.eye(tags)[rng.integers(0, tags, nodes.sum())]
    )
    begins = [np.concatenate([[0], np.cumsum(c)]) for c in (nodes, [len(e) for e in edges])]
    return nk.Graphs(values, begins[0], np.concatenate(edges), begins[1], np.concatenate(weights))


def kernels(net, x1, x2=None, *, dtype="float64", memory=MEMORY, threads=1, tangent=True, colours=768):
    """By the engine."""
    *both, finite = by_colours(
        net, x1, x2, dtype=dtype, memory=memory, threads=threads, tangent=tangent, colours=colours
    )
    assert finite
    return both


def apart(found, exact) -> float:
    """The largest error of two kernels, relative to the roots of their diagonals."""
    errors = []
    for a, b in zip(found, exact, strict=True):
        own = np.sqrt(np.diag(b))
        own = np.where(own > 0, own, 1.0)
        errors.append(np.max(np.abs(a - b) / np.outer(own, own)))
    return max(errors)


HIDDEN = nk.Dense(8, 2**0.5)
NETWORKS = {
    "gntk": nk.zoo.gntk(blocks=2, mlp_layers=2, scale="sum"),
    "last_block": nk.zoo.gntk(blocks=3, mlp_layers=1, jumping=False),
    "biases": nk.Dense(8, 1.2, 0.3)
    >> nk.Relu()
    >> nk.Aggregate("mean", self_loops=1.0)
    >> nk.Dense(8, 1.1, 0.2)
    >> nk.LeakyRelu(0.1)
    >> nk.GlobalAvgPool()
    >> nk.Dense(1, 1.0, 0.1),
    "residual": HIDDEN
    >> nk.Residual(nk.Relu() >> nk.Aggregate(self_loops=0.5) >> HIDDEN)
    >> nk.Relu()
    >> nk.GlobalSumPool()
    >> nk.Dense(1),
    "residual_after_vectors": HIDDEN
    >> nk.Relu()
    >> nk.GlobalSumPool()
    >> HIDDEN
    >> nk.Residual(nk.Relu() >> HIDDEN)
    >> nk.Relu()
    >> nk.Dense(1),
    "concat": nk.Concat((HIDDEN >> nk.Aggregate("symmetric", self_loops=1.0), nk.Dense(24, 0.9)))
    >> HIDDEN
    >> nk.Relu()
    >> nk.GlobalAvgPool()
    >> nk.Dense(1),
    "smooth": nk.Dense(8, 1.0, 0.1)
    >> nk.Erf()
    >> nk.Aggregate("mean", self_loops=1.0)
    >> nk.Dense(8)
    >> nk.Gelu()
    >> nk.GlobalAvgPool()
    >> nk.Dense(1),
    "pagerank": HIDDEN
    >> nk.Relu()
    >> HIDDEN
    >> nk.Aggregate("symmetric", self_loops=1.0, steps=3, teleport=0.2)
    >> nk.Relu()
    >> nk.GlobalSumPool()
    >> nk.Dense(1),
    "frozen": nk.Aggregate(self_loops=1.0)
    >> nk.Dense(8, 1.3, w_lr=0.0)
    >> nk.Relu()
    >> nk.Dense(8, w_lr=0.5)
    >> nk.Aggregate(self_loops=1.0)
    >> nk.GlobalAvgPool()
    >> nk.Dense(1),
    "sums_alone": nk.Aggregate() >> nk.GlobalSumPool(),
}


# Independent references -----------------------------------------------------------------------------------------------


@pytest.mark.every(3)
@pytest.mark.parametrize("normalisation", ["sum", "mean", "symmetric"])
@pytest.mark.parametrize("mean", [False, True])
@pytest.mark.parametrize("act", ["relu", "erf"])
def test_dense_algebra(normalisation: str, mean: bool, act: str) -> None:
    x = random_graphs(1)
    function, layer = {"relu": (reference.relu, nk.Relu()), "erf": (reference.erf, nk.Erf())}[act]
    net = nk.Dense(8, 1.2, 0.1) >> layer
    k = function(reference.dense(reference.start(x), 1.2, 0.1))
    options = ((0.7, 1, 0.0), (1.0, 3, 0.15))
    for loops, steps, teleport in options:
        net = net >> nk.Aggregate(normalisation, loops, steps, teleport) >> nk.Dense(8, 1.4) >> layer
        k = reference.mapped(k, reference.aggregation(x, normalisation, loops, steps, teleport))
        k = function(reference.dense(k, 1.4))
    net = net >> (nk.GlobalAvgPool() if mean else nk.GlobalSumPool()) >> nk.Dense(1, w_lr=0.5)
    exact = reference.dense(reference.mapped(k, reference.readout(x, mean=mean)), 1.0, w_lr=0.5)
    # The polynomial of angles is right to 3e-13, of which smooth functions take larger multiples.
    assert apart(kernels(net, x), exact) < (GENERIC if act == "relu" else 10 * GENERIC)


@pytest.mark.parametrize("name", NETWORKS)
def test_reference_engine(name: str) -> None:
    net = NETWORKS[name]
    # Of nodes that look the same the reference engine knows the angle to the root of rounding.
    generic = random_graphs(2)
    tagged = generic.with_values(np.eye(4)[np.arange(len(generic.values)) % 3])
    for x, tolerance in ((generic, 1e-11), (tagged, 1e-8)):
        found = kernels(net, x)
        assert apart(found, nk.kernel(net, x, engine="reference")) < tolerance
        other = x.take(np.array([4, 0, 1]))
        for a, b in zip(kernels(net, other, x), found, strict=True):
            np.testing.assert_allclose(a, b[[4, 0, 1]], rtol=1e-10, atol=1e-12 * np.abs(b).max())


@pytest.mark.parametrize(
    "activation", [nk.LeakyRelu(0.2), nk.Sin(), nk.Rbf(), nk.Gelu()], ids=lambda a: type(a).__name__
)
def test_functions(activation: nk.Layer) -> None:
    net = nk.Dense(8, 0.8, 0.2) >> activation >> nk.Aggregate("mean", 1.0) >> nk.Dense(8) >> activation
    net = net >> nk.GlobalAvgPool() >> nk.Dense(8) >> activation >> nk.Dense(1)
    x = random_graphs(4)
    assert apart(kernels(net, x), nk.kernel(net, x, engine="reference")) < 1e-9


@pytest.mark.parametrize(
    "activation", [nk.Relu(), nk.LeakyRelu(0.3), nk.Abs()], ids=lambda a: type(a).__name__
)
def test_correlations_that_are_not_negative(activation: nk.Layer) -> None:
    """Data and sums without a minus have functions of their own; a node of zeros has no unit, and they do not apply."""
    block = (
        nk.Aggregate(self_loops=1.0) >> activation >> nk.Dense(8, 1.3, w_lr=0.7) >> activation >> nk.Dense(8)
    )
    net = nk.Dense(8, 1.2) >> block >> nk.Residual(block) >> nk.GlobalSumPool() >> nk.Dense(1)
    x = random_graphs(21)
    x = x.with_values(np.abs(x.values))
    acute = [field.acute for field in plan_of(record(net, (None, 4)), [x]).fields]
    assert all(acute)
    blank = x.with_values(np.where(np.arange(len(x.values))[:, None] == 2, 0.0, x.values))
    for data in (x, blank):
        exact = nk.kernel(net, data, engine="reference")
        assert apart(kernels(net, data), exact) < 1e-11
        assert apart(kernels(net, data, dtype="float32", colours=4), exact) < 1e-6


def test_weights_move_behind_the_sums_that_read_them() -> None:
    net = (
        nk.Dense(8, 1.2)
        >> nk.Aggregate()
        >> nk.Relu()
        >> nk.Dense(8, 1.1)
        >> nk.GlobalSumPool()
        >> nk.Dense(1)
    )
    names = [type(step).__name__ for step in weights_behind_sums(record(net, (None, 4)))]
    assert names == ["Data", "Spread", "Affine", "Activate", "Readout", "Affine", "Affine"]
    biased = nk.Dense(8, 1.2, 0.1) >> nk.Aggregate() >> nk.GlobalSumPool()
    assert weights_behind_sums(record(biased, (None, 4))) == record(biased, (None, 4))
    read = nk.Relu() >> nk.GlobalSumPool() >> nk.Dense(8)
    beside = nk.Dense(8) >> nk.Sum((nk.GlobalSumPool(), read)) >> nk.Dense(1)
    assert weights_behind_sums(record(beside, (None, 4))) == record(beside, (None, 4))


# Colours --------------------------------------------------------------------------------------------------------------


def test_colours_are_those_of_a_dictionary() -> None:
    x = random_graphs(5, 40, tags=2)
    m = aggregation(Neighbours("sum", 0.5, 1, 0.0), [x])
    partition = of_values(x.values)
    for _ in range(3):
        below = partition.colours
        partition, between = of_sums(m, partition)
        known: dict = {}
        for node in range(len(x.values)):
            sums: dict = {}
            for k in range(m.begins[node], m.begins[node + 1]):
                c = below[m.columns[k]]
                sums[c] = sums.get(c, 0.0) + m.weights[k]
            colour = known.setdefault(tuple(sorted(sums.items())), len(known))
            assert partition.colours[node] == colour
        assert partition.count == len(known) == len(between)


def test_weights_are_equal_to_rounding() -> None:
    star = [[0, k] for k in range(1, 6)]
    x = nk.Graphs(np.ones((8, 1)), [0, 6, 8], [*star, [0, 1]], [0, 5, 6])
    partition, _ = of_sums(aggregation(Neighbours("mean", 1.0, 1, 0.0), [x]), of_values(x.values))
    assert partition.count == 1
    sums, _ = of_sums(readout([x], mean=True), partition)
    assert sums.count == 1


def test_negative_zero_is_zero() -> None:
    assert of_values(np.array([[0.0], [-0.0], [1.0]])).colours.tolist() == [0, 0, 1]


def test_common_refinement() -> None:
    a, b = (of_values(np.array(v, float)[:, None]) for v in ([0, 0, 1, 1], [5, 6, 6, 6]))
    both, colours = of_all([a, b])
    assert both.colours.tolist() == [0, 1, 2, 2]
    assert [c.tolist() for c in colours] == [[0, 0, 1], [0, 1, 1]]


# Invariance -----------------------------------------------------------------------------------------------------------


def shuffled(x: nk.Graphs, rng: np.random.Generator) -> nk.Graphs:
    """The same graphs, their nodes and edges in another order."""
    values, edges = x.values.copy(), x.edges.copy()
    for g, (a, b) in enumerate(zip(x.offsets[:-1], x.offsets[1:], strict=True)):
        order = rng.permutation(b - a)
        values[a + order] = x.values[a:b]
        rows = slice(x.edge_offsets[g], x.edge_offsets[g + 1])
        edges[rows] = rng.permutation(order[x.edges[rows]])
    return nk.Graphs(values, x.offsets, edges, x.edge_offsets, directed=True)


def test_order_of_nodes() -> None:
    x = random_graphs(6, 20, tags=3)
    net = NETWORKS["gntk"]
    y = shuffled(x, np.random.default_rng(0))
    found, other, cross = kernels(net, x), kernels(net, y), kernels(net, x, y)
    for a, b, c in zip(found, other, cross, strict=True):
        np.testing.assert_allclose(b, a, rtol=1e-13)
        np.testing.assert_allclose(c, a, rtol=1e-13)
        np.testing.assert_allclose(np.diag(c), np.diag(a), rtol=1e-14)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", ["gntk", "residual", "smooth"])
def test_blocks_and_threads(name: str, dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "_REPEATED", np.inf)
    x = random_graphs(7, 30, tags=3)
    net = NETWORKS[name]
    whole = kernels(net, x)
    for colours, threads in ((1, 2), (25, 1), (60, 3)):
        found = kernels(net, x, dtype=dtype, colours=colours, threads=threads)
        assert all(k.dtype == dtype and np.array_equal(k, k.T) for k in found)
        assert apart(found, whole) < (1e-12 if dtype == "float64" else 2e-6)
        found = kernels(net, x.take(np.arange(10, 30)), x, dtype=dtype, colours=colours, threads=threads)
        for a, b in zip(found, whole, strict=True):
            np.testing.assert_allclose(a, b[10:], rtol=1e-11 if dtype == "float64" else 1e-5)


def test_equal_graphs_have_equal_rows() -> None:
    x = random_graphs(8, 5, tags=2)
    twice = x.take(np.array([0, 1, 2, 0, 1]))
    for k in kernels(NETWORKS["gntk"], twice):
        assert np.array_equal(k[0], k[3])
        assert k[0, 0] == k[0, 3] == k[3, 3]


def test_units_keep_digits_of_graphs_of_unlike_sizes() -> None:
    x = random_graphs(9, 30, tags=3)
    scaled = x.with_values(x.values * np.repeat(10.0 ** np.linspace(-4, 4, 30), x.sizes)[:, None])
    net = NETWORKS["gntk"]
    exact = kernels(net, scaled)
    for colours in (768, 1):
        for a, b in zip(kernels(net, scaled, dtype="float32", colours=colours), exact, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-5)


def test_zeros() -> None:
    x = random_graphs(10, 4)
    blank = x.with_values(np.where(np.arange(len(x.values))[:, None] < x.offsets[2], 0.0, x.values))
    for k in kernels(NETWORKS["gntk"], blank):
        assert (np.abs(k[:2]) < 1e-11).all()
        assert (np.diag(k)[2:] > 1).all()


def test_without_the_tangent_kernel() -> None:
    x = random_graphs(11, 12, tags=3)
    for name in ("gntk", "residual", "smooth"):
        both = kernels(NETWORKS[name], x)
        nngp, ntk = kernels(NETWORKS[name], x, tangent=False)
        assert ntk is None
        np.testing.assert_allclose(nngp, both[0], rtol=1e-13)


def test_infinite_kernels_are_reported() -> None:
    x = random_graphs(12, 3)
    net = nk.Dense(8, 1e100) >> nk.Relu() >> nk.Dense(8, 1e100) >> nk.GlobalSumPool()
    assert not by_colours(net, x, None, dtype="float64", memory=MEMORY, threads=1, tangent=True)[2]
    net = nk.Dense(8, 1e10) >> nk.Relu() >> nk.Dense(8, 1e10) >> nk.GlobalSumPool()
    assert not by_colours(net, x, None, dtype="float32", memory=MEMORY, threads=1, tangent=True)[2]


# Nodes as outputs -----------------------------------------------------------------------------------------------------


def test_nodes() -> None:
    x, y = (random_graphs(seed, 1, sizes=(40, 41)) for seed in (13, 14))
    net = nk.zoo.gcn(depth=3)
    k = reference.start(x)
    m = reference.aggregation(x, "symmetric", 1.0)
    for _ in range(2):
        k = reference.relu(reference.dense(reference.mapped(k, m), 2**0.5))
    exact = reference.dense(reference.mapped(k, m), 1.0)
    whole = kernels(net, x)
    assert apart(whole, exact) < GENERIC
    for a, b in zip(kernels(net, x, y), nk.kernel(net, x, y, engine="reference"), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9)


def test_nodes_in_pieces() -> None:
    line = np.stack([np.arange(299), np.arange(1, 300)], axis=1)
    x = nk.Graphs(np.random.default_rng(0).normal(size=(300, 3)), [0, 300], line)
    net = nk.zoo.gcn()
    pieces = kernels(net, x, memory=blocks._BYTES * 60**2)
    assert apart(pieces, kernels(net, x)) < GENERIC
    assert all(np.array_equal(k, k.T) for k in pieces)


# The paper's kernel ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("jumping", [False, True])
@pytest.mark.parametrize("mlp_layers", [1, 3])
@pytest.mark.parametrize("scale", ["sum", "degree"])
def test_gntk_is_that_of_the_paper(scale: str, mlp_layers: int, jumping: bool) -> None:
    x = random_graphs(15)
    features = x.values @ x.values.T
    m = reference.aggregation(x, "mean" if scale == "degree" else "sum", 1.0)
    covariance, theta, read = features, features, features
    for _ in range(2):
        covariance, theta = reference.mapped((covariance, theta), m)
        for _ in range(mlp_layers):
            covariance, sloped = (2 * k for k in reference.relu((covariance, theta)))
            theta = sloped + covariance
        read = read + theta
    pool = reference.readout(x, mean=False)
    exact = pool @ (read if jumping else theta) @ pool.T
    net = nk.zoo.gntk(blocks=2, mlp_layers=mlp_layers, scale=scale, jumping=jumping)
    _, ntk = kernels(net, x)
    np.testing.assert_allclose(ntk * x.channels / 2, exact, rtol=1e-11)


# What is refused ------------------------------------------------------------------------------------------------------


def test_nodes_of_several_graphs_are_refused() -> None:
    with pytest.raises(NotOnTape, match="ends with nodes, of batches of more than one graph"):
        kernels(nk.zoo.gcn(), random_graphs(16, 2))


def test_instructions_beyond_the_engine_are_refused() -> None:
    net = nk.Dense(8) >> nk.Dropout(0.5) >> nk.GlobalSumPool()
    with pytest.raises(NotOnTape, match="Inflate over graphs"):
        kernels(net, random_graphs(17, 2))


def test_norms_that_are_far_apart_are_refused() -> None:
    x = random_graphs(18, 4)
    scaled = x.with_values(x.values * np.repeat([1e-8, 1.0, 1.0, 1.0], x.sizes)[:, None])
    with pytest.raises(NotOnTape, match="times apart, where digits would be lost"):
        kernels(NETWORKS["biases"], scaled)


def test_norms_that_are_apart_are_computed_in_double_precision() -> None:
    x = random_graphs(19, 6)
    scaled = x.with_values(x.values * np.repeat(10.0 ** np.linspace(-2, 2, 6), x.sizes)[:, None])
    net = nk.Dense(8) >> nk.Relu() >> nk.GlobalAvgPool() >> nk.Dense(8, 1.0, 1e-3) >> nk.Relu() >> nk.Dense(1)
    found = kernels(net, scaled, dtype="float32", colours=1)
    for a, b in zip(found, kernels(net, scaled), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5)


def test_memory_that_is_too_small_is_refused() -> None:
    for net in (NETWORKS["gntk"], nk.zoo.gcn()):
        with pytest.raises(InputError, match="give more memory, or fewer threads"):
            kernels(net, random_graphs(20, 1, sizes=(30, 31)), memory=2**10)

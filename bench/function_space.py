"""How exact training in function space is: the oracle, matrix functions, methods against closed forms, real training.

`python bench/function_space.py` measures all rows, `… oracle tiles` some; each writes a file of its own.
"""

import concurrent.futures
import multiprocessing
import resource
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np
import optax
import scipy.linalg

import ntkit as nk
import record
from ntkit.predict import (
    ensemble,
    gradient_descent,
    gradient_flow,
    in_tiles,
    largest_learning_rate,
    loss_flow,
    posterior,
)

sys.path.insert(0, str(record.ROOT / "tests"))

DYNAMICS = dict(np.load(record.ROOT / "tests" / "oracle" / "dynamics.npz"))
K, K_TEST = DYNAMICS["ntk_train_train"], DYNAMICS["ntk_test_train"]
Y, F0, F0_TEST = DYNAMICS["y_train"], DYNAMICS["f_train_0"], DYNAMICS["f_test_0"]
NNGP, CROSS, TEST = (DYNAMICS[f"nngp_{block}"] for block in ("train_train", "test_train", "test_test"))
OUTPUTS = 2  # the oracle's losses are means over outputs too
RIDGES = {"": 0.0, "_reg_relative": 0.01 * np.trace(K) / len(K), "_reg_absolute": 0.05}
TIMES = [0.0, 0.1, 1.0, 10.0, 100.0]


def _off(found: np.ndarray, expected: np.ndarray) -> float:
    return float(np.abs(found - expected).max() / np.abs(expected).max())


def oracle() -> None:
    """All cases of the oracle, relative to the largest entry."""
    closed, flows = _closed_forms(), {}
    for name, (loss, rate, momentum, times) in {
        "mse_ode_lr05": ("squared", 0.25, None, [0, 0.1, 1, 10, 100, 300]),
        "momentum09_lr1": ("squared", 0.5, 0.9, [0, 0.1, 1, 3, 10, 30]),
        "momentum0_lr05": ("squared", 0.25, 0.0, [0, 0.1, 1, 3, 10, 30]),
        "momentum09_lr025": ("squared", 0.125, 0.9, [0, 0.1, 1, 3, 10, 30]),
        "cross_entropy_lr1": ("cross_entropy", 0.5, None, [0, 0.1, 1, 10, 100, 300]),
        "cross_entropy_momentum09_lr1": ("cross_entropy", 0.5, 0.9, [0, 0.1, 1, 3, 10, 30]),
    }.items():
        y = DYNAMICS["labels_onehot"] if loss == "cross_entropy" else Y
        flow = loss_flow(
            K, y, times, loss=loss, learning_rate=rate, momentum=momentum, f0_train=F0, tolerance=1e-8
        )
        flows[name] = max(
            _off(flow.train, DYNAMICS[f"{name}_train_tight"]),
            _off(flow.test(K_TEST, F0_TEST), DYNAMICS[f"{name}_test_tight"]),
        )
    record.write(
        "function_space_oracle",
        {
            "required": "flows of losses 1e-6, closed forms 1e-9",
            "reached_flows": max(flows.values()),
            "reached_closed": max(closed.values()),
            "holds": max(flows.values()) <= 1e-6 and max(closed.values()) <= 1e-9,
            "flows": flows,
            "closed": closed,
        },
    )


def _closed_forms() -> dict[str, float]:
    found, times = {}, [*TIMES, np.inf]
    for name, ridge in RIDGES.items():
        curve = gradient_flow(K, Y, f0_train=F0, ridge=ridge, learning_rate=1 / OUTPUTS)
        test = np.concatenate([DYNAMICS[f"mse{name}_test"], DYNAMICS[f"mse{name}_test_inf"][None]])
        found[f"mse{name}_test"] = _off(curve.test(times, K_TEST, F0_TEST), test)
        train = np.concatenate([DYNAMICS[f"mse{name}_train"], DYNAMICS[f"mse{name}_train_inf"][None]])
        # With a ridge the oracle's training outputs go to y; ΘΘ̃⁻¹ of their way is what the penalty allows.
        shrink = K @ np.linalg.inv(K + ridge * np.eye(len(K)))
        found[f"mse{name}_train"] = _off(curve.train(times), F0 + shrink @ (train - F0))
        for kind, kernel, cross in (("ntk", K, K_TEST), ("nngp", NNGP, CROSS)):
            relative = ridge if name != "_reg_relative" else 0.01 * np.trace(kernel) / len(K)
            networks = ensemble(gradient_flow(kernel, Y, ridge=relative, learning_rate=1 / OUTPUTS), NNGP)
            at_test = networks.test(times, cross, CROSS, TEST)
            case = f"ensemble{name}_{kind}_test"
            found[f"{case}_mean"] = _off(at_test.mean, DYNAMICS[f"{case}_mean"])
            if not (ridge and kind == "nngp"):  # neural-tangents' own formula there
                found[f"{case}_cov"] = _off(at_test.covariance, DYNAMICS[f"{case}_cov"])
            if not ridge:
                at_train = networks.train(times)
                found[f"ensemble_{kind}_train_mean"] = _off(
                    at_train.mean, DYNAMICS[f"ensemble_{kind}_train_mean"]
                )
                found[f"ensemble_{kind}_train_cov"] = _off(
                    at_train.covariance, DYNAMICS[f"ensemble_{kind}_train_cov"]
                )
    for kind in ("nngp", "ntkgp"):
        block = {
            b: DYNAMICS[f"{kind[:3] if kind == 'ntkgp' else kind}_{b}"]
            for b in ("train_train", "test_train", "test_test")
        }
        process = posterior(block["train_train"], Y, noise=0.01 * np.trace(block["train_train"]) / len(K))
        found[f"gp_{kind}_mean"] = _off(process.mean(block["test_train"]), DYNAMICS[f"gp_{kind}_mean"])
        found[f"gp_{kind}_cov"] = _off(
            process.covariance(block["test_train"], block["test_test"]), DYNAMICS[f"gp_{kind}_cov"]
        )
    at_end = ensemble(gradient_flow(K, Y, ridge=RIDGES["_reg_relative"]), NNGP).test(
        np.inf, K_TEST, CROSS, TEST
    )
    found["gp_ntk_mean"] = _off(at_end.mean, DYNAMICS["gp_ntk_mean"])
    found["gp_ntk_cov"] = _off(at_end.covariance, DYNAMICS["gp_ntk_cov"])
    return found


def _problem(seed: int) -> tuple[np.ndarray, ...]:
    draw = np.random.default_rng(seed)
    n, m, outputs = draw.integers(1, 16), draw.integers(1, 5), draw.integers(1, 4)
    x = draw.normal(size=(n + m, 4))
    k = np.exp(-0.5 * np.sum((x[:, None] - x) ** 2, axis=-1)) + 0.1 * x @ x.T
    f = draw.normal(size=(n + m, outputs))
    return k[:n, :n], k[n:, :n], draw.normal(size=(n, outputs)), f[:n], f[n:]


def matrix_functions() -> None:
    """Closed forms against matrix exponentials and powers of 500 random problems, relative to the largest output."""
    worst = {"flow": 0.0, "descent": 0.0, "momentum": 0.0}
    for seed in range(500):
        k, cross, y, f0, f0_test = _problem(seed)
        draw, n = np.random.default_rng(1000 + seed), len(k)
        ridge, steps = float(draw.choice([0.0, 0.3])), int(draw.integers(0, 200))
        shifted, beta = k + ridge * np.eye(n), float(draw.uniform(0, 0.95))
        for what in worst:
            momentum = beta if what == "momentum" else 0.0
            rate = float(draw.uniform(0.1, 0.99)) * largest_learning_rate(k, ridge=ridge, momentum=momentum)
            if what == "flow":
                left = scipy.linalg.expm(-steps * rate / n * shifted)
                curve = gradient_flow(k, y, f0_train=f0, ridge=ridge, learning_rate=rate)
            else:
                one = np.block(
                    [
                        [np.eye(n) - rate / n * shifted, -momentum * np.eye(n)],
                        [rate / n * shifted, momentum * np.eye(n)],
                    ]
                )
                left = np.linalg.matrix_power(one, steps)[:n, :n]
                curve = gradient_descent(
                    k, y, f0_train=f0, ridge=ridge, learning_rate=rate, momentum=momentum
                )
            alpha = np.linalg.solve(shifted, (np.eye(n) - left) @ (y - f0))
            size = np.abs(np.concatenate([y, f0, f0_test])).max()
            train, test = f0 + k @ alpha, f0_test + cross @ alpha
            off = max(
                np.abs(curve.train(steps) - train).max(),
                np.abs(curve.test(steps, cross, f0_test) - test).max(),
            )
            worst[what] = max(worst[what], float(off / size))
    record.write(
        "function_space_matrix_functions",
        {
            "required": "at most 1e-9",
            "reached": max(worst.values()),
            "holds": max(worst.values()) <= 1e-9,
            "worst": worst,
            "problems": 500,
        },
    )


def tolerances() -> None:
    """The flow of the squared loss by each method against the closed form, at three tolerances, in units of 1 + |f|."""
    import diffrax

    from ntkit.predict.chebyshev import Chebyshev

    times, found = [0.5, 20.0, 300.0], {}
    curve = gradient_flow(K, Y, f0_train=F0)
    expected = curve.train(times), curve.test(times, K_TEST, F0_TEST)
    for name, solver in (("chosen", None), ("stabilised", Chebyshev()), ("implicit", diffrax.Kvaerno5())):
        for tolerance in (1e-2, 1e-4, 1e-6):
            flow = loss_flow(K, Y, times, loss="squared", f0_train=F0, tolerance=tolerance, solver=solver)
            got = flow.train, flow.test(K_TEST, F0_TEST)
            off = [float((np.abs(a - b) / (1 + np.abs(b))).max()) for a, b in zip(got, expected, strict=True)]
            found[f"{name}_{tolerance:g}"] = max(off)
    holds = all(off <= float(name.split("_")[1]) for name, off in found.items())
    record.write(
        "function_space_tolerances",
        {"required": "within the tolerance, at 3 tolerances", "holds": holds, "reached": found},
    )


def many_networks() -> None:
    """Means and covariances of 1,000 trained networks of width 2048 against those of the ensemble."""
    from many_networks import compare

    begin = time.perf_counter()
    found = compare(networks=1000, width=2048)
    beyond, plain = found.beyond, np.abs(found.deviation) / found.error
    record.write(
        "function_space_many_networks",
        {
            "required": "at least 99 % of entries within 3 standard errors (+ 2/width of the largest variance), none beyond 5",
            "reached_within_3": float(np.mean(beyond <= 3)),
            "reached_largest": float(beyond.max()),
            "holds": bool(np.mean(beyond <= 3) >= 0.99 and beyond.max() <= 5),
            "without_allowance_within_3": float(np.mean(plain <= 3)),
            "without_allowance_largest": float(plain.max()),
            "entries": len(plain),
            "seconds": round(time.perf_counter() - begin, 1),
        },
    )


def momentum() -> None:
    """Runs of optax on a linearised network against the closed forms, and 0.99 and 1.01 of the largest step."""
    net = nk.Dense(32, w_std=1.5) >> nk.Erf() >> nk.Dense(1)
    runs, edge = {}, {}
    with jax.enable_x64(True):
        x = jax.random.normal(jax.random.key(1), (12, 5), jnp.float64)
        params = jax.tree.map(lambda p: p.astype(jnp.float64), net.init(jax.random.key(0), (5,))[0])
        f = nk.finite.linearize(net.apply, params)
        k = np.asarray(nk.finite.empirical.ntk(net.apply, params, x, form="trace"))
        y = np.asarray(jax.random.normal(jax.random.key(2), (12, 1), jnp.float64))
        start = np.asarray(f(params, x))
        for beta, nesterov in ((0.0, False), (0.9, False), (0.9, True), (0.99, True)):
            limit = largest_learning_rate(k, momentum=beta, nesterov=nesterov)
            name = f"momentum {beta:g}{', Nesterov' if nesterov else ''}"
            rule = optax.sgd(0.3 * limit, momentum=beta or None, nesterov=nesterov)
            real = nk.finite.train(f, params, x, y, steps=500, optimiser=rule)
            curve = gradient_descent(
                k, y, learning_rate=0.3 * limit, momentum=beta, nesterov=nesterov, f0_train=start
            )
            runs[name] = _off(real.outputs["train"], curve.train(real.steps))
            for factor in (0.99, 1.01):
                rule = optax.sgd(factor * limit, momentum=beta or None, nesterov=nesterov)
                try:
                    steps = [0, 2000, 4000]
                    loss = nk.finite.train(f, params, x, y, steps=4000, optimiser=rule, record=steps).loss
                    edge[f"{name}, {factor}"] = (
                        "converges" if loss[2] < 1e-3 * loss[0] else f"diverges, {loss[2]:.1e}"
                    )
                except nk.errors.NumericalError:
                    edge[f"{name}, {factor}"] = "diverges"
    right = all(state.startswith("converges") == name.endswith("0.99") for name, state in edge.items())
    record.write(
        "function_space_momentum",
        {
            "required": "runs of optax at most 1e-6 off; 0.99 of the largest step converges, 1.01 diverges",
            "reached": max(runs.values()),
            "holds": max(runs.values()) <= 1e-6 and right,
            "runs": runs,
            "largest_step": edge,
        },
    )


def tiles() -> None:
    """Outputs at a million test points at ten times, with their scatter, and the memory of it beside one block's."""
    with concurrent.futures.ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as processes:
        found = processes.submit(_a_million).result()
    record.write(
        "function_space_tiles",
        {
            "required": "a test set of a million rows without a matrix of a million rows",
            "holds": found["peak_gib"] < found["matrices_gib"] / 2,
            **found,
        },
    )


def _a_million() -> dict[str, float]:
    rng = np.random.default_rng(0)
    x, x_test, y = rng.normal(size=(1000, 20)), rng.normal(size=(10**6, 20)), rng.normal(size=(1000, 1))
    k = nk.kernel_fn(nk.Dense(1, w_std=2**0.5) >> nk.Relu() >> nk.Dense(1))
    times = np.geomspace(1.0, 1e4, 10)
    networks, diagonal = ensemble(gradient_flow(k(x).ntk, y), k(x).nngp), np.asarray(k.diag(x_test).nngp)
    begin = time.perf_counter()
    curves = in_tiles(lambda _, pair: networks.curve.test(times, pair.ntk), k, x_test, x, axis=1)
    seconds = {"curves_s": time.perf_counter() - begin}
    begin = time.perf_counter()
    scatter = in_tiles(
        lambda part, pair: networks.test_variance(times[-1], pair.ntk, pair.nngp, diagonal[part]),
        k,
        x_test,
        x,
    )
    seconds["scatter_s"] = time.perf_counter() - begin
    assert curves.shape == (10, 10**6, 1)
    assert scatter.shape == (10**6,)
    return {
        **{name: round(value, 1) for name, value in seconds.items()},
        "peak_gib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2),
        "matrices_gib": round(2 * x_test.shape[0] * len(x) * 8 / 2**30, 2),
    }


ROWS = {
    "oracle": oracle,
    "matrix_functions": matrix_functions,
    "tolerances": tolerances,
    "many_networks": many_networks,
    "momentum": momentum,
    "tiles": tiles,
}

if __name__ == "__main__":
    for row in sys.argv[1:] or ROWS:
        ROWS[row]()

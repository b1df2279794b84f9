"""Lazy or rich: the verdict turns with the scale of the outputs, in JAX and in PyTorch, and its figures are what they say."""

import copy
import dataclasses

import jax
import numpy as np
import pytest
import torch
from typer.testing import CliRunner

import ntkit as nk
import ntkit.finite.torch
from ntkit.analysis import alpha_sweep, regime_report
from ntkit.cli import app
from ntkit.errors import InputError, NumericalError

NET = nk.Dense(64, w_std=1.5) >> nk.Erf() >> nk.Dense(64, w_std=1.5) >> nk.Erf() >> nk.Dense(1)


def data(n: int = 40) -> tuple[np.ndarray, np.ndarray]:
    x = np.random.default_rng(0).normal(size=(n, 3))
    return x, np.sign(x[:, :1] * x[:, 1:2])


def trained(alpha: float, steps: int = 400) -> nk.finite.TrainingRun:
    """A centred network scaled by α, whose training is the lazier the larger α is."""
    (x, y), (x_test, y_test) = data(), data(60)
    params, _ = NET.init(jax.random.key(1), (3,))
    params = jax.tree.map(lambda p: np.asarray(p, np.float64), params)
    f = nk.finite.scale(nk.finite.centre(NET.apply, params), alpha)
    run = nk.finite.train(f, params, x, y, steps=steps, learning_rate=0.5 / alpha**2)
    return nk.finite.observe(f, params, run.params, x, y, x_test=x_test[40:], y_test=y_test[40:])


@pytest.fixture(scope="module")
def runs() -> dict[float, nk.finite.TrainingRun]:
    return {alpha: trained(alpha) for alpha in (0.05, 1.0, 30.0)}


def test_the_verdict_flips_with_the_scale(runs):
    reports = [regime_report(run) for run in runs.values()]
    assert [report.verdict for report in (reports[0], reports[-1])] == ["rich", "lazy"]
    assert min(report.confidence for report in (reports[0], reports[-1])) > 0.9
    for name in ("kernel_distance", "linearisation_error", "movement", "relative_change", "kappa"):
        values = [getattr(report, name) for report in reports]
        assert values == sorted(values, reverse=True), name


def test_kappa_of_a_centred_network_falls_as_one_over_alpha(runs):
    assert runs[1.0].kappa / runs[30.0].kappa == pytest.approx(30, rel=1e-6)


def test_a_linear_model_is_lazy_to_rounding():
    x, y = data()
    w = np.ones((3, 1))
    run = nk.finite.observe(lambda p, x: x @ p, w, w + 1.0, x, y)
    report = regime_report(run)
    assert (report.verdict, report.confidence) == ("lazy", 1.0)
    assert max(report.kernel_distance, report.linearisation_error, report.kappa) < 1e-12
    assert np.isnan(report.error_network)
    assert "unexplained" not in str(report)


def test_of_a_square_kappa_is_known():
    """f = w²: D²f[v, v] = 2v², Df[v] = 2wv, so κ = |f − y|/(2w²)."""
    run = nk.finite.observe(
        lambda w, x: w**2 * x, np.array(3.0), np.array(3.5), np.ones((10, 1)), np.full((10, 1), 4.0)
    )
    assert run.kappa == pytest.approx(np.sqrt(10) * 5 * 2 / np.sqrt(10) / 36, rel=1e-12)
    assert run.linear[0, 0] == pytest.approx(9 + 6 * 0.5)
    assert run.movement == pytest.approx(0.5 / 3)


@pytest.mark.slow
def test_a_sweep_over_alpha_falls_from_rich_to_lazy():
    x, y = data()
    params, _ = NET.init(jax.random.key(1), (3,))
    found = alpha_sweep(NET.apply, params, x, y, [0.1, 0.3, 1, 3, 10, 30], steps=300, learning_rate=0.5)
    assert (np.diff(found.kernel_distance) < 0).all()


def torch_copy(params: tuple) -> torch.nn.Module:
    """The same network in PyTorch, the scales of the NTK parametrisation put into its weights."""
    layers = []
    for p, scale in zip(params[::2], (1.5, 1.5, 1.0), strict=True):
        w = torch.as_tensor(np.array(p["W"])).T * scale / len(p["W"]) ** 0.5
        linear = torch.nn.Linear(*p["W"].shape, bias=False, dtype=torch.float64)
        linear.weight.data = w
        layers += [linear, Erf()]
    return torch.nn.Sequential(*layers[:-1]).eval()


class Erf(torch.nn.Module):
    def forward(self, x):
        return torch.erf(x)


def test_pytorch_and_jax_see_the_same():
    x, y = data()
    start, _ = NET.init(jax.random.key(1), (3,))
    start = jax.tree.map(lambda p: np.asarray(p, np.float64), start)
    end = nk.finite.train(NET.apply, start, x, y, steps=100, learning_rate=0.5).params
    models = [torch_copy(start), torch_copy(end)]
    named = [dict(m.named_parameters()) for m in models]

    def f(p, x):
        for i, name in enumerate(named[0]):
            x = x @ p[name].T
            x = jax.scipy.special.erf(x) if i < 2 else x
        return x

    params = [{k: v.detach().numpy() for k, v in p.items()} for p in named]
    tests = {"x_test": x[:7], "y_test": y[:7]}
    ours = nk.finite.observe(f, *params, x, y, **tests)
    theirs = ntkit.finite.torch.observe(
        *models, torch.as_tensor(x), y, x_test=torch.as_tensor(x[:7]), y_test=y[:7]
    )
    for field in dataclasses.fields(ours):
        np.testing.assert_allclose(
            getattr(theirs, field.name), getattr(ours, field.name), rtol=1e-9, atol=1e-12, err_msg=field.name
        )


def test_a_run_is_the_same_after_its_file(runs, tmp_path):
    runs[1.0].save(tmp_path / "run.npz")
    assert regime_report(nk.finite.load_run(tmp_path / "run.npz")) == regime_report(runs[1.0])
    said = CliRunner().invoke(app, ["regime", str(tmp_path / "run.npz")])
    assert said.exit_code == 0
    assert said.output.strip() == str(regime_report(runs[1.0]))


@pytest.mark.parametrize("content", [None, b"", b"not a zip", {"a": 1}, {"format": 1, "before": 0.0}])
def test_what_is_no_run_is_refused(content, tmp_path):
    path = tmp_path / "run.npz"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        np.savez(path, **content)
    with pytest.raises(InputError, match=r"there is no file|not a saved training run|not a training run"):
        nk.finite.load_run(path)
    said = CliRunner().invoke(app, ["regime", str(path)])
    assert said.exit_code == 2


def changed(run, **values):
    return dataclasses.replace(run, **values)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda r: "a text", InputError, "expected a TrainingRun"),
        (lambda r: changed(r, targets=r.targets[:5]), InputError, "needs at least 10"),
        (lambda r: changed(r, after=r.after * np.nan), NumericalError, "diverged"),
        (lambda r: changed(r, after=r.before), InputError, "not trained"),
        (lambda r: changed(r, targets=r.targets * 0 + 1), InputError, "constant"),
        (lambda r: changed(r, test_targets=r.test_targets * 0), InputError, "test examples are constant"),
    ],
)
def test_runs_that_say_nothing_are_refused(runs, change, error, message):
    with pytest.raises(error, match=message):
        regime_report(change(runs[1.0]))


def test_wrong_observations_are_refused():
    x, y = data()
    w = np.ones((3, 1))

    def f(p, x):
        return x @ p

    with pytest.raises(InputError, match="their shapes differ"):
        nk.finite.observe(f, w, np.ones((3, 2)), x, y)
    with pytest.raises(InputError, match="one-hot"):
        nk.finite.observe(f, w, 2 * w, x, y[:5])
    with pytest.raises(InputError, match="x_test and y_test"):
        nk.finite.observe(f, w, 2 * w, x, y, x_test=x)
    model, other = torch.nn.Linear(3, 1), torch.nn.Linear(3, 1, bias=False)
    rows = torch.ones(4, 3)
    with pytest.raises(InputError, match="their parameters differ"):
        ntkit.finite.torch.observe(model, other, rows, torch.ones(4, 1))
    with pytest.raises(InputError, match="x_test and y_test"):
        ntkit.finite.torch.observe(model, copy.deepcopy(model), rows, torch.ones(4, 1), x_test=rows)


class Backward(torch.autograd.Function):
    """The identity, without a derivative forward."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x):
        return x.clone()

    @staticmethod
    def setup_context(ctx, inputs, output):
        pass

    @staticmethod
    def backward(ctx, g):
        return g


class BothWays(Backward):
    """The identity, with a first derivative forward that has none itself."""

    @staticmethod
    def jvp(ctx, tangent):
        return Backward.apply(tangent)


class Through(torch.nn.Module):
    def __init__(self, function: type):
        super().__init__()
        self.w, self.function = torch.nn.Parameter(torch.ones(3, 1)), function

    def forward(self, x):
        return self.function.apply(x @ self.w)


def test_without_derivatives_forward_a_model_is_refused():
    model = Through(Backward).eval()
    with pytest.raises(InputError, match="no derivative forward"):
        ntkit.finite.torch.observe(model, copy.deepcopy(model), torch.randn(4, 3), torch.ones(4, 1))


def test_without_second_derivatives_kappa_is_not_known():
    model = Through(BothWays).eval()
    run = ntkit.finite.torch.observe(model, copy.deepcopy(model), torch.randn(4, 3), torch.ones(4, 1))
    assert np.isnan(run.kappa)

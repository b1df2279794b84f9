"""Models of Flax, Equinox and PyTorch have the kernels of their explicit Jacobians."""

import equinox as eqx
import flax.linen
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from flax import nnx
from torch import nn

import ntkit.finite.torch
from finite_functions import in_form
from ntkit.errors import InputError, NumericalError
from ntkit.finite import empirical, from_equinox, from_linen, from_nnx

X = np.random.default_rng(0).normal(size=(4, 6)).astype(np.float32)
FORMS = ["full", "trace", "diagonal", "sum_of_logits"]


class Linen(flax.linen.Module):
    @flax.linen.compact
    def __call__(self, x, train=False):
        x = flax.linen.BatchNorm(use_running_average=not train)(flax.linen.Dense(7)(x))
        return flax.linen.Dense(2)(flax.linen.relu(x))


class Nnx(nnx.Module):
    def __init__(self):
        rngs = nnx.Rngs(0)
        self.first, self.last = nnx.Linear(6, 7, rngs=rngs), nnx.Linear(7, 2, rngs=rngs)
        self.norm, self.drop = nnx.BatchNorm(7, rngs=rngs), nnx.Dropout(0.5, rngs=rngs)

    def __call__(self, x):
        return self.last(self.drop(jnp.tanh(self.norm(self.first(x)))))


def linen():
    module = Linen()
    return from_linen(module, module.init(jax.random.key(0), X))


def in_evaluation():
    model = Nnx()
    model.eval()
    return from_nnx(model)


@pytest.mark.parametrize(
    "make", [linen, in_evaluation, lambda: from_equinox(eqx.nn.MLP(6, 2, 8, 2, key=jax.random.key(0)))]
)
def test_models_of_jax(make):
    model = make()
    found = [
        empirical.ntk(model.f, model.params, X, method=m) for m in ("structured", "jacobian", "products")
    ]
    for k in found[1:]:
        np.testing.assert_allclose(found[0], k, rtol=1e-4, atol=1e-4)


def test_training_mode_is_refused():
    module = Linen()
    variables = module.init(jax.random.key(0), X)
    model = from_linen(module, variables, train=True, mutable=["batch_stats"])
    with pytest.raises(InputError, match="the function returns tuple"):
        empirical.ntk(model.f, model.params, X)
    with pytest.raises(InputError, match=r"(BatchNorm|Dropout) is in training mode.* call model.eval\(\)"):
        from_nnx(Nnx())
    with pytest.raises(InputError, match='variables must have "params"'):
        from_linen(module, {"batch_stats": {}})


# PyTorch ----------------------------------------------------------------------------------------------------------------


class Tied(nn.Module):
    """One matrix in two modules, and a parameter in none."""

    def __init__(self):
        super().__init__()
        self.a, self.b, self.g = nn.Linear(6, 6), nn.Linear(6, 6), nn.Parameter(torch.randn(6))
        self.b.weight = self.a.weight

    def forward(self, x):
        return self.b(torch.tanh(self.a(torch.tanh(self.a(x))) * self.g))


class Elsewhere(nn.Module):
    """A module's matrix that is used outside of it too, and a module that nothing comes of."""

    def __init__(self):
        super().__init__()
        self.a, self.unused = nn.Linear(6, 6), nn.Linear(6, 2)

    def forward(self, x):
        self.unused(x)
        return torch.tanh(self.a(x)) @ self.a.weight


def convolutional() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1, stride=2),
        nn.BatchNorm2d(4),
        nn.ReLU(inplace=True),
        nn.Conv2d(4, 4, (3, 2), padding="same", dilation=2, bias=False),
        nn.Tanh(),
        nn.Conv2d(4, 4, 3, groups=2),
        nn.Flatten(),
        nn.Linear(32, 3),
    )


def mlp() -> nn.Module:
    return nn.Sequential(nn.Linear(6, 7), nn.ReLU(inplace=True), nn.LayerNorm(7), nn.Linear(7, 3))


def line() -> nn.Module:
    return nn.Sequential(
        nn.Conv1d(2, 4, 3, padding=1),
        nn.BatchNorm1d(4),
        nn.Tanh(),
        nn.Conv1d(4, 2, 2, stride=2),
        nn.Flatten(),
    )


def tokens() -> nn.Module:
    return nn.Sequential(nn.Linear(6, 4), nn.Tanh(), nn.Linear(4, 2), nn.Flatten())


def frozen() -> nn.Module:
    model = mlp()
    model[0].weight.requires_grad_(False)
    model[3].bias.requires_grad_(False)
    return model


MODELS = {
    "mlp": (mlp, (6,)),
    "frozen": (frozen, (6,)),
    "convolutional": (convolutional, (2, 12, 8)),
    "line": (line, (2, 5)),
    "tied": (Tied, (6,)),
    "elsewhere": (Elsewhere, (6,)),
    "tokens": (tokens, (3, 6)),
}


def built(name: str) -> tuple[nn.Module, torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    make, shape = MODELS[name]
    model = make().double().eval()
    for module in model.modules():
        if hasattr(module, "running_mean"):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
    return model, torch.randn(5, *shape).double(), torch.randn(4, *shape).double()


def jacobian(model: nn.Module, x: torch.Tensor) -> np.ndarray:
    """(n, O, parameters), one backward pass after another."""
    trained = [p for p in model.parameters() if p.requires_grad]
    y = model(x).reshape(len(x), -1)

    def gradient(output: torch.Tensor) -> np.ndarray:
        found = torch.autograd.grad(output, trained, retain_graph=True, allow_unused=True)
        parts = [torch.zeros_like(p) if g is None else g for p, g in zip(trained, found, strict=True)]
        return torch.cat([p.flatten() for p in parts]).numpy()

    return np.stack([np.stack([gradient(o) for o in row]) for row in y])


@pytest.mark.parametrize("name", MODELS)
def test_models_of_torch(name: str):
    model, x1, x2 = built(name)
    j1, j2 = jacobian(model, x1), jacobian(model, x2)
    both, one = np.einsum("iap,jbp->ijab", j1, j2), np.einsum("iap,jbp->ijab", j1, j1)
    for method in ntkit.finite.torch.kernels.METHODS:
        for form in FORMS:
            found = ntkit.finite.torch.ntk(model, x1, x2, form=form, method=method).numpy()
            np.testing.assert_allclose(
                found, in_form(both, form), rtol=1e-10, atol=1e-10 * np.abs(both).max()
            )
            found = ntkit.finite.torch.ntk(model, x1, form=form, method=method).numpy()
            np.testing.assert_allclose(found, in_form(one, form), rtol=1e-10, atol=1e-10 * np.abs(one).max())


@pytest.mark.parametrize("memory", [20_000, 60_000])
def test_blocks_of_torch(memory: int):
    model, x1, x2 = built("mlp")
    for form in FORMS:
        for columns in (None, x2):
            expected = ntkit.finite.torch.ntk(model, x1, columns, form=form)
            found = ntkit.finite.torch.ntk(model, x1, columns, form=form, memory=memory)
            torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"form": "half"}, "form must be one of"),
        ({"method": "magic"}, "method must be one of"),
        ({"memory": 10}, "one example takes about"),
        ({"x2": torch.ones(2, 3).double()}, "x2 must hold examples shaped like x1's"),
        ({"x1": torch.ones(0, 6).double()}, "x1 must be a tensor with the examples first"),
        ({"x1": X}, "x1 must be a tensor"),
        ({"model": torch.tanh}, "model must be a torch.nn.Module"),
        (
            {"model": nn.Sequential(nn.Linear(6, 2), nn.Dropout())},
            r"1 is in training mode.* call model.eval\(\)",
        ),
        ({"model": nn.Tanh()}, "no parameter of the model requires gradients"),
        ({"model": nn.Linear(6, 2, dtype=torch.complex64)}, "weight is complex"),
        ({"model": nn.GRU(6, 2).eval()}, "the model must return one tensor"),
    ],
)
def test_what_torch_refuses(options, message):
    model, x1, _ = built("mlp")
    options = {"model": model, "x1": x1, **options}
    if isinstance(options["model"], nn.GRU):
        options["x1"] = x1.float()[:, None]
    with pytest.raises(InputError, match=message):
        ntkit.finite.torch.ntk(**options)


def test_numbers_that_are_not_finite():
    model, x1, _ = built("mlp")
    with torch.no_grad():
        model[3].weight[0, 0] = torch.nan
    with pytest.raises(
        NumericalError, match=r"the kernel is not finite; 3.weight holds numbers that are not"
    ):
        ntkit.finite.torch.ntk(model, x1, method="jacobian")

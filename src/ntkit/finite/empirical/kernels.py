"""`ntk`, `ntk_by_layer` and `nngp`: kernels of a finite network with given parameters, in blocks of bounded memory."""

import functools
import itertools
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from ntkit.arrays import traced
from ntkit.errors import InputError, NumericalError
from ntkit.finite.empirical import choice, jacobian, products, structured
from ntkit.finite.empirical.contract import Form, factors, jacobians
from ntkit.finite.empirical.structured import structure_of
from ntkit.finite.functions import Batch, Call, Problem, Weights, examples, prepare, values

MEMORY = 2**31  # bytes


def ntk(
    f: Callable,
    params: Any,
    x1: Any,
    x2: Any = None,
    *,
    form: str = "full",
    method: str = "auto",
    rates: Any = None,
    memory: int = MEMORY,
) -> Any:
    """The empirical tangent kernel of any function, Θ[i, j, a, b] = Σ_θ rate_θ · ∂f_a(x_i)/∂θ · ∂f_b(x_j)/∂θ.

    Args:
        f: f(params, x) → (n, *outputs), O outputs an example. Examples must not act on one another. Functions that are the
            same object compile once.
        params: A tree of real arrays.
        x1: (n1, …), or a tree of such arrays.
        x2: (n2, …) alike; None for `x1` with itself.
        form: "full", (n1, n2, O, O); "trace", (n1, n2), the mean over a of Θ[a, a]; "diagonal", (n1, n2, O);
            "sum_of_logits", (n1, n2), (1/O) Σ_ab Θ[a, b], the kernel of the outputs' sum by √O. The last takes one backward
            pass an example whatever O. It stands for the trace where outputs are alike and independent, as in a wide network
            at initialisation: then its mean is the trace, and what it is off by falls as width^(-1/2).
        method: "jacobian" (contracts whole Jacobians), "products" (one column after another, by products with vectors),
            "structured" (contracts, layer by layer, what weights are multiplied with and cotangents of what comes out), or
            "auto", the one that `explain` recommends.
        rates: A tree like `params`, of numbers or arrays: factors on the squared gradients (`net.rates(params)`, or a
            preconditioner). A parameter whose rate is 0 is frozen, at no cost. None for 1 everywhere.
        memory: Bytes that one block of examples may take.

    Returns:
        The kernel, in the parameters' precision (half precision is raised to float32). Inside of a JAX transformation it is
        computed in one block, and can be differentiated.

    Raises:
        InputError: The function or what it is given is not usable, or an example takes more than `memory`.
        NumericalError: The kernel is not finite; the message names the parameter.

    Example:
        >>> import jax, numpy as np, ntkit as nk
        >>> net = nk.Dense(8) >> nk.Relu() >> nk.Dense(3)
        >>> params, _ = net.init(jax.random.key(0), (4,))
        >>> nk.finite.empirical.ntk(net.apply, params, np.ones((5, 4))).shape
        (5, 5, 3, 3)

    References:
        Jacot, Gabriel & Hongler (2018), "Neural Tangent Kernel", section 4; Novak, Sohl-Dickstein & Schoenholz (2022),
        "Fast Finite Width Neural Tangent Kernel", section 3 (the methods); Mohamadi, Bae & Sutherland (2023), "A Fast,
        Well-Founded Approximation to the Empirical Neural Tangent Kernel" (the sum of logits).
    """
    problem = prepare(f, params, x1, x2, rates)
    kind = Form.named(form)
    with jax.enable_x64(problem.dtype == np.float64):
        method = choice.checked(method)
        if method == "auto":
            method = choice.recommend(problem, kind, memory).method
        by: Any = _ByProducts(problem, kind) if method == "products" else _BySides(problem, kind, method)
        if traced(problem.weights, problem.x1, problem.x2):
            rows = by.prepare(problem.x1)
            return by.kernel(rows, rows if problem.x2 is None else by.prepare(problem.x2))
        k = _in_blocks(problem, by, memory)
    _check_finite(problem, k)
    return k


def ntk_by_layer(
    f: Callable,
    params: Any,
    x1: Any,
    x2: Any = None,
    *,
    form: str = "full",
    rates: Any = None,
    memory: int = MEMORY,
) -> dict[str, np.ndarray]:
    """What every parameter contributes: `ntk` is the sum. Arguments and errors are those of `ntk`.

    Returns:
        The contribution of every trained parameter, by its place in `params`.

    Example:
        >>> import jax, numpy as np, ntkit as nk
        >>> net = nk.Dense(8) >> nk.Relu() >> nk.Dense(3)
        >>> params, _ = net.init(jax.random.key(0), (4,))
        >>> list(nk.finite.empirical.ntk_by_layer(net.apply, params, np.ones((5, 4))))[0]
        "params[0]['W']"
    """
    problem = prepare(f, params, x1, x2, rates)
    with jax.enable_x64(problem.dtype == np.float64):
        sides = _BySides(problem, Form.named(form), "structured", apart=True)
        k = _in_blocks(problem, sides, memory)
    _check_finite(problem, k)
    return dict(zip(problem.names, k, strict=True))


def explain(
    f: Callable,
    params: Any,
    x1: Any,
    x2: Any = None,
    *,
    form: str = "full",
    rates: Any = None,
    memory: int = MEMORY,
) -> choice.Choice:
    """Which method `ntk` would take, why, and what each would cost. Arguments and errors are those of `ntk`.

    Example:
        >>> import numpy as np, ntkit as nk
        >>> nk.finite.empirical.explain(lambda w, x: x @ w, np.ones((3, 2)), np.eye(3)).method
        'structured'
    """
    problem = prepare(f, params, x1, x2, rates)
    with jax.enable_x64(problem.dtype == np.float64):
        return choice.recommend(problem, Form.named(form), memory)


def nngp(f: Callable, params: Any, x1: Any, x2: Any = None, *, form: str = "trace") -> np.ndarray:
    """Products of the outputs, K[i, j, a, b] = f_a(x_i) f_b(x_j), in the forms of `ntk`.

    Example:
        >>> import numpy as np, ntkit as nk
        >>> nk.finite.empirical.nngp(lambda w, x: x @ w, np.eye(2), np.array([[1.0, 2.0]])).tolist()
        [[2.5]]
    """
    problem, kind = prepare(f, params, x1, x2), Form.named(form)
    with jax.enable_x64(problem.dtype == np.float64):
        batches = [problem.x1] if problem.x2 is None else [problem.x1, problem.x2]
        y = [
            values(problem.call, problem.weights, b) @ kind.basis(problem.outputs, problem.dtype).T
            for b in batches
        ]
        k = kind.finished(jacobians(kind, y[0][:, :, None], y[-1][:, :, None]), problem.outputs)
    return np.asarray(k)


# Blocks -----------------------------------------------------------------------------------------------------------------


class _BySides:
    """Blocks of the kernel from what is computed of rows and of columns apart."""

    def __init__(self, problem: Problem, form: Form, method: str, *, apart: bool = False):
        self.problem, self.form, self.method, self.apart = problem, form, method, apart

    def prepare(self, batch: Batch) -> Any:
        p = self.problem
        basis = self.form.basis(p.outputs, p.dtype)
        if self.method == "jacobian":
            return _jacobians(p.call, p.weights, batch, basis)
        return _factors(structure_of(p, self.form), p.weights, batch, basis)

    def bytes_per_example(self) -> int:
        p = self.problem
        return choice.bytes_per_example(p, self.form, self.method)

    def kernel(self, one: Any, two: Any) -> Array:
        return _contract(
            one,
            two,
            self.problem.weights.rates,
            form=self.form,
            outputs=self.problem.outputs,
            apart=self.apart,
        )


class _ByProducts:
    """Blocks of the kernel by products with vectors."""

    apart = False  # parameters are not told apart

    def __init__(self, problem: Problem, form: Form):
        self.problem, self.form = problem, form

    def prepare(self, batch: Batch) -> Any:
        return batch

    def bytes_per_example(self) -> int:
        return choice.bytes_per_example(self.problem, self.form, "products")

    def kernel(self, one: Any, two: Any) -> Array:
        p = self.problem
        return _products(p.call, p.weights, one, two, form=self.form, outputs=p.outputs)


def _in_blocks(problem: Problem, by: Any, memory: int) -> np.ndarray:
    """The whole kernel; of one batch with itself the blocks on and above the diagonal, mirrored."""
    each = 2 * by.bytes_per_example()
    if each > memory:
        raise InputError(
            f"one example takes about {each / 2**20:.0f} MiB, more than memory={memory / 2**20:.0f} MiB; give more memory, or "
            "method='products'"
        )
    size = max(1, memory // each)
    symmetric = problem.x2 is None
    rows = list(_cut(problem.x1, size))
    columns = rows if problem.x2 is None else list(_cut(problem.x2, size))
    result = None
    for (i, one), (j, two) in itertools.product(enumerate(rows), enumerate(columns)):
        if symmetric and j < i:
            continue
        if j == (i if symmetric else 0):
            left = by.prepare(one.batch)
        right = left if symmetric and i == j else by.prepare(two.batch)
        k = np.asarray(by.kernel(left, right))
        axis = 1 if by.apart else 0
        result = _placed(result, k, one.place, two.place, problem, axis, symmetric and i != j)
    assert result is not None
    return result


class _Block:
    def __init__(self, batch: Batch, place: slice):
        self.batch, self.place = batch, place


def _cut(batch: Batch, size: int) -> Iterator[_Block]:
    """Blocks of one size, so that one program serves all: the last example stands in for those that are missing."""
    n = examples(batch)
    size = min(size, n)
    size = -(-n // -(-n // size))
    for start in range(0, n, size):
        place = slice(start, min(start + size, n))
        numbers = np.minimum(np.arange(start, start + size), n - 1)
        yield _Block([a[place] if start + size <= n else a[numbers] for a in batch], place)


def _placed(
    result: np.ndarray | None,
    k: np.ndarray,
    rows: slice,
    columns: slice,
    problem: Problem,
    axis: int,
    mirror: bool,
) -> np.ndarray:
    n1, n2, _ = problem.sizes
    k = k[(slice(None),) * axis + (slice(rows.stop - rows.start), slice(columns.stop - columns.start))]
    if result is None:
        if k.shape[axis : axis + 2] == (n1, n2):
            return k
        result = np.empty((*k.shape[:axis], n1, n2, *k.shape[axis + 2 :]), k.dtype)
    ahead = (slice(None),) * axis
    result[(*ahead, rows, columns)] = k
    if mirror:
        # Examples are exchanged, and with them the outputs.
        turned = np.swapaxes(k, axis, axis + 1)
        result[(*ahead, columns, rows)] = np.swapaxes(turned, -1, -2) if k.ndim == axis + 4 else turned
    return result


_jacobians = jax.jit(jacobian.side, static_argnames="call")
_factors = jax.jit(structured.side, static_argnames="s")


@functools.partial(jax.jit, static_argnames=("form", "outputs", "apart"))
def _contract(one: Any, two: Any, rates: list[Array], *, form: Form, outputs: int, apart: bool) -> Array:
    """The sum over parameters, or (parameters, …)."""
    parts = {}
    for k in one:
        if isinstance(one[k], tuple):
            part = factors(form, one[k], two[k]) * rates[k].reshape(())
        else:
            part = jacobians(form, one[k] * rates[k].reshape(-1), two[k])
        parts[k] = form.finished(part, outputs)
    if not apart:
        return functools.reduce(jnp.add, parts.values())
    nothing = jnp.zeros_like(next(iter(parts.values())))  # of a parameter that nothing depends on
    return jnp.stack([parts.get(k, nothing) for k in range(len(rates))])


@functools.partial(jax.jit, static_argnames=("call", "form", "outputs"))
def _products(call: Call, weights: Weights, one: Batch, two: Batch, *, form: Form, outputs: int) -> Array:
    basis = form.basis(outputs, weights.trained[0].dtype)
    return form.finished(products.block(call, weights, one, two, basis, form), outputs)


def _check_finite(problem: Problem, k: np.ndarray) -> None:
    """Raise, naming a parameter whose gradient is not finite, if the kernel is not."""
    if np.isfinite(k).all():
        return
    p = problem
    for name, batch in (("x1", p.x1), ("x2", p.x2 or [])):
        for i in range(examples(batch) if batch else 0):
            row = [a[i : i + 1] for a in batch]
            with jax.enable_x64(p.dtype == np.float64):
                y = np.asarray(values(p.call, p.weights, row))
                gradients = jacobian.side(p.call, p.weights, row, Form.FULL.basis(p.outputs, p.dtype))
            if not np.isfinite(y).all():
                raise NumericalError(f"the outputs of example {i} of {name} are not finite")
            for k_, g in gradients.items():
                if not np.isfinite(g).all():
                    raise NumericalError(
                        f"the gradient in {p.names[k_]} is not finite for example {i} of {name}"
                    )
    raise NumericalError(f"the kernel overflows {p.dtype.name}: scale the function's outputs, or use float64")

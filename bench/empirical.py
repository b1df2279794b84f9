"""Empirical tangent kernels beside neural-tangents 0.6.5 and the methods of PyTorch's tutorial.

`python bench/empirical.py` measures all rows, `python bench/empirical.py mlp resnet18` some; each writes a file of its own.
neural-tangents comes in a virtual environment of its own, `.nt-venv`, made when it is first asked for.
"""

import argparse
import json
import pathlib
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent / "finite_models"))

from functions import FUNCTIONS, draw

import record
from neural_tangents.environment import NeuralTangents
from ntkit.finite import empirical

ROUNDS, CALLS = 5, 5  # turns, and calls that follow one another in each; their median counts
THEIRS = ("contraction", "products", "structured")


def beside_neural_tangents(name: str, examples: int, outputs: int, required: float) -> None:
    """Seconds of the full kernel in turns, against the best method of neural-tangents whose kernel is right."""
    params, x = draw(name, outputs, examples)
    f, arrays = FUNCTIONS[name], jax.tree.map(jnp.asarray, (params, x))
    expected = empirical.ntk(f, *arrays, method="jacobian")
    theirs: dict[str, list[float]] = {}
    failed: dict[str, str] = {}
    ours = []
    with NeuralTangents("empirical_worker.py") as nt:
        for turn in range(ROUNDS + 1):
            for method in THEIRS:
                if method in failed:
                    continue
                answer = nt.ask({"name": name, "method": method, "params": params, "x": x, "calls": CALLS})
                wrong = "error" in answer or _off(answer["ntk"], expected) > 1e-3
                if wrong:
                    failed[method] = answer.get("error", "a wrong kernel")
                elif turn:
                    theirs.setdefault(method, []).append(statistics.median(answer["seconds"]))
            seconds = []
            for _ in range(CALLS):
                begin = time.perf_counter()
                found = empirical.ntk(f, *arrays)
                seconds.append(time.perf_counter() - begin)
            if turn:
                ours.append(statistics.median(seconds))
    medians = {method: statistics.median(s) for method, s in theirs.items()}
    best = min(medians, key=lambda m: medians[m])
    ratio = medians[best] / statistics.median(ours)
    record.write(
        f"empirical_{name}",
        {
            "required": f"at least {required:g} times as fast as the best working method of neural-tangents 0.6.5",
            "reached": round(ratio, 1),
            "holds": bool(ratio >= required),
            "ntkit_s": round(statistics.median(ours), 5),
            "method": empirical.explain(f, params, x).method,
            "neural_tangents_s": {m: round(s, 4) for m, s in medians.items()},
            "neural_tangents_fails": failed,
            "largest_difference": _off(found, expected),
            "examples": examples,
            "outputs": outputs,
        },
    )


def _off(found: np.ndarray, expected: np.ndarray) -> float:
    return float(np.max(np.abs(found - expected)) / np.max(np.abs(expected)))


def memory() -> None:
    """The MLP with 128 examples and 10 outputs in a process of its own: its largest resident set."""
    found = _in_a_process("memory_of_mlp")
    gib = found["bytes"] / 2**30
    record.write(
        "empirical_memory",
        {
            "required": "at most 2 GiB",
            "reached_gib": round(gib, 2),
            "holds": gib <= 2,
            "seconds": round(found["seconds"], 3),
        },
    )


def memory_of_mlp() -> dict[str, float]:
    """Seconds of a second call, and the process's largest resident set."""
    params, x = draw("mlp", 10, 128)
    empirical.ntk(FUNCTIONS["mlp"], params, x)
    begin = time.perf_counter()
    empirical.ntk(FUNCTIONS["mlp"], params, x)
    return {"seconds": time.perf_counter() - begin, "bytes": _resident()}


def resnet18() -> None:
    """ResNet-18 of PyTorch: 32 examples in a process of its own; beside the tutorial's methods with fewer."""
    whole = _in_a_process("resnet18_whole")
    few = 2
    beside = _in_a_process("resnet18_beside_the_tutorial")
    gib = whole["bytes"] / 2**30
    record.write(
        "empirical_resnet18",
        {
            "required": "at most 8 GiB with 32 examples and 10 outputs, and quicker than both methods of the tutorial",
            "reached_gib": round(gib, 2),
            "holds": gib <= 8 and beside["ntkit"] < min(beside["jacobian"], beside["products"]),
            "seconds_of_32_examples": round(whole["seconds"], 1),
            f"seconds_of_{few}_examples": {k: round(v, 2) for k, v in beside.items()},
            "the_tutorial_with_32_examples": f"its Jacobians would take {2 * whole['jacobian_bytes'] / 2**30:.0f} GiB",
        },
    )


def resnet18_whole() -> dict[str, float]:
    """32 examples, by ntkit."""
    import torch
    from resnet18 import resnet18 as build

    import ntkit.finite.torch

    torch.manual_seed(0)
    model, x = build().eval(), torch.randn(32, 3, 32, 32)
    begin = time.perf_counter()
    ntkit.finite.torch.ntk(model, x)
    seconds = time.perf_counter() - begin
    numbers = sum(p.numel() for p in model.parameters())
    return {"seconds": seconds, "bytes": _resident(), "jacobian_bytes": 4 * 320 * numbers}


def resnet18_beside_the_tutorial() -> dict[str, float]:
    """Medians of three turns with two examples; the kernels agree."""
    import torch
    from resnet18 import resnet18 as build
    from tutorial import by_jacobians, by_products

    import ntkit.finite.torch

    torch.manual_seed(0)
    model, x = build().eval(), torch.randn(2, 3, 32, 32)
    ways: dict[str, Callable] = {
        "ntkit": lambda: ntkit.finite.torch.ntk(model, x),
        "jacobian": lambda: by_jacobians(model, x, x),
        "products": lambda: by_products(model, x, x),
    }
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(3):
        found = {}
        for name, way in ways.items():
            begin = time.perf_counter()
            found[name] = way()
            seconds[name].append(time.perf_counter() - begin)
        for name in ("jacobian", "products"):
            torch.testing.assert_close(
                found["ntkit"], found[name], rtol=1e-3, atol=1e-3 * float(found[name].abs().max())
            )
    return {name: statistics.median(s) for name, s in seconds.items()}


def _resident() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _in_a_process(function: str) -> dict[str, float]:
    command = [sys.executable, __file__, "--alone", function]
    return json.loads(
        subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()[-1]
    )


ALONE = {f.__name__: f for f in (memory_of_mlp, resnet18_whole, resnet18_beside_the_tutorial)}
ROWS = {
    "mlp": lambda: beside_neural_tangents("mlp", examples=16, outputs=8, required=30),
    "cnn": lambda: beside_neural_tangents("cnn", examples=8, outputs=10, required=3),
    "memory": memory,
    "resnet18": resnet18,
}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rows", nargs="*", help=f"which of {', '.join(ROWS)} (default: all)")
    parser.add_argument("--alone", choices=list(ALONE), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.alone:
        print(json.dumps(ALONE[arguments.alone]()))
    else:
        for row in arguments.rows or ROWS:
            ROWS[row]()

"""Answers requests for empirical kernels by neural-tangents 0.6.5; it runs in that package's own environment.

Reads pickled requests from standard input, {"name", "params", "x", "method"}, and writes pickled answers.
"""

import os
import pathlib
import pickle
import sys
import time

# What the libraries print goes to standard error: standard output carries the answers.
answers = os.fdopen(os.dup(1), "wb")
os.dup2(2, 1)

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "finite_models"))

import jax  # noqa: E402
import numpy as np  # noqa: E402
from functions import FUNCTIONS  # noqa: E402

import neural_tangents as nt  # noqa: E402

METHODS = {
    "contraction": nt.NtkImplementation.JACOBIAN_CONTRACTION,
    "products": nt.NtkImplementation.NTK_VECTOR_PRODUCTS,
    "structured": nt.NtkImplementation.STRUCTURED_DERIVATIVES,
}


def main():
    """Answer until the input ends."""
    kernels = {}
    while True:
        try:
            request = pickle.load(sys.stdin.buffer)
        except EOFError:
            return
        name, method = request["name"], request["method"]
        if (name, method) not in kernels:
            how = {"trace_axes": (), "vmap_axes": 0, "implementation": METHODS[method]}
            kernels[name, method] = jax.jit(nt.empirical_ntk_fn(FUNCTIONS[name], **how), static_argnums=1)
        params, x = jax.tree.map(jax.numpy.asarray, (request["params"], request["x"]))
        try:
            seconds = []
            for _ in range(request["calls"]):
                begin = time.perf_counter()
                found = np.asarray(kernels[name, method](x, None, params))
                seconds.append(time.perf_counter() - begin)
            answer = {"seconds": seconds, "ntk": found}
        except Exception as error:  # a method that does not work is an answer
            answer = {"error": f"{type(error).__name__}: {str(error)[:200]}"}
        pickle.dump(answer, answers)
        answers.flush()


main()

"""Runs in the environment of neural-tangents: builds a network from ntkit's JSON, computes kernels, and says how long it took.

Requests and answers are pickles on standard input and output, one after the other.
"""

import os
import pickle
import sys
import time

answers = os.fdopen(os.dup(1), "wb")
os.dup2(2, 1)  # what libraries print does not reach the answers

import jax  # noqa: E402
import numpy as np  # noqa: E402

from neural_tangents import stax  # noqa: E402

SIMPLE = {
    "Relu": stax.Relu,
    "Identity": stax.Identity,
    "GlobalAvgPool": stax.GlobalAvgPool,
    "Flatten": stax.Flatten,
}


def network(spec):
    """The stax network of a specification."""
    kind = spec["layer"]
    if kind == "Serial":
        return stax.serial(*map(network, spec["layers"]))
    if kind == "Sum":
        branches = spec["branches"]
        return stax.serial(
            stax.FanOut(len(branches)), stax.parallel(*map(network, branches)), stax.FanInSum()
        )
    if kind == "Dense":
        return stax.Dense(spec["width"], W_std=spec["w_std"], b_std=spec["b_std"] or None)
    if kind == "Conv":
        size, stride = (spec["kernel_size"],) * 2, (spec["stride"],) * 2
        return stax.Conv(
            spec["width"], size, stride, spec["padding"], W_std=spec["w_std"], b_std=spec["b_std"] or None
        )
    if kind == "AvgPool":
        window = (spec["window"],) * 2
        return stax.AvgPool(window, strides=(spec["stride"] or spec["window"],) * 2)
    return SIMPLE[kind]()


def main():
    """Answer until the input ends."""
    functions = {}
    while True:
        try:
            request = pickle.load(sys.stdin.buffer)
        except EOFError:
            return
        name, x1, x2 = request["name"], request["x1"], request["x2"]
        jax.config.update("jax_enable_x64", x1.dtype == np.float64)
        if (name, str(x1.dtype)) not in functions:
            kernel = network(request["spec"])[2]
            functions[name, str(x1.dtype)] = jax.jit(
                lambda a, b, kernel=kernel: kernel(a, b, ("nngp", "ntk"))
            )
        seconds = []
        for _ in range(request["calls"]):
            found = nngp = ntk = None  # so that their memory is free
            begin = time.perf_counter()
            found = functions[name, str(x1.dtype)](x1, x2)
            nngp, ntk = np.asarray(found.nngp), np.asarray(found.ntk)
            seconds.append(time.perf_counter() - begin)
        pickle.dump({"seconds": seconds, "nngp": nngp, "ntk": ntk}, answers)
        answers.flush()


main()

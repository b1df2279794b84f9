"""Trains in function space with neural-tangents 0.6.5, in that package's own environment.

Reads pickled requests from standard input and writes pickled answers; arrays come and go in files of numpy.
"""

import os
import pathlib
import pickle
import resource
import sys
import time

# What the libraries print goes to standard error: standard output carries the answers.
answers = os.fdopen(os.dup(1), "wb")
os.dup2(2, 1)

import jax  # noqa: E402

jax.config.update("jax_enable_x64", True)

import jax.numpy as jnp  # noqa: E402
import numpy as np  # noqa: E402

import neural_tangents as nt  # noqa: E402


def cross_entropy(f, y):
    """The mean over examples, as ntkit's."""
    return -jnp.mean(jnp.sum(y * jax.nn.log_softmax(f), axis=1))


def curves(folder):
    """Squared loss in closed form: outputs of training and test points at all times."""
    k, cross, y, times = (np.load(folder / f"{name}.npy") for name in ("train", "test", "y", "times"))
    begin = time.perf_counter()
    predict = nt.predict.gradient_descent_mse(jnp.asarray(k), jnp.asarray(y), learning_rate=1.0)
    # Its loss is a mean over outputs too.
    train, test = predict(times * y.shape[1], 0.0, 0.0, jnp.asarray(cross))
    train, test = np.asarray(train), np.asarray(test)
    return begin, train, test


def flow(folder):
    """Cross-entropy to one time."""
    k, cross, y, times = (np.load(folder / f"{name}.npy") for name in ("train", "test", "y", "times"))
    begin = time.perf_counter()
    predict = nt.predict.gradient_descent(cross_entropy, jnp.asarray(k), jnp.asarray(y), learning_rate=1.0)
    start = jnp.zeros(y.shape)
    if len(cross):
        train, test = predict(times[-1], start, jnp.zeros((len(cross), y.shape[1])), jnp.asarray(cross))
        return begin, np.asarray(train), np.asarray(test)
    return begin, np.asarray(predict(times[-1], start)), np.zeros((0, y.shape[1]))


def main():
    """Answer until the input ends."""
    while True:
        try:
            request = pickle.load(sys.stdin.buffer)
        except EOFError:
            return
        folder = pathlib.Path(request["folder"])
        begin, train, test = {"curves": curves, "flow": flow}[request["what"]](folder)
        seconds = time.perf_counter() - begin
        np.save(folder / "their_train.npy", train)
        np.save(folder / "their_test.npy", test)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        pickle.dump({"seconds": seconds, "gib": peak / 2**20}, answers)
        answers.flush()


main()

"""Training in function space beside neural-tangents 0.6.5: seconds and memory of both.

`python bench/function_space_beside_nt.py` measures both rows, `… curves` or `… cross_entropy` one. neural-tangents
comes in a virtual environment of its own, `.nt-venv`, made when it is first asked for. Cross-entropy takes shared
CIFAR-10 images where they are at hand, and else drawn inputs.
"""

import json
import pathlib
import resource
import statistics
import subprocess
import sys
import tempfile
import time

import numpy as np

import ntkit as nk
import record
from neural_tangents.environment import NeuralTangents
from ntkit.predict import gradient_flow, loss_flow

NET = (
    nk.Dense(64, w_std=2**0.5, b_std=0.1)
    >> nk.Relu()
    >> nk.Dense(64, w_std=2**0.5)
    >> nk.Relu()
    >> nk.Dense(1)
)
CIFAR = record.ROOT.parent / "shared" / "data" / "cifar10-small.npz"
POINTS, OUTPUTS, TIMES = 10_000, 10, 100
IMAGES, ACCURACY, ROUNDS = 2_000, 0.99, 3
FINE = 1e-6  # a tolerance whose errors are about those of neural-tangents


def curves() -> None:
    """All curves of 10,000 training and as many test points, in a process of its own; neural-tangents' in another."""
    with tempfile.TemporaryDirectory() as place:
        folder = pathlib.Path(place)
        draw = np.random.default_rng(0)
        x = draw.normal(size=(2 * POINTS, 20))
        np.save(folder / "y.npy", np.tanh(x[:POINTS] @ draw.normal(size=(20, OUTPUTS))))
        np.save(folder / "times.npy", np.geomspace(1e-1, 1e4, TIMES))
        np.save(folder / "train.npy", nk.ntk(NET, x[:POINTS]))
        np.save(folder / "test.npy", nk.ntk(NET, x[POINTS:], x[:POINTS]))
        ours = json.loads(_python(["_curves", place]))
        with NeuralTangents("dynamics_worker.py") as nt:
            theirs = nt.ask({"what": "curves", "folder": place})
        off = max(
            float(np.abs(np.load(folder / f"our_{part}.npy") - np.load(folder / f"their_{part}.npy")).max())
            for part in ("train", "test")
        )
    record.write(
        "function_space_curves",
        {
            "required": "at most 6 min and 8 GiB, and no slower than neural-tangents 0.6.5",
            "reached_s": round(ours["seconds"], 1),
            "reached_gib": round(ours["gib"], 2),
            "neural_tangents_s": round(theirs["seconds"], 1),
            "neural_tangents_gib": round(theirs["gib"], 2),
            "ratio": round(theirs["seconds"] / ours["seconds"], 2),
            "holds": ours["seconds"] <= min(360, theirs["seconds"]) and ours["gib"] <= 8,
            "largest_difference": off,
            "points": f"{POINTS} training, {POINTS} test, {OUTPUTS} outputs, {TIMES} times, float64, kernels given",
        },
    )


def _curves(place: str) -> None:
    folder = pathlib.Path(place)
    k, cross, y, times = (np.load(folder / f"{name}.npy") for name in ("train", "test", "y", "times"))
    begin = time.perf_counter()
    curve = gradient_flow(k, y)
    train, test = curve.train(times), curve.test(times, cross)
    seconds = time.perf_counter() - begin
    np.save(folder / "our_train.npy", train)
    np.save(folder / "our_test.npy", test)
    print(json.dumps({"seconds": seconds, "gib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20}))


def cross_entropy() -> None:
    """To 99 % of the training points right, in turns; with and without test points in neural-tangents' state."""
    x, labels = _images()
    k, cross = nk.ntk(NET, x[:IMAGES]), nk.ntk(NET, x[IMAGES:], x[:IMAGES])
    begin = time.perf_counter()
    flow = loss_flow(k, labels, [1e5], stop_at_accuracy=ACCURACY)
    first, end = time.perf_counter() - begin, float(flow.times[-1])
    exact = loss_flow(k, labels, [end], tolerance=1e-8)
    ours: list[float] = []
    fine: list[float] = []
    theirs: dict[str, list[float]] = {"train": [], "train_and_test": []}
    with tempfile.TemporaryDirectory() as place, NeuralTangents("dynamics_worker.py") as nt:
        folder = pathlib.Path(place)
        for name, array in (("train", k), ("y", np.eye(10)[labels]), ("times", np.array([end]))):
            np.save(folder / f"{name}.npy", array)
        for _ in range(ROUNDS):
            for what, points in (("train", cross[:0]), ("train_and_test", cross)):
                np.save(folder / "test.npy", points)
                theirs[what].append(nt.ask({"what": "flow", "folder": place})["seconds"])
            begin = time.perf_counter()
            flow = loss_flow(k, labels, [1e5], stop_at_accuracy=ACCURACY)
            test = flow.test(cross)[-1]
            ours.append(time.perf_counter() - begin)
            begin = time.perf_counter()
            close = loss_flow(k, labels, [1e5], stop_at_accuracy=ACCURACY, tolerance=FINE)
            close.test(cross)
            fine.append(time.perf_counter() - begin)
        found = np.load(folder / "their_train.npy")
        apart = float(np.abs(test - np.load(folder / "their_test.npy")).max())
    seconds, medians = statistics.median(ours), {k: statistics.median(v) for k, v in theirs.items()}
    record.write(
        "function_space_cross_entropy",
        {
            "required": "at least 5 times as fast as neural-tangents 0.6.5, and at most 2 min",
            "reached": round(medians["train_and_test"] / seconds, 1),
            "reached_train_only": round(medians["train"] / seconds, 1),
            "holds": medians["train_and_test"] >= 5 * seconds and first <= 120,
            "ntkit_s": round(seconds, 2),
            "ntkit_first_call_s": round(first, 2),
            "neural_tangents_s": {what: round(s, 2) for what, s in medians.items()},
            "at_tolerance_1e-6": {
                "ntkit_s": round(statistics.median(fine[1:]), 2),
                "times_as_fast": round(medians["train_and_test"] / statistics.median(fine[1:]), 1),
                "error": float(np.abs(loss_flow(k, labels, [end], tolerance=FINE).train - exact.train).max()),
            },
            "neural_tangents_first_call_s": round(theirs["train"][0], 2),
            "time": end,
            "steps": flow.steps,
            "error_of_ntkit": float(np.abs(loss_flow(k, labels, [end]).train - exact.train).max()),
            "error_of_neural_tangents": float(np.abs(found - exact.train[-1]).max()),
            "test_outputs_apart": apart,
            "data": "CIFAR-10" if CIFAR.exists() else "drawn",
            "points": f"{IMAGES} training, {IMAGES} test, 10 classes, to {ACCURACY:.0%}",
        },
    )


def _images() -> tuple[np.ndarray, np.ndarray]:
    if CIFAR.exists():
        data = np.load(CIFAR)
        x = data["x_train"][: 2 * IMAGES].reshape(2 * IMAGES, -1).astype(float)
        return (x - x.mean()) / x.std(), data["y_train"][:IMAGES].astype(int)
    draw = np.random.default_rng(0)
    return draw.normal(size=(2 * IMAGES, 200)), draw.integers(0, 10, IMAGES)


def _python(arguments: list[str]) -> str:
    run = subprocess.run([sys.executable, __file__, *arguments], check=True, capture_output=True, text=True)
    return run.stdout


if __name__ == "__main__":
    if sys.argv[1:2] == ["_curves"]:
        _curves(sys.argv[2])
    else:
        for row in sys.argv[1:] or ["curves", "cross_entropy"]:
            {"curves": curves, "cross_entropy": cross_entropy}[row]()

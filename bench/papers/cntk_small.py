"""Convolutional kernels on few images (Arora et al. 2020): accuracy on CIFAR-10 by the number of training images.

`python bench/papers/cntk_small.py` takes about forty minutes on two cores; interrupted, it goes on where it was. The
network has 13 convolutions of 3×3 with ReLU, the mean over positions, and a readout, all layers trained; labels are one-hot
less 0.1, and there is no ridge. The images went through JPEG, so figures are near those of the paper, not equal to them.

Reference:
    Arora, Du, Li, Salakhutdinov, Wang, Yu (2020), "Harnessing the power of infinitely wide deep nets on small-data tasks".
"""

import argparse
import pathlib
import statistics
import sys
import time

import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

import ntkit as nk
import record

DATA = record.ROOT.parent / "shared" / "data" / "cifar10-small.npz"
PUBLISHED = {  # as reported there: mean and standard deviation of the accuracy, in percent
    10: (15.33, 2.43),
    20: (18.79, 2.13),
    40: (21.34, 1.91),
    80: (25.48, 1.91),
    160: (30.48, 1.17),
    320: (36.57, 0.88),
}
CLASSES, TEST_IMAGES = 10, 500


def network() -> nk.Layer:
    """14 layers of weights."""
    stage = nk.Conv(64, 3, w_std=2**0.5) >> nk.Relu()
    return nk.Serial((*stage.layers * 13, nk.GlobalAvgPool(), nk.Dense(1)))


def balanced(labels: np.ndarray, count: int, generator: np.random.Generator | None = None) -> np.ndarray:
    """Numbers of `count` examples, class after class in turns, so that the first of them are balanced too."""
    by_class = [np.flatnonzero(labels == c) for c in range(CLASSES)]
    if generator is not None:
        by_class = [generator.permutation(members) for members in by_class]
    return np.stack([members[: count // CLASSES] for members in by_class], axis=1).reshape(-1)


def accuracies(images: dict, draw: int, sizes: list[int], place: pathlib.Path) -> dict[int, float]:
    """Percent of the test images that are classified right, by the number of training images of one draw."""
    chosen = balanced(images["y_train"], max(sizes), np.random.default_rng(draw))
    mean, std = (f(images["x_train"], axis=(0, 1, 2)) for f in (np.mean, np.std))
    train, test = (
        ((x - mean) / std).astype(np.float32) for x in (images["x_train"][chosen], images["x_test"])
    )
    tested = balanced(images["y_test"], TEST_IMAGES)
    k, folder = nk.kernel_fn(network(), engine="fused"), place / f"{draw}-{max(sizes)}"
    within = nk.gram.compute(k, train, out=folder / "train", kernels=["ntk"], tile=32).ntk
    across = nk.gram.compute(k, test[tested], train, out=folder / "test", kernels=["ntk"], tile=32).ntk
    labels = np.eye(CLASSES)[images["y_train"][chosen]] - 0.1
    found = {}
    for n in sizes:
        outputs = nk.predict.kernel_regression(within[:n, :n], labels[:n]).predict(across[:, :n])
        right = outputs.argmax(axis=1) == images["y_test"][tested]
        found[n] = 100 * float(right.mean())
    return found


def main(sizes: list[int], draws: int, once: list[int], place: pathlib.Path) -> None:
    """The table, ours beside theirs; the sizes `once` for the first draw alone."""
    if not DATA.exists():
        raise SystemExit(f"skipped: there is no {DATA}")
    images = dict(np.load(DATA))
    resumed = place.exists() and any(place.iterdir())
    begin = time.perf_counter()
    by_draw = [accuracies(images, draw, sizes, place) for draw in range(draws)]
    if once:
        by_draw[0] |= accuracies(images, 0, once, place)
    table = {}
    for n in [*sizes, *once]:
        ours = [found[n] for found in by_draw if n in found]
        spread = statistics.stdev(ours) if len(ours) > 1 else None
        table[str(n)] = {
            "ours": [round(statistics.mean(ours), 2), spread and round(spread, 2)],
            "reported": PUBLISHED[n],
            "draws": [round(a, 1) for a in ours],
        }
    minutes = (time.perf_counter() - begin) / 60
    how_long = "the kernels were there, or some of them" if resumed else f"{minutes:.1f} minutes"
    record.write("cntk_small", {"percent_right": table, "took": how_long, "draws": draws})


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", choices=list(PUBLISHED), default=list(PUBLISHED)[:-1])
    parser.add_argument("--draws", type=int, default=3)
    parser.add_argument(
        "--once", type=int, nargs="*", choices=list(PUBLISHED), default=[], help="sizes for one draw"
    )
    parser.add_argument(
        "--place", type=pathlib.Path, default=pathlib.Path("cntk-small"), help="where kernels are kept"
    )
    arguments = parser.parse_args()
    main(arguments.sizes, arguments.draws, arguments.once, arguments.place)

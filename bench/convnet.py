"""Seconds an entry of the kernel of a 21-layer convolutional network with global average pooling, reference engine."""

import argparse
import statistics
import time

import numpy as np

import ntkit as nk
import record

LIMIT = 0.35  # seconds an entry, on two cores
NEURAL_TANGENTS = (
    3.8  # seconds an entry of neural-tangents 0.6.5 on such a machine, measured before this project began
)


def network() -> nk.Layer:
    """20 3×3 convolutions with ReLU and a readout: 21 layers of weights."""
    stage = nk.Conv(64, 3, w_std=2**0.5) >> nk.Relu()
    return nk.Serial((*stage.layers * 20, nk.GlobalAvgPool(), nk.Dense(1)))


def main(images: int, rounds: int) -> None:
    """Times whole calls of `nk.kernel`, NNGP and NTK together, after one that compiles."""
    generator = np.random.default_rng(0)
    x1, x2 = generator.standard_normal((2, images, 32, 32, 3)).astype(np.float32)
    net = network()
    nk.kernel(net, x1, x2, engine="reference")
    wall, processor = [], []
    for _ in range(rounds):
        start, cpu = time.perf_counter(), time.process_time()
        nk.kernel(net, x1, x2, engine="reference")
        wall.append((time.perf_counter() - start) / images**2)
        processor.append((time.process_time() - cpu) / images**2)
    reached = statistics.median(wall)
    record.write(
        "convnet",
        {
            "required": f"at most {LIMIT} s an entry",
            "reached": round(reached, 4),
            "holds": reached <= LIMIT,
            "processor_s_an_entry": round(statistics.median(processor), 4),
            "all_rounds_s": [round(t, 4) for t in wall],
            "neural_tangents_0_6_5_s": NEURAL_TANGENTS,
            "what": "21-layer 3x3 SAME ReLU, GlobalAvgPool, 32x32x3, float32, NNGP and NTK, two different batches",
            "images": images,
        },
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=3, help="rows and columns of the kernel (default: 3)")
    parser.add_argument("--rounds", type=int, default=7, help="timed calls (default: 7)")
    arguments = parser.parse_args()
    main(arguments.images, arguments.rounds)

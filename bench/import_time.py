"""How much longer `import ntkit` takes than `import jax`: both in fresh processes, in turns, medians."""

import argparse
import statistics
import subprocess
import sys
import time

import record

LIMIT = 0.8  # seconds over `import jax`


def seconds(module: str) -> float:
    """Wall time of a fresh Python that imports one module and stops."""
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", f"import {module}"], check=True)
    return time.perf_counter() - start


def main(rounds: int) -> None:
    """Takes the times in turns, so that a slow spell of the machine falls on both alike."""
    seconds("ntkit")  # writes the byte code and fills the file cache
    pairs = [(seconds("jax"), seconds("ntkit")) for _ in range(rounds)]
    over = statistics.median(ours - theirs for theirs, ours in pairs)
    record.write(
        "import_time",
        {
            "required": f"import ntkit at most {LIMIT} s over import jax",
            "reached": round(over, 3),
            "holds": over <= LIMIT,
            "import_jax_s": round(statistics.median(theirs for theirs, _ in pairs), 3),
            "import_ntkit_s": round(statistics.median(ours for _, ours in pairs), 3),
            "rounds": rounds,
        },
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=11, help="processes of each kind (default: 11)")
    main(parser.parse_args().rounds)

"""Wall time of the main job as `make study` runs it once all is installed, and without its finite network."""

import argparse
import json
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

import record

LIMIT = 60.0  # seconds, on two cores
COMMAND = ["study", "--data", "digits", "--net", "mlp"]
FINITE = ["--finite", "512"]


def seconds(folder: pathlib.Path, options: list[str]) -> float:
    """Wall time of one run in a process of its own."""
    start = time.perf_counter()
    ntkit = pathlib.Path(sys.executable).with_name("ntkit")
    subprocess.run([ntkit, *COMMAND, *options, "--out", folder, "--quiet"], check=True)
    return time.perf_counter() - start


def main(rounds: int) -> None:
    """Times whole runs, with the finite network and without."""
    with tempfile.TemporaryDirectory() as place:
        folders = [pathlib.Path(place, str(i)) for i in range(rounds)]
        times = [seconds(folder, FINITE) for folder in folders]
        sections = json.loads((folders[0] / "results.json").read_text())
        infinite_alone = seconds(pathlib.Path(place, "infinite"), [])
    reached = statistics.median(times)
    record.write(
        "study",
        {
            "required": f"make study at most {LIMIT:.0f} s after install",
            "reached": round(reached, 1),
            "holds": reached <= LIMIT,
            "all_rounds_s": [round(t, 1) for t in times],
            "without_finite_s": round(infinite_alone, 1),
            "sections": sorted(sections),
        },
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="runs of the command (default: 3)")
    main(parser.parse_args().rounds)

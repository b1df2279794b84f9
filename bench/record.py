"""Writes a bench's figures together with what they were measured on.

A bench is a script in this folder that ends with `write("its_name", figures)`; the result is
`bench/results/its_name.json`. Figures without the machine, the versions and the command that gave them are
worth nothing a month later, so no bench writes its own file.
"""

import datetime
import importlib.metadata
import json
import os
import pathlib
import platform
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

ROOT = pathlib.Path(__file__).resolve().parent.parent
RESULTS = ROOT / "bench" / "results"
PACKAGES = ("jax", "jaxlib", "numpy", "scipy", "equinox")


def write(name: str, figures: Mapping[str, Any]) -> pathlib.Path:
    """Writes `bench/results/NAME.json` and prints the figures.

    Args:
        name: of the bench; also the name of the file.
        figures: JSON values. By custom `required` states the bound in words and `reached` is the figure that
            is held against it; the rest is the bench's own.

    Returns:
        The path of the file.
    """
    result = {
        "bench": name,
        "command": command(),
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "machine": machine(),
        "versions": versions(),
        "figures": dict(figures),
    }
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    path.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result["figures"], indent=2))
    print(f"written to {path.relative_to(ROOT)}")
    return path


def command() -> str:
    """The command line of this process, the script's path relative to the project."""
    script = pathlib.Path(sys.argv[0]).resolve()
    inside = script.is_relative_to(ROOT)
    return " ".join(["python", str(script.relative_to(ROOT)) if inside else script.name, *sys.argv[1:]])


def machine() -> dict[str, Any]:
    """What the figures were measured on: CPU, usable cores, memory, system and JAX's devices."""
    facts: dict[str, Any] = {
        "cpu": cpu_model(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_gib": memory_gib(),
        "system": f"{platform.system()} {platform.machine()}",
    }
    if "jax" in sys.modules:
        facts["devices"] = [device.device_kind for device in sys.modules["jax"].devices()]
    return facts


def cpu_model() -> str:
    """The processor's name as Linux gives it, else as Python does."""
    cpuinfo = pathlib.Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def memory_gib() -> float | None:
    """The machine's memory in GiB; None where the system does not say."""
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)
    except (ValueError, OSError, AttributeError):
        return None


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that the figures depend on, and the project's commit."""
    found = {package: importlib.metadata.version(package) for package in PACKAGES}
    return {"python": platform.python_version(), **found, "ntkit": commit()}


def commit() -> str:
    """The project's commit, marked `+changes` where the source differs from it; `unknown` outside of git."""
    try:
        name = git("rev-parse", "--short=12", "HEAD")
        return name + ("+changes" if git("status", "--porcelain", "--", "src", "pyproject.toml") else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def git(*arguments: str) -> str:
    """The output of a git command in the project."""
    run = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True)
    return run.stdout.strip()

"""neural-tangents 0.6.5 in a virtual environment of its own, and a process in it that answers."""

import pathlib
import pickle
import subprocess
import sys
from typing import Any

ROOT = pathlib.Path(__file__).resolve().parents[2]
PLACE = ROOT / ".nt-venv"
PACKAGES = ["neural-tangents==0.6.5", "jax<0.4.36", "jaxlib<0.4.36", "numpy<2", "scipy<1.14"]


def python() -> pathlib.Path:
    """The environment's Python; the environment is made where there is none."""
    found = PLACE / "bin" / "python"
    if not (PLACE / "installed").exists():
        if sys.version_info[:2] not in {(3, 11), (3, 12)}:
            raise SystemExit("neural-tangents 0.6.5 needs Python 3.11 or 3.12 for a jax that it runs on")
        print("Installing neural-tangents 0.6.5 into .nt-venv (once; some minutes) ...", flush=True)
        subprocess.run([sys.executable, "-m", "venv", "--clear", PLACE], check=True)
        subprocess.run([found, "-m", "pip", "install", "--quiet", *PACKAGES], check=True)
        (PLACE / "installed").touch()
    return found


class NeuralTangents:
    """A process that computes kernels with neural-tangents.

    Args:
        worker: Which of the scripts beside this file answers.
    """

    def __init__(self, worker: str = "worker.py"):
        self._worker = pathlib.Path(__file__).with_name(worker)

    def __enter__(self) -> "NeuralTangents":
        self._process = subprocess.Popen(
            [python(), self._worker], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        return self

    def kernel(self, name: str, spec: Any, x1: Any, x2: Any, calls: int = 1) -> dict[str, Any]:
        """Both kernels, and the seconds that each of some calls took, one after another."""
        return self.ask({"name": name, "spec": spec, "x1": x1, "x2": x2, "calls": calls})

    def ask(self, request: dict[str, Any]) -> dict[str, Any]:
        """The answer to a request."""
        assert self._process.stdin
        assert self._process.stdout
        pickle.dump(request, self._process.stdin)
        self._process.stdin.flush()
        return pickle.load(self._process.stdout)

    def __exit__(self, *_: Any) -> None:
        assert self._process.stdin
        self._process.stdin.close()
        self._process.wait()

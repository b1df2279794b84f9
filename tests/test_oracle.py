"""Kernels against the exact reference values of tests/oracle, in its own error measure."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

import ntkit as nk
from graph_batches import mutag
from oracle_cases import CASES, ORACLE, load, relative_error

# The oracle allows 1e-7 or 1e-6 where a plain recursion through cosines loses digits; ntkit carries the gap instead.
TOLERANCE = 1e-9
READY = [case for case in CASES if not case["graph"]]  # those of graphs: test_graphs.py

GNTK = json.loads((ORACLE / "gntk.json").read_text())
DATA = Path(__file__).resolve().parents[2] / "shared" / "data" / "graphs-mutag.npz"

cases = pytest.mark.parametrize("case", READY, ids=lambda case: case["name"])


def padded(x: np.ndarray, rows: int) -> np.ndarray:
    """The batch with its last row repeated: batches of one shape share their compiled programs."""
    return np.concatenate([x, np.repeat(x[-1:], rows - len(x), axis=0)])


@cases
def test_kernels_agree_with_the_exact_values(case: dict) -> None:
    arrays = load(case)
    net = nk.from_spec(case["spec"])
    cross = nk.kernel(net, arrays["x1"], padded(arrays["x2"], case["n1"]))
    own = nk.kernel(net, arrays["x1"])
    for name in ("nngp", "ntk"):
        rows, columns = arrays[f"{name}_diag1"], arrays[f"{name}_diag2"]
        between = getattr(cross, name)[:, : case["n2"]]
        assert relative_error(between, arrays[name], rows, columns) <= TOLERANCE
        within = getattr(own, name)
        assert relative_error(within, arrays[f"{name}_self"], rows, rows) <= TOLERANCE
        np.testing.assert_array_equal(within, within.T)


@cases
@pytest.mark.every(5)
def test_the_diagonal_alone_agrees_with_the_exact_values(case: dict) -> None:
    arrays = load(case)
    net = nk.from_spec(case["spec"])
    for side in ("1", "2"):
        alone = nk.kernels.diagonal(net, padded(arrays[f"x{side}"], case["n1"]))
        for name in ("nngp", "ntk"):
            exact = arrays[f"{name}_diag{side}"]
            error = np.abs(getattr(alone, name)[: len(exact)] - exact) / np.where(exact == 0, 1.0, exact)
            assert error.max() <= TOLERANCE


def test_every_case_is_tested() -> None:
    assert len(READY) == 71
    assert len(CASES) == 74


@pytest.mark.parametrize("entry", GNTK["entries"], ids=lambda entry: entry["key"])
@pytest.mark.every(3)
def test_graph_kernels_agree_with_the_exact_values(entry: dict) -> None:
    if not DATA.exists():
        pytest.skip("the graphs of MUTAG are not there")
    x = mutag(DATA)[GNTK["graphs"]]
    with np.load(ORACLE / "gntk.npz", allow_pickle=False) as arrays:
        exact = arrays[entry["key"]]
    scale = np.sqrt(np.outer(np.diag(exact), np.diag(exact)))
    net = nk.zoo.gntk(
        blocks=entry["num_layers"] - 1,
        mlp_layers=entry["num_mlp_layers"],
        scale="degree" if entry["scale"] == "degree" else "sum",
        jumping=bool(entry["jk"]),
    )
    for engine, tolerance in (("fused", 1e-10), ("reference", 1e-8)):
        found = x.channels * nk.ntk(net, x, engine=engine)
        assert np.max(np.abs(found - exact) / scale) <= tolerance


def test_files_are_those_of_the_manifest() -> None:
    manifest = json.loads((ORACLE / "manifest.json").read_text())
    found = {name: hashlib.sha256((ORACLE / name).read_bytes()).hexdigest() for name in manifest}
    assert found == manifest

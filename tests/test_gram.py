"""A kernel matrix in tiles is the kernel, however it is cut, interrupted and resumed."""

import json
import pathlib
import shutil
import signal
import subprocess
import sys
import time

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest

import ntkit as nk
from ntkit.errors import InputError, NumericalError
from ntkit.gram import Plan, compute, load, room

NET = nk.Dense(8, w_std=1.3, b_std=0.2) >> nk.Relu() >> nk.Dense(1)


class Plain:
    """A `KernelFn` of its own: the inner product, and its square in place of the NTK. It counts its calls."""

    fingerprint = "inner product"

    def __init__(self):
        self.calls = 0

    def __call__(self, x1, x2=None) -> nk.KernelPair:
        self.calls += 1
        k = x1 @ (x1 if x2 is None else x2).T
        return nk.KernelPair(k, k**2)

    def diag(self, x) -> nk.KernelPair:
        raise NotImplementedError


def data(n: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(-4, 5, size=(n, 3)).astype(float)


# Cut in any way -------------------------------------------------------------------------------------------------------


@hypothesis.settings(max_examples=40, deadline=None)
@hypothesis.given(
    st.integers(1, 40),
    st.one_of(st.none(), st.integers(1, 40)),
    st.integers(1, 50),
    st.integers(1, 3),
    st.booleans(),
)
def test_tiles_make_the_kernel(
    tmp_path_factory, n1: int, n2: int | None, side: int, threads: int, on_disk: bool
):
    x1, x2 = data(n1), None if n2 is None else data(n2, 1)
    out = tmp_path_factory.mktemp("gram") / "new" if on_disk else None
    found = compute(Plain(), x1, x2, tile=side, threads=threads, out=out)
    for a, b in zip(found, Plain()(x1, x2), strict=True):
        np.testing.assert_array_equal(a, b)
    if out:
        for a, b in zip(load(out), found, strict=True):
            np.testing.assert_array_equal(a, b)


@hypothesis.given(st.integers(1, 60), st.integers(1, 60), st.integers(1, 70), st.booleans())
def test_a_plan_covers_each_pair_once(rows: int, columns: int, side: int, symmetric: bool):
    plan = Plan(rows, rows if symmetric else columns, side, symmetric)
    count = np.zeros((plan.rows, plan.columns), int)
    for number, tile in enumerate(plan.tiles()):
        assert tile.number == number
        assert tile.entries == count[tile.rows, tile.columns].size
        count[tile.rows, tile.columns] += 1
        if symmetric and not tile.own:
            count[tile.columns, tile.rows] += 1
    assert (count == 1).all()


@pytest.mark.parametrize("engine", ["auto", "reference", "fused"])
def test_a_network(engine: str):
    x = data(50)
    whole = nk.kernel(NET, x, engine="reference")
    found = compute(nk.kernel_fn(NET, engine=engine), x, tile=16, threads=2)
    for a, b in zip(found, whole, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12 * np.max(b))
        np.testing.assert_array_equal(a, a.T)


@pytest.mark.parametrize("name", ["nngp", "ntk"])
def test_one_kernel_alone(name: str, tmp_path: pathlib.Path):
    x = data(20)
    for out in (None, tmp_path / "one"):
        found = compute(NET, x, kernels=[name], tile=8, out=out)
        np.testing.assert_allclose(getattr(found, name), getattr(nk.kernel(NET, x), name), rtol=1e-12)
        assert found[1 - KERNELS.index(name)] is None
    assert load(tmp_path / "one")._asdict().keys() == {"nngp", "ntk"}


KERNELS = ["nngp", "ntk"]


def test_the_side_is_chosen():
    x = data(200)
    np.testing.assert_allclose(compute(NET, x, threads=2).ntk, nk.ntk(NET, x), rtol=1e-12)


# Interrupted and resumed ----------------------------------------------------------------------------------------------

SLOW = """
import pathlib, sys, time
sys.path.insert(0, {tests!r})
import numpy as np, ntkit as nk
from test_gram import Plain, data

class Slow(Plain):
    def __call__(self, x1, x2=None):
        time.sleep(0.15)
        with open({calls!r}, "a") as calls:
            calls.write(".")
        return super().__call__(x1, x2)

out = {out!r}
try:
    nk.gram.compute(Slow(), data(60), tile=6, threads=2, out=out or None)
except nk.gram.Interrupted as stopped:
    missing = -1 if stopped.pair is None else int(np.isnan(stopped.pair.ntk).sum())
    print(stopped.finished, stopped.tiles, missing, stopped)
    raise SystemExit(7)
"""


def interrupted(out: str, by: int, calls: pathlib.Path) -> subprocess.CompletedProcess:
    """A slow run in a process of its own, stopped by a signal after some calls."""
    code = SLOW.format(tests=str(pathlib.Path(__file__).parent), out=out, calls=str(calls))
    command = [sys.executable, "-c", code]
    begin = time.monotonic()
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            while not (calls.exists() and calls.stat().st_size >= 12) and time.monotonic() < begin + 60:
                time.sleep(0.05)
            process.send_signal(by)
            stdout, stderr = process.communicate(timeout=60)
        finally:
            process.kill()
    return subprocess.CompletedProcess([], process.returncode, stdout, stderr)


@pytest.mark.parametrize("by", [signal.SIGINT, signal.SIGKILL])
def test_a_stopped_run_goes_on(tmp_path: pathlib.Path, by: int):
    out = tmp_path / "k"
    log = out / "tiles.log"
    run = interrupted(str(out), by, tmp_path / "calls")
    if by == signal.SIGINT:
        assert run.returncode == 7, run.stderr
        assert "tiles are finished in" in run.stdout
    done = log.read_text().count("\n")
    assert 5 <= done < 55
    partial = load(out, partial=True).ntk
    assert 0 < np.isnan(partial).sum() < partial.size
    with pytest.raises(InputError, match=f"has {done} of 55 tiles; call ntkit.gram.compute again"):
        load(out)
    again = Plain()
    found = compute(again, data(60), tile=99, threads=2, out=out)
    # One call more looks at a single row.
    assert again.calls == 55 - done + 1
    np.testing.assert_array_equal(found.ntk, Plain()(data(60)).ntk)


def test_a_stopped_run_in_memory(tmp_path: pathlib.Path):
    run = interrupted("", signal.SIGINT, tmp_path / "calls")
    assert run.returncode == 7, run.stderr
    finished, tiles, missing, _ = run.stdout.split(maxsplit=3)
    assert 0 < int(finished) < int(tiles)
    assert int(missing) > 0


def test_a_finished_folder_is_not_computed_again(tmp_path: pathlib.Path):
    compute(Plain(), data(9), out=tmp_path, tile=4)
    again = Plain()
    compute(again, data(9), out=tmp_path)
    assert again.calls <= 3


# Refused, and nothing overwritten -------------------------------------------------------------------------------------


def contents(folder: pathlib.Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in folder.iterdir()}


@pytest.fixture
def filled(tmp_path: pathlib.Path) -> pathlib.Path:
    compute(Plain(), data(9), out=tmp_path / "k", tile=4)
    return tmp_path / "k"


def other_kernel() -> Plain:
    kernel = Plain()
    kernel.fingerprint = "another"
    return kernel


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda out: compute(other_kernel(), data(9), out=out), "holds a matrix of another kernel"),
        (lambda out: compute(Plain(), data(9, 1), out=out), "holds a matrix of other data"),
        (
            lambda out: compute(Plain(), data(9), kernels=["ntk"], out=out),
            r"kernels \['nngp', 'ntk'\], where \['ntk'\]",
        ),
        (lambda out: compute(Plain(), data(8), out=out), "rows 9, where 8 is asked for"),
    ],
)
def test_a_foreign_folder(filled: pathlib.Path, call, message: str):
    before = contents(filled)
    with pytest.raises(InputError, match=message):
        call(filled)
    assert contents(filled) == before


def cut_state(folder: pathlib.Path) -> None:
    (folder / "state.json").write_text("{")


def other_version(folder: pathlib.Path) -> None:
    state = json.loads((folder / "state.json").read_text())
    (folder / "state.json").write_text(json.dumps({**state, "format": 99}))


def cut_matrix(folder: pathlib.Path) -> None:
    with (folder / "ntk.npy").open("r+b") as file:
        file.truncate(200)


def other_matrix(folder: pathlib.Path) -> None:
    np.save(folder / "ntk.npy", np.zeros((3, 3)))


def change_entry(folder: pathlib.Path) -> None:
    matrix = np.load(folder / "ntk.npy", mmap_mode="r+")
    matrix[1, 2] += 1
    matrix.flush()


def nonsense_in_log(folder: pathlib.Path) -> None:
    with (folder / "tiles.log").open("a") as file:
        file.write("three\n")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (cut_state, "state.json is damaged"),
        (other_version, "damaged, or of another version"),
        (cut_matrix, "ntk.npy is damaged"),
        (other_matrix, r"ntk.npy is damaged: it holds \(3, 3\)"),
        (change_entry, "rows 0 to 4 by columns 0 to 4 are not what was written"),
        (nonsense_in_log, "tiles.log is damaged at 'three'"),
    ],
)
def test_a_damaged_folder(filled: pathlib.Path, damage, message: str):
    damage(filled)
    before = contents(filled)
    for call in (lambda: compute(Plain(), data(9), out=filled), lambda: load(filled)):
        with pytest.raises(InputError, match=message):
            call()
    assert contents(filled) == before


def test_a_line_that_a_killed_process_began(filled: pathlib.Path):
    log = filled / "tiles.log"
    text = log.read_text()
    log.write_text(text[:-5])
    again = Plain()
    compute(again, data(9), out=filled)
    assert log.read_text() == text
    assert again.calls <= 4


def test_a_folder_of_something_else(tmp_path: pathlib.Path):
    (tmp_path / "thesis.tex").write_text("…")
    with pytest.raises(InputError, match="exists and holds no kernel matrix"):
        compute(Plain(), data(3), out=tmp_path)
    with pytest.raises(InputError, match=r"holds no kernel matrix: it has no state\.json"):
        load(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_folder_in_use(tmp_path: pathlib.Path):
    class Nested(Plain):
        def __call__(self, x1, x2=None):
            if len(x1) > 1:
                compute(Plain(), data(9), out=tmp_path / "k", tile=4)
            return super().__call__(x1, x2)

    with pytest.raises(InputError, match="is being filled by another process"):
        compute(Nested(), data(9), out=tmp_path / "k", tile=4, threads=1)


# Bad input ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tile": 0}, "tile must be a whole number, at least 1"),
        ({"threads": 1.5}, "threads must be a whole number, at least 1"),
        ({"kernels": ["rbf"]}, 'kernels must be some of "nngp" and "ntk"'),
        ({"kernels": []}, 'kernels must be some of "nngp" and "ntk"'),
    ],
)
def test_options(options: dict, message: str):
    with pytest.raises(InputError, match=message):
        compute(NET, data(3), **options)


def test_what_is_no_kernel():
    with pytest.raises(InputError, match="kernel must be a network or a KernelFn, found float"):
        compute(1.0, data(3))


def test_kernels_with_positions():
    with pytest.raises(InputError, match="a kernel with positions has no matrix"):
        compute(nk.Conv(2, 3) >> nk.Relu(), np.ones((3, 4, 2)))


def test_kernels_that_are_not_finite():
    class Broken(Plain):
        def __call__(self, x1, x2=None):
            k = super().__call__(x1, x2).nngp
            return nk.KernelPair(k, np.where(len(x1) > 1, np.nan, k))

    with pytest.raises(NumericalError, match="the ntk is not finite in rows 0 to 4 by columns 0 to 4"):
        compute(Broken(), data(9), tile=4, threads=1)


def test_no_room_in_memory(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(room, "available_memory", lambda: 1000)
    with pytest.raises(
        InputError, match=r"the result takes .* GiB, and .* GiB of memory are free; give out=FOLDER"
    ):
        compute(Plain(), data(20))


def test_no_room_on_disk(monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path):
    usage = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(room.shutil, "disk_usage", lambda _: usage)
    with pytest.raises(InputError, match="GiB are free on the disk of"):
        compute(Plain(), data(20), out=tmp_path / "not" / "there")
    assert not (tmp_path / "not").exists()


def test_memory_that_is_free_is_known():
    assert room.available_memory() > 2**20

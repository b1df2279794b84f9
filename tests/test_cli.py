"""The command line as a shell sees it: what it prints, what it writes, and its exit codes."""

import json
import os
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from typer.testing import CliRunner

import ntkit as nk
from ntkit.cli import BAD_INPUT, INTERRUPTED, NUMERICAL, app, network_options
from ntkit.errors import InputError

SMALL = ["--net", "mlp", "--depth", "1", "--train", "20", "--test", "10"]


def call(*arguments: object):
    """Run the command in this process."""
    return CliRunner().invoke(app, [str(a) for a in arguments])


def refused(result, *parts: str) -> None:
    """One line on standard error, exit code 2, no traceback."""
    assert result.exit_code == BAD_INPUT, result.output
    assert result.stderr.startswith("ntkit: ")
    assert result.stderr.count("\n") == 1
    assert result.stdout == ""
    for part in parts:
        assert part in result.stderr


@pytest.fixture(autouse=True)
def in_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_study_writes_three_files_and_a_summary(tmp_path) -> None:
    result = call("study", "--data", "iris", *SMALL, "--out", "deep/out")
    assert result.exit_code == 0, result.output
    folder = tmp_path / "deep" / "out"
    assert sorted(p.name for p in folder.iterdir()) == ["kernel.npz", "report.html", "results.json"]
    results = json.loads((folder / "results.json").read_text())
    assert results["network"]["options"] == {"depth": "1"}
    assert results["made"]["seed"] == 0
    assert {"ntkit", "jax", "python"} <= set(results["made"]["versions"])
    with np.load(folder / "kernel.npz") as kernels:
        assert kernels["ntk_train"].shape == (20, 20)
        assert kernels["ntk_test"].shape == (10, 20)
    assert "NTK at convergence" in result.stdout
    assert f"Report: {os.path.join('deep', 'out', 'report.html')}" in result.stdout
    assert list(tmp_path.iterdir()) == [tmp_path / "deep"]


def test_study_quiet_default_place_and_overwrite(tmp_path) -> None:
    result = call("study", "--data", "iris", *SMALL, "--quiet")
    assert (result.exit_code, result.output) == (0, "")
    assert (tmp_path / "study-iris-mlp" / "report.html").is_file()
    refused(call("study", "--data", "iris", *SMALL), "exists and is not empty", "--overwrite")
    assert call("study", "--data", "iris", *SMALL, "--quiet", "--overwrite").exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["--data", "iriss"], ["unknown data set 'iriss'", "did you mean 'iris'"]),
        (["--data", "iris", "--net", "mpl"], ["unknown network 'mpl'", "'mlp'"]),
        (["--data", "iris", "--net", "cnn"], ["'cnn' does not take rows of 4 columns"]),
        (["--data", "iris", "--dept", "3"], ["--dept", "did you mean '--depth'", "--w-std"]),
        (["--data", "iris", "--sed", "3"], ["--sed", "did you mean '--seed'"]),
        (["--data", "iris", "--depth"], ["--depth needs a value"]),
        (["--data", "iris", "extra"], ["unexpected argument 'extra'"]),
        (["--data", "iris", "--w-std", "-1"], ["w_std", "-1"]),
        (["--data", "iris", "--act", "rellu"], ["rellu", "relu"]),
        (["--data", "iris", "--train", "0"], ["--train must be at least 1"]),
        (["--data", "iris", "--train", "900", "--test", "10"], ["900 training and 10 test", "150"]),
        (["--data", "nowhere.csv", "--target", "y"], ["no such file"]),
        (["--data", "broken.npz"], ["cannot read"]),
        (["--data", "empty.csv", "--target", "y"], ["no rows"]),
        (["--data", "t.csv", "--target", "spezies"], ["no column 'spezies'", "did you mean 'species'"]),
        (["--data", "t.csv", "--target", "species"], ["class 'c' of target 'species' has 1 example"]),
        (["--data", "nan.npz"], ["row 2, column 1"]),
        (["--data", "iris", "--net", "unknown_layer.json"], ["Densee", "Dense"]),
        (["--data", "iris", "--net", "unknown_field.json"], ["wstd", "w_std"]),
        (["--data", "digits", "--net", "pool.json"], ["window"]),
        (["--data", "digits", "--net", "negative.json"], ["negative.json", "w_std"]),
        (["--data", "iris", "--net", "relu.json"], ["relu.json", "are not Gaussian", "Dense"]),
        (["--data", "huge.npz"], ["row 0, column 0", "too large to be squared"]),
        (["--data", "iris", "--steps", "20"], ["--steps 20", "--finite"]),
        (["--data", "iris", "--train", "150"], ["--train 150 leaves none of the 150 rows"]),
    ],
)  # fmt: skip
def test_study_refuses(tmp_path, arguments, parts) -> None:
    (tmp_path / "broken.npz").write_bytes(b"PK no zip")
    (tmp_path / "empty.csv").write_text("x,y\n")
    (tmp_path / "t.csv").write_text("x,species\n1,a\n2,a\n3,b\n4,b\n5,c\n")
    x = np.zeros((6, 3))
    x[2, 1] = np.nan
    np.savez(tmp_path / "nan.npz", x=x, y=np.arange(6) % 2)
    np.savez(tmp_path / "huge.npz", x=np.full((6, 3), 1e200), y=np.arange(6) % 2)
    dense, pool = '{"layer": "Dense", "width": 1}', '{"layer": "AvgPool", "window": 9}'
    for name, text in {
        "unknown_layer": '{"layer": "Densee", "width": 3}',
        "unknown_field": '{"layer": "Dense", "width": 3, "wstd": 1}',
        "relu": f'{{"layer": "Serial", "layers": [{dense}, {{"layer": "Relu"}}]}}',
        "negative": '{"layer": "Dense", "width": 3, "w_std": -1}',
        "pool": f'{{"layer": "Serial", "layers": [{pool}, {{"layer": "Flatten"}}, {dense}]}}',
    }.items():
        (tmp_path / f"{name}.json").write_text(text)
    before = sorted(tmp_path.iterdir())
    refused(call("study", *arguments, "--out", "out"), *parts)
    assert sorted(tmp_path.iterdir()) == before


def test_a_place_that_cannot_be_written_is_refused_before_computing(monkeypatch) -> None:
    monkeypatch.setattr("ntkit.study.kernels.compute", lambda *_, **__: pytest.fail("computed"))
    refused(call("study", "--data", "iris", "--out", "n" * 300), "cannot be written")
    if os.path.isdir("/proc"):
        refused(call("study", "--data", "iris", "--out", "/proc/nope"), "--out /proc/nope cannot be written")


def test_usage_errors_and_help() -> None:
    assert call("study").exit_code == BAD_INPUT
    assert call("nothing").exit_code == BAD_INPUT
    for command in ("study", "kernel", "nets"):
        result = call(command, "--help")
        assert result.exit_code == 0
        assert "--help" in result.stdout
    assert "ntkit study --data digits --net mlp --depth 3" in call("study", "--help").stdout
    assert call("--version").stdout == f"ntkit {nk.__version__}\n"


def test_network_options() -> None:
    assert network_options(["--w-std", "-1", "--act=erf"]) == {"w_std": "-1", "act": "erf"}
    with pytest.raises(InputError, match="--act needs a value"):
        network_options(["--act", "--depth", "3"])
    with pytest.raises(InputError, match="unexpected argument 'erf'"):
        network_options(["erf"])


def test_numerical_failure_is_exit_code_1(monkeypatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise nk.errors.NumericalError("the kernel is\nnot finite")

    monkeypatch.setattr("ntkit.study.write_study", fail)
    result = call("study", "--data", "iris")
    assert (result.exit_code, result.stderr) == (NUMERICAL, "ntkit: the kernel is not finite\n")


# What Python says of an interrupt that it dropped.
_IGNORED = r"Exception ignored in.*?Traceback.*?KeyboardInterrupt:?\s"


def test_interrupt_is_exit_code_130_and_writes_nothing(tmp_path) -> None:
    code = "import sys; print('ready', flush=True); from ntkit.cli import main; main()"
    command = [
        sys.executable,
        "-c",
        code,
        "study",
        "--data",
        "digits",
        "--out",
        "out",
        "--quiet",
        "--finite",
        "2048",
        "--steps",
        "100000",
    ]
    with subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout.readline() == "ready\n"
            time.sleep(4)
            process.send_signal(signal.SIGINT)
            try:
                _, said = process.communicate(timeout=30)
            except subprocess.TimeoutExpired:
                # Python drops an interrupt that arrives inside a callback of its own; users press again.
                process.send_signal(signal.SIGINT)
                _, said = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == INTERRUPTED
    assert "Traceback" not in re.sub(_IGNORED, "", said, flags=re.DOTALL)
    assert list(tmp_path.iterdir()) == []


# ---- ntkit kernel ----


@pytest.fixture
def spec(tmp_path):
    net = nk.Dense(8, w_std=1.5, b_std=0.2) >> nk.Erf() >> nk.Dense(1)
    (tmp_path / "net.json").write_text(json.dumps(nk.to_spec(net)))
    return net


def test_kernel_of_a_file(tmp_path, spec) -> None:
    rng = np.random.default_rng(0)
    x1, x2 = rng.normal(size=(5, 3)), rng.normal(size=(4, 3))
    np.savez(tmp_path / "one.npz", x=x1)
    np.savez(tmp_path / "two.npz", x1=x1.astype(np.float32), x2=x2.astype(np.float32))
    result = call("kernel", "one.npz", "net.json", "--out", "k.npz")
    assert result.exit_code == 0, result.output
    assert "(5, 5), float64: k.npz" in result.stdout
    with np.load(tmp_path / "k.npz") as found:
        np.testing.assert_allclose(found["ntk"], nk.ntk(spec, x1), rtol=1e-13)
        np.testing.assert_allclose(found["nngp"], nk.nngp(spec, x1), rtol=1e-13)
        assert json.loads(str(found["spec"])) == nk.to_spec(spec)
    assert call("kernel", "two.npz", "net.json", "--out", "k2.npz", "--quiet").output == ""
    with np.load(tmp_path / "k2.npz") as found:
        assert found["ntk"].dtype == np.float32
        np.testing.assert_allclose(found["ntk"], nk.ntk(spec, x1, x2), rtol=1e-4, atol=1e-5)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["k.npz", "k2.npz", "net.json", "one.npz", "two.npz"]


def test_kernel_of_a_table(tmp_path, spec) -> None:
    (tmp_path / "t.csv").write_text("a,b,city,y\n1,2,Oslo,0\n2,4,Rome,1\n3,1,Oslo,0\n")
    refused(
        call("kernel", "t.csv", "net.json", "--out", "k.npz"), "categorical column 'city'", "--standardise"
    )
    refused(call("kernel", "t.csv", "net.json", "--target", "z", "--out", "k.npz"), "no column 'z'")
    result = call(
        "kernel",
        "t.csv",
        "net.json",
        "--target",
        "y",
        "--standardise",
        "--dtype",
        "float32",
        "--out",
        "k.npz",
    )
    assert result.exit_code == 0, result.output
    assert "(3, 3), float32" in result.stdout
    (tmp_path / "t.csv").write_text("a,b\n1,2\n2,\n")
    refused(call("kernel", "t.csv", "net.json", "--out", "k2.npz"), "row 1, column 1")


def test_kernel_refuses(tmp_path, spec) -> None:
    np.savez(tmp_path / "d.npz", x=np.eye(3), labels=np.arange(3))
    np.savez(tmp_path / "other.npz", z=np.eye(3))
    np.savez(tmp_path / "two.npz", x1=np.eye(3), x2=np.eye(2))
    (tmp_path / "taken.npz").touch()
    for data, out, more, part in (
        ("d.npz", "k.txt", [], "must end in .npz"),
        ("d.npz", "taken.npz", [], "exists"),
        ("d.npz", "no/k.npz", [], "does not exist"),
        ("d.npz", "k.npz", ["--dtype", "float16"], "use float32 or float64"),
        ("nowhere.npz", "k.npz", [], "no such file"),
        ("net.json", "k.npz", [], "use a file ending in"),
        ("other.npz", "k.npz", [], "holds z: it needs x, or x1 and x2"),
        ("two.npz", "k.npz", [], "x1 has examples of shape (3,), x2 of (2,)"),
    ):
        refused(call("kernel", data, "net.json", "--out", out, *more), part)
    refused(call("kernel", "d.npz", "nowhere.json", "--out", "k.npz"), "cannot read the spec")
    refused(call("kernel", "d.npz", "cnn", "--out", "k.npz"), "'cnn' does not take rows")
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "d.npz",
        "net.json",
        "other.npz",
        "taken.npz",
        "two.npz",
    ]


# ---- ntkit nets ----


def test_nets_lists_the_zoo_from_the_functions() -> None:
    result = call("nets")
    assert result.exit_code == 0
    for name in nk.zoo.ZOO:
        assert name in result.stdout
    assert "--depth" in result.stdout.replace("\u00a0", " ")
    spec = json.loads(call("nets", "mlp").stdout)
    assert nk.to_spec(nk.from_spec(spec)) == spec
    refused(call("nets", "mpl"), "did you mean 'mlp'")

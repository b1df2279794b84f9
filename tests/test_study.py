"""The main job from options to numbers: data, split, preprocessing, predictions, and what is refused."""

import json

import numpy as np
import pandas as pd
import pytest

import ntkit as nk
from ntkit import datasets
from ntkit.datasets import Table
from ntkit.errors import InputError, NoClosedFormError, NumericalError
from ntkit.predict import kernel_regression
from ntkit.study import Options, baselines, preprocessing, run, summary, write_study
from ntkit.study.examples import scale
from ntkit.study.finite import train
from ntkit.study.folder import check_npz_place, write_npz
from ntkit.study.infinite import likeliest_noise
from ntkit.study.kernels import check_finite, check_memory, compute, symmetric
from ntkit.study.network import Network, at_width, build, check_gaussian, choose_network, fitting_shape
from ntkit.study.report import render
from ntkit.study.report.figures import panels
from ntkit.study.split import split, stratified_order


def ignore(units: float) -> None:
    """Progress that nobody sees."""


@pytest.fixture(scope="module")
def iris():
    return run(Options("iris", net_options={"depth": "2"}, train=60, test=45, finite=512, steps=60))


@pytest.fixture(scope="module")
def diabetes():
    return run(Options("diabetes", net_options={"act": "erf", "depth": "1"}, train=150, test=100))


# ---- the numbers ----


def test_predictions_are_those_of_the_kernels(iris) -> None:
    results, arrays, _ = iris
    coded = np.eye(3)[arrays["y_train"]] - 1 / 3
    outputs = kernel_regression(arrays["ntk_train"], coded).predict(arrays["ntk_test"])
    right = np.mean(np.argmax(outputs, axis=1) == arrays["y_test"])
    line = next(m for m in results["methods"] if m["id"] == "ntk")
    assert line["test"]["score"] == right > 0.85
    assert np.trace(results["outcome"]["confusion"]) == round(right * 45)
    assert results["curves"]["test_score"][-1] == pytest.approx(right, abs=0.05)


def test_kernels_are_those_of_the_network(iris) -> None:
    results, arrays, _ = iris
    data = datasets.load("iris")
    rows = data.x.numbers[arrays["index_train"]]
    x = (rows - rows.mean(axis=0)) / rows.std(axis=0)
    pair = nk.kernel(nk.from_spec(results["network"]["spec"]), x)
    np.testing.assert_allclose(arrays["ntk_train"], pair.ntk, rtol=1e-12)
    np.testing.assert_allclose(arrays["nngp_train"], pair.nngp, rtol=1e-12)
    assert np.array_equal(data.y[arrays["index_train"]], arrays["y_train"])


def test_generalisation_is_what_the_analysis_says(iris) -> None:
    results, arrays, _ = iris
    found, y = results["generalisation"], np.eye(3)[arrays["y_train"]] - 1 / 3
    curve, bounds = found["learning_curve"], found["bounds"]
    known = nk.analysis.population(arrays["ntk_train"], y)
    for n, loss in zip(curve["n"], curve["expected"], strict=True):
        assert loss == pytest.approx(nk.analysis.expected_loss(known, n, ridge=curve["ridge"]).loss)
    for n, loss, spread in zip(curve["measured_n"], curve["measured"], curve["deviation"], strict=True):
        expected = curve["expected"][curve["n"].index(n)]
        assert loss == pytest.approx(expected, abs=0.5 * expected + spread)
    assert len(found["risk"]["kare"]) == len(found["risk"]["ridge"])
    assert bounds["clipped_test_loss"] < bounds["true"] < bounds["shuffled"]


def test_the_regime_of_the_finite_network_is_that_of_its_run(iris) -> None:
    report = nk.analysis.regime_report(iris.training)
    said = iris.results["finite"]["regime"]
    assert said["verdict"] == report.verdict
    assert said["error_network"] == report.error_network
    assert iris.results["finite"]["relative_movement"] == pytest.approx(report.movement, rel=1e-4)


def test_a_finite_network_follows_its_prediction(iris) -> None:
    found = iris[0]["finite"]
    assert found["step"][0] == 0
    assert found["step"][-1] == 60
    np.testing.assert_allclose(found["time"], np.array(found["step"]) * found["learning_rate"])
    assert found["learning_rate"] < found["largest_stable_rate"]
    assert found["test_loss"][0] == pytest.approx(found["predicted_test_loss"][0], rel=1e-9)  # f₀ enters
    assert found["relative_distance_test"] < 0.15
    assert found["train_loss"][-1] < 0.5 * found["train_loss"][0]


def test_labels_lie_in_modes(iris) -> None:
    found = iris[0]["spectrum"]
    assert sum(found["label_power"]) == pytest.approx(1.0)
    assert (
        found["cumulative_power"][found["modes_90"] - 1]
        >= 0.9
        > found["cumulative_power"][found["modes_90"] - 2]
    )
    assert iris[0]["kernels"]["ntk"]["positive_definite"]


def test_a_regression_is_reported_in_the_unit_of_its_target(diabetes) -> None:
    results, arrays, _ = diabetes
    line = next(m for m in results["methods"] if m["id"] == "nngp")
    error = np.sqrt(np.mean((np.array(results["outcome"]["mean"]) - arrays["y_test"]) ** 2))
    assert line["test"]["score"] == pytest.approx(error)
    assert 40 < error < 75
    assert 0.85 < results["outcome"]["coverage"] <= 1
    assert results["score"]["id"] == "rmse"


def test_results_are_plain_json(iris, diabetes) -> None:
    for results, *_ in (iris, diabetes):
        assert json.loads(json.dumps(results, allow_nan=False)) == results


def test_the_seed_decides_the_split() -> None:
    first, again, other = (
        split(datasets.load("wine"), 40, 20, seed, large=False).train for seed in (1, 1, 2)
    )
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_blocks_give_the_same_kernel(monkeypatch) -> None:
    x = np.random.default_rng(0).normal(size=(7, 3))
    net = nk.Dense(8) >> nk.Relu() >> nk.Dense(1)
    monkeypatch.setattr("ntkit.study.kernels.MOST_ROWS", 3)
    done = []
    computed = compute(net, x, x[:5] + 1, done.append)
    np.testing.assert_allclose(computed.ntk_train, nk.ntk(net, x), rtol=1e-13)
    np.testing.assert_allclose(computed.ntk_test, nk.ntk(net, x[:5] + 1, x), rtol=1e-13)
    np.testing.assert_allclose(computed.nngp_test_diagonal, np.diag(nk.nngp(net, x[:5] + 1)), rtol=1e-13)
    assert sum(done) == 7 * 8 / 2 + 5 * 7
    nngp, _ = symmetric(net, x, ignore)
    assert np.array_equal(nngp, nngp.T)


def test_a_convolution_reads_images(tmp_path) -> None:
    rng = np.random.default_rng(0)
    y = np.repeat([0, 1], 15)
    x = (rng.normal(size=(30, 6, 5, 2)) + y[:, None, None, None]).clip(0, 5)
    np.savez(tmp_path / "images.npz", x=(40 * x).astype(np.uint8), y=y)
    results, arrays, _ = run(Options(str(tmp_path / "images.npz"), "cnn", {"depth": "1"}, train=20, test=10))
    assert results["data"]["input_shape"] == [6, 5, 2]
    assert arrays["ntk_train"].dtype == np.float32
    assert results["methods"][0]["test"]["score"] > 0.6


def test_a_singular_kernel_is_said_and_mended(tmp_path) -> None:
    (tmp_path / "linear.json").write_text(json.dumps(nk.to_spec(nk.Dense(1))))
    results, *_ = run(Options("iris", str(tmp_path / "linear.json"), train=30, test=30))
    kernel = results["kernels"]["ntk"]
    assert not kernel["positive_definite"]
    assert kernel["rank"] == 4
    assert kernel["jitter"] > 0
    assert results["methods"][0]["test"]["score"] > 0.6
    assert "is singular to rounding" in render(results)


def homes(path, rows: int = 200) -> None:
    """A table with missing cells in which 20 rows repeat others with different targets."""
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "area": rng.uniform(30, 200, rows).round(1),
            "rooms": rng.integers(1, 5, rows).astype(float),
            "city": rng.choice(["Rome", "Oslo", "Lima"], rows),
            "heating": rng.choice(["gas", "oil"], rows),
        }
    )
    price = (100 * frame.area + 1000 * frame.rooms + rng.normal(0, 2500, rows)).round(0)
    frame.loc[rng.choice(rows, 15, False), "rooms"] = np.nan
    frame.loc[rng.choice(rows, 12, False), "city"] = None
    frame.iloc[-20:] = frame.iloc[:20].to_numpy()
    frame.assign(price=price).to_csv(path, index=False)


def test_a_singular_kernel_does_not_determine_convergence(tmp_path, capsys) -> None:
    homes(tmp_path / "homes.csv")
    options = Options(str(tmp_path / "homes.csv"), "mlp", {"depth": "3", "act": "erf"}, "price")
    results, *_ = run(options)
    kernel, line = results["kernels"]["ntk"], results["methods"][0]
    assert kernel["singular"]
    assert kernel["condition"] is None
    assert line["test"]["score"] > 1e5  # rounding
    assert not line["determined"]
    assert not results["curves"]["converged"]
    assert results["lead"] == "ntk_ridge"
    page, made = render(results), panels(results)
    assert "not determined: the kernel is singular" in page
    assert "<dt>NTK at convergence</dt>" not in page
    assert "<dt>NTK with ridge</dt>" in page
    assert "condition number" not in page
    assert "at the last time shown" in made["curves"].see
    assert "convergence" not in made["curves"].see
    drawn = [x for trace in made["scores"].figure.data for x in trace.x]
    assert len(drawn) == 4
    assert max(drawn) < 20_000
    summary(results, tmp_path)
    said = capsys.readouterr().out
    assert "not determined: the kernel is singular" in said
    assert "condition number" not in said
    assert f"{line['test']['score']:,.0f}" not in said


def test_a_singular_kernel_of_float32_ends_no_study(tmp_path) -> None:
    homes(tmp_path / "homes.csv")
    options = Options(
        str(tmp_path / "homes.csv"), "mlp", {"depth": "3", "act": "erf"}, "price", dtype="float32"
    )
    results, *_ = run(options)
    assert results["kernels"]["ntk"]["singular"]
    assert results["methods"][1]["test"]["r2"] > 0.3


def test_what_is_said_of_a_finite_network(iris, tmp_path, capsys) -> None:
    predicted, real = iris[0]["methods"][3:5]
    assert (predicted["name"], real["name"]) == ("predicted after 60 steps", "network of width 512")
    assert predicted["test"]["score"] == iris[0]["finite"]["predicted_test_score"][-1]
    assert real["test"]["score"] == iris[0]["finite"]["test_score"][-1]
    summary(iris[0], tmp_path)
    assert "% of the distance that training has moved them" in capsys.readouterr().out
    assert "predicted after 60 steps" in render(iris[0])


def test_support_vectors_of_a_regression_are_tuned_in_epsilon_too() -> None:
    def peak(trial: tuple[float, ...]) -> float:
        return -(np.log10(trial[0] / 100) ** 2) - np.log10(trial[1] / 0.2) ** 2 - abs(trial[2] - 0.01)

    scores = baselines.search_regression(peak)
    assert max(scores, key=lambda trial: scores[trial]) == (100.0, 0.2, 0.02)
    assert len(scores) <= baselines.TRIALS
    assert (1000.0, 1.0, 0.1) in scores
    assert (1000.0, 1.0, 0.3) not in scores
    x = np.random.default_rng(0).normal(size=(120, 2))
    y = np.sin(2 * x[:, 0])
    done: list[float] = []
    model, chosen = baselines.tuned_svm(x, y / y.std(), "regression", 0, done.append)
    assert model.epsilon == chosen["epsilon"] < 0.1
    assert chosen["cross_validated_r2"] > 0.9
    assert len(done) <= baselines.TRIALS


def test_noise_has_the_largest_marginal_likelihood() -> None:
    from ntkit.predict import posterior
    from ntkit.solve import eigendecomposition

    x = np.linspace(-1, 1, 40)
    kernel = np.exp(-2 * np.subtract.outer(x, x) ** 2)
    y = (np.sin(3 * x) + 0.3 * np.random.default_rng(0).normal(size=40))[:, None]
    best = likeliest_noise(eigendecomposition(kernel), y)
    assert 0.03 < best < 0.3
    evidence = [posterior(kernel, y, noise=s).log_marginal_likelihood for s in (best / 2, best, 2 * best)]
    assert evidence[1] == max(evidence)


# ---- split and preprocessing ----


def test_every_prefix_and_suffix_is_stratified() -> None:
    labels = np.repeat([0, 1, 2], [60, 30, 10])
    order = stratified_order(labels, np.random.default_rng(3))
    assert sorted(order) == list(range(100))
    for part in (order[:20], order[-20:], order[:70]):
        counts = np.bincount(labels[part], minlength=3) / len(part)
        np.testing.assert_allclose(counts, [0.6, 0.3, 0.1], atol=0.06)


def test_a_class_with_two_examples_trains_one_and_tests_one() -> None:
    y = np.array([0] * 20 + [1] * 20 + [2] * 2)
    data = datasets.Dataset("d", "classification", table(np.zeros((42, 1))), y, class_names=("a", "b", "c"))
    for seed in range(5):
        rows = split(data, None, None, seed, large=False)
        assert set(y[rows.train]) == set(y[rows.test]) == {0, 1, 2}
        assert not set(rows.train) & set(rows.test)


def test_the_number_that_is_not_given_is_what_is_left() -> None:
    for n_train, n_test, found in (
        (140, None, (140, 10)),
        (149, None, (149, 1)),
        (None, 140, (10, 140)),
        (30, None, (30, 37)),
    ):
        rows = split(datasets.load("iris"), n_train, n_test, 0, large=False)
        assert (len(rows.train), len(rows.test)) == found


def test_preprocessing_never_sees_test_rows() -> None:
    rng = np.random.default_rng(0)
    numbers = rng.normal(3.0, 2.0, size=(40, 3))
    numbers[5, 1] = np.nan
    cities = np.array(["Oslo", "Rome"] * 20, dtype=object)[:, None]
    data = datasets.Dataset(
        "d", "regression", Table(numbers, ("a", "b", "c"), cities, ("city",)), rng.normal(size=40)
    )
    rows = split(data, 25, 10, 0, large=False)
    before = scale(data, rows)
    numbers[rows.test] = 1e6
    cities[rows.test] = "Lima"
    after = scale(data, rows)
    assert np.array_equal(before.train, after.train)
    np.testing.assert_allclose(before.train[:, :3].mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(before.train[:, :3].std(axis=0), 1, atol=1e-12)
    assert before.columns == ("a", "b", "c", "city=Oslo", "city=Rome")
    assert np.all(after.test[:, 3:] == 0)  # a text that no training row has


def test_missing_values_are_filled_from_training_rows() -> None:
    texts = np.array([["x"], ["x"], ["y"], [None]], dtype=object)
    train_rows = Table(np.array([[1.0], [2.0], [9.0], [np.nan]]), ("n",), texts, ("t",))
    fitted = preprocessing.fit_table(train_rows)
    assert fitted.median == [2.0]
    assert fitted.fill == ("x",)
    assert np.array_equal(fitted(train_rows)[3, 1:], [1.0, 0.0])


def test_constant_columns_are_left_out() -> None:
    fitted = preprocessing.fit_table(table(np.array([[1.0, 5.0], [2.0, 5.0]])))
    assert fitted.names == ("c0",)
    with pytest.raises(InputError, match="no column varies"):
        preprocessing.fit_table(table(np.ones((4, 2))))


def test_constant_images_and_targets_are_refused() -> None:
    with pytest.raises(InputError, match="same constant"):
        preprocessing.fit_channels(np.ones((3, 2, 2, 1)))
    with pytest.raises(InputError, match="nothing to learn"):
        preprocessing.fit_target(np.full(5, 2.0), "regression", 0)


def test_a_given_test_set_is_kept(tmp_path) -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(30, 4)), np.arange(30) % 3
    np.savez(
        tmp_path / "d.npz",
        x_train=x[:20],
        y_train=y[:20],
        x_test=x[20:],
        y_test=y[20:],
        class_names=list("abc"),
    )
    data = datasets.load(tmp_path / "d.npz")
    rows = split(data, None, None, 0, large=False)
    assert set(rows.train) == set(range(20))
    assert set(rows.test) == set(range(20, 30))
    assert data.class_names == ("a", "b", "c")


def table(numbers) -> Table:
    names = tuple(f"c{i}" for i in range(numbers.shape[1]))
    return Table(numbers, names, np.empty((len(numbers), 0), dtype=object), ())


# ---- tables ----


def houses(rows: int = 40) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    area = rng.uniform(30, 200, rows).round(1)
    return pd.DataFrame(
        {"area": area, "city": rng.choice(["Rome", "Oslo"], rows), "price": (2 * area).round(1)}
    )


@pytest.mark.parametrize("suffix", ["csv", "tsv", "parquet"])
def test_tables_are_read_alike(tmp_path, suffix) -> None:
    frame = houses()
    frame.loc[3, "area"] = np.nan
    frame.loc[4, "city"] = None
    frame.loc[5, "price"] = np.nan
    frame["id"] = [f"house {i}" for i in range(len(frame))]
    path = tmp_path / f"houses.{suffix}"
    frame.to_parquet(path) if suffix == "parquet" else frame.to_csv(
        path, sep="\t" if suffix == "tsv" else ",", index=False
    )
    data = datasets.load(path, target="price")
    assert data.task == "regression"
    assert data.x.number_names == ("area",)
    assert data.x.category_names == ("city",)
    assert len(data) == 39
    said = " ".join(data.notes)
    for part in (
        "1 of 40 rows have no value of 'price'",
        "'area' has 1 missing value",
        "'city' has 1",
        "'id' has 39 different",
    ):
        assert part in said


def test_semicolons_row_numbers_and_empty_columns(tmp_path) -> None:
    (tmp_path / "t.csv").write_text(";a;b;c;paid\n0;1;2;;no\n1;2;1;;yes\n2;3;5;;no\n3;1;1;;yes\n")
    data = datasets.load(tmp_path / "t.csv", target="paid")
    assert data.x.number_names == ("a", "b")
    assert data.class_names == ("no", "yes")
    assert "only numbers the rows" in data.notes[0]
    assert "'c' is empty" in data.notes[1]


def test_one_hot_targets_and_tasks(tmp_path) -> None:
    np.savez(tmp_path / "d.npz", x=np.arange(12.0).reshape(6, 2), y=np.eye(2)[[0, 1, 0, 1, 1, 0]])
    assert datasets.load(tmp_path / "d.npz").y.tolist() == [0, 1, 0, 1, 1, 0]
    np.savez(tmp_path / "d.npz", x=np.arange(6.0), y=np.array([0, 1, 0, 1, 1, 0]))
    assert datasets.load(tmp_path / "d.npz").task == "classification"
    assert datasets.load(tmp_path / "d.npz", task="regression").class_names == ()
    np.savez(tmp_path / "d.npz", x=np.arange(6.0), y=np.array(["u", "v"] * 3))
    assert datasets.load(tmp_path / "d.npz").class_names == ("u", "v")


# ---- what is refused, with which message ----


def refused(match: str):
    return pytest.raises(InputError, match=match)


def test_unknown_names_get_the_nearest(tmp_path) -> None:
    with refused("unknown data set 'digitz'; did you mean 'digits'"):
        datasets.load("digitz")
    with refused("unknown network 'mpl'; did you mean 'mlp'"):
        choose_network("mpl", {}, (4,), 1)
    with refused("--dept is an option neither.*did you mean '--depth'"):
        build("mlp", {"dept": "3"})
    with refused("--sead is an option neither.*did you mean '--seed'"):
        build("mlp", {"sead": "3"})
    houses().to_csv(tmp_path / "h.csv", index=False)
    with refused("no column 'prize'; did you mean 'price'"):
        datasets.load(tmp_path / "h.csv", target="prize")
    with refused("needs --target COLUMN, one of: area, city, price"):
        datasets.load(tmp_path / "h.csv")


def test_bad_cells_are_located(tmp_path) -> None:
    (tmp_path / "t.csv").write_text("a,b,y\n1,2,0\n2,inf,1\n3,1,0\n")
    with refused(r"inf in row 1 \(line 3 of the file\), column 'b'"):
        datasets.load(tmp_path / "t.csv", target="y")
    (tmp_path / "t.csv").write_text("a,b,y\n1,2,0\n2,3,1\nNaN,1,0\n")
    with refused(r"NaN in row 2 \(line 4 of the file\), column 'a'"):
        datasets.load(tmp_path / "t.csv", target="y")
    x = np.zeros((4, 3))
    x[2, 1] = np.nan
    np.savez(tmp_path / "d.npz", x=x, y=np.arange(4))
    with refused("nan at row 2, column 1"):
        datasets.load(tmp_path / "d.npz")
    images = np.zeros((4, 3, 3, 1))
    images[1, 2, 0, 0] = np.inf
    np.savez(tmp_path / "d.npz", x=images, y=np.arange(4))
    with refused(r"inf at row 1, column \(pixel, channel\) \(2, 0, 0\)"):
        datasets.load(tmp_path / "d.npz")


def test_numbers_too_large_to_be_squared_are_located(tmp_path) -> None:
    x, y = np.ones((4, 3)), np.arange(4.0)
    x[2, 1] = -1e200
    np.savez(tmp_path / "d.npz", x=x, y=y)
    with refused("x holds -1e.200 at row 2, column 1 .* too large to be squared"):
        datasets.load(tmp_path / "d.npz")
    np.savez(tmp_path / "d.npz", x=np.ones((4, 3)), y=1e200 * y)
    with refused("y holds 1e.200 at row 1 .* too large to be squared"):
        datasets.load(tmp_path / "d.npz")
    np.savez(tmp_path / "d.npz", x=1e30 * np.eye(4, dtype=np.float32), y=y)
    assert datasets.load(tmp_path / "d.npz").is_table
    frame = pd.DataFrame({"a": [1.0, 2.0, 3e200, 4.0], "y": y})
    frame.to_csv(tmp_path / "t.csv", index=False)
    with refused(r"3e\+200 in row 2 \(line 4 of the file\), column 'a': too large to be squared"):
        datasets.load(tmp_path / "t.csv", target="y")
    frame.to_parquet(tmp_path / "t.parquet")
    with refused(r"3e\+200 in row 2, column 'a': too large to be squared"):
        datasets.load(tmp_path / "t.parquet", target="y")


def test_text_that_is_not_utf8_gets_a_remedy(tmp_path) -> None:
    for header, cell in (("größe", "a"), ("a", "größe")):
        (tmp_path / "t.csv").write_bytes(f"{header},y\n{cell},1\n{cell},2\n".encode("latin-1"))
        with refused(r"t.csv: its text is not UTF-8; .* iconv -f latin1 -t utf-8 t.csv"):
            datasets.load(tmp_path / "t.csv", target="y")


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("", "cannot read"),
        ("a,y\n", "no rows"),
        ("1,2\n3,4\n", "first line holds numbers"),
        ("y\n1\n2\n", "no column to predict from"),
        ("a,y\n1,\n2,\n", "missing in every row"),
        ("a,y\n1,5\n2,5\n", "same value 5"),
        ('a,y\n1,"5\n', "cannot read"),
    ],
)
def test_bad_tables(tmp_path, text, match) -> None:
    (tmp_path / "t.csv").write_text(text)
    with refused(match):
        datasets.load(tmp_path / "t.csv", target="y")


def test_bad_tasks(tmp_path) -> None:
    houses().to_csv(tmp_path / "h.csv", index=False)
    with refused("task 'clustering' is unknown"):
        datasets.load(tmp_path / "h.csv", target="price", task="clustering")
    with refused("holds text such as"):
        datasets.load(tmp_path / "h.csv", target="city", task="regression")
    with refused("too many to be classes"):
        datasets.load(tmp_path / "h.csv", target="price", task="classification")
    with refused("'iris' is a classification"):
        datasets.load("iris", task="regression")
    for source in ("iris", tmp_path / "n.npz"):
        np.savez(tmp_path / "n.npz", x=np.eye(2), y=np.arange(2))
        with refused("is for CSV and Parquet files"):
            datasets.load(source, target="y")


def test_unreadable_files(tmp_path) -> None:
    with refused("cannot read .*nowhere.csv: no such file"):
        datasets.load(tmp_path / "nowhere.csv", target="y")
    (tmp_path / "folder.csv").mkdir()
    with refused("it is a folder"):
        datasets.load(tmp_path / "folder.csv", target="y")
    for name in ("broken.npz", "broken.parquet"):
        (tmp_path / name).write_bytes(b"nothing of the kind")
        with refused("cannot read"):
            datasets.load(tmp_path / name, target="y" if name.endswith("parquet") else None)
    np.savez(tmp_path / "o.npz", x=np.array([{}, {}]), y=np.arange(2))
    with refused("Python objects"):
        datasets.load(tmp_path / "o.npz")
    np.save(tmp_path / "bare.npy", np.eye(2))
    (tmp_path / "bare.npy").rename(tmp_path / "bare.npz")
    with refused("one bare array"):
        datasets.load(tmp_path / "bare.npz")


@pytest.mark.parametrize(
    ("arrays", "match"),
    [
        ({"x": np.eye(3)}, "needs arrays x and y.*it holds x"),
        ({"x": np.eye(3), "y": np.arange(4)}, r"y has shape \(4,\) for 3 rows"),
        ({"x": np.empty((0, 3)), "y": np.empty(0)}, "it is empty"),
        ({"x": np.array(["a", "b"]), "y": np.arange(2)}, "real numbers are needed"),
        ({"x": np.zeros((2, 1, 1, 1, 1, 1)), "y": np.arange(2)}, "for images"),
        (
            {
                "x_train": np.eye(3),
                "y_train": np.arange(3),
                "x_test": np.ones((2, 2)),
                "y_test": np.arange(2),
            },
            "must be the same",
        ),
    ],
)
def test_bad_npz(tmp_path, arrays, match) -> None:
    np.savez(tmp_path / "d.npz", **arrays)
    with refused(match):
        datasets.load(tmp_path / "d.npz")


def test_bad_splits() -> None:
    y = np.array([0] * 5 + [1] * 5 + [2])
    data = datasets.Dataset("d", "classification", table(np.zeros((11, 1))), y, class_names=("a", "b", "c"))
    with refused("class 'c' of target 'target' has 1 example"):
        split(data, None, None, 0, large=False)
    with refused("500 training and 2 test rows were asked for, but 'iris' has 150"):
        split(datasets.load("iris"), 500, 2, 0, large=False)
    with refused("needs at least 3 and 1"):
        split(datasets.load("iris"), 2, 2, 0, large=False)
    with refused("--train 150 leaves none of the 150 rows of 'iris' to test"):
        split(datasets.load("iris"), 150, None, 0, large=False)
    with refused("--test 150 leaves none of the 150 rows of 'iris' to train"):
        split(datasets.load("iris"), None, 150, 0, large=False)
    given = np.array([False] * 9 + [True] * 2)
    kept = datasets.Dataset("d", "classification", data.x, y, class_names=("a", "b", "c"), given_test=given)
    with refused("class 'c' has no training example"):
        split(kept, None, None, 0, large=False)


def test_networks_that_do_not_fit(tmp_path) -> None:
    with refused(r"'cnn' does not take rows of 4 columns \(a network for tables is --net mlp\)"):
        choose_network("cnn", {}, (4,), 3)
    with refused("it gives outputs of shape"):
        fitting_shape(nk.Conv(4, 3), (6, 6, 1), "own")
    with refused("must be a number, found 'big'"):
        build("mlp", {"w_std": "big"})
    with refused("must be a whole number, found '2.5'"):
        build("mlp", {"depth": "2.5"})
    with refused("w_std"):
        build("mlp", {"w_std": "-1"})
    with refused("unknown activation 'rellu'"):
        build("mlp", {"act": "rellu"})
    for text, match in (
        ("{", "is not JSON"),
        ('{"layer": "Densee", "width": 3}', "net.json: .*Dense"),
        ('{"layer": "Dense", "width": 3, "wstd": 1}', "net.json: .*w_std"),
        ('{"layer": "Dense", "width": 3, "w_std": -1}', "net.json: .*w_std"),
        ('{"layer": "Dense", "width": "three"}', "net.json: "),
        ('{"layer": "Conv", "channels": 3, "size": 3}', "net.json"),
        ("[1]", "must hold an object"),
    ):
        (tmp_path / "net.json").write_text(text)
        with refused(match):
            choose_network(str(tmp_path / "net.json"), {}, (4,), 3)
    with refused("cannot read the spec"):
        choose_network(str(tmp_path / "nowhere.json"), {}, (4,), 3)
    (tmp_path / "net.json").write_text('{"layer": "Dense", "width": 3}')
    with refused("--depth is no option of a study"):
        choose_network(str(tmp_path / "net.json"), {"depth": "3"}, (4,), 3)
    with refused("a last layer with a width"):
        at_width(nk.Dense(4) >> nk.Relu(), 8, 2)


@pytest.mark.parametrize(
    ("last", "gaussian"),
    [
        (nk.Dense(1), True),
        (nk.Dense(1) >> nk.Dropout(0.9), False),
        (nk.Relu(), False),
        (nk.Relu() >> nk.Dense(3), True),
        (nk.Residual(nk.Dense(1) >> nk.Relu() >> nk.Dense(1)), True),
        (nk.Dense(1) >> nk.Erf(), False),
    ],
)
def test_outputs_must_be_gaussian(last, gaussian) -> None:
    network = Network("own", nk.Dense(1) >> last, (4,))
    if gaussian:
        check_gaussian(network, "own.json")
    else:
        with refused(
            "outputs of the network 'own.json' are not Gaussian.*end the network with a Dense layer"
        ):
            check_gaussian(network, "own.json")


def test_a_network_without_a_kernel_is_refused_for_its_own_reason() -> None:
    with pytest.raises(NoClosedFormError) as found:
        check_gaussian(Network("own", nk.Dense(1) >> nk.Relu() >> nk.Relu() >> nk.Dense(1), (4,)), "own.json")
    assert "own.json" not in str(found.value)


def test_numbers_of_options() -> None:
    for name in ("train", "test", "finite", "steps"):
        with refused(f"--{name} must be at least 1"):
            Options("iris", **{name: 0})
    with refused("--steps 20 is for the finite network: pass --finite WIDTH"):
        Options("iris", steps=20)
    with refused("--seed must lie between"):
        Options("iris", seed=-1)
    with refused("--dtype must be float32 or float64"):
        Options("iris", dtype="float16")
    with refused("rows need about .* GiB"):
        check_memory(10**6, 10)


def test_numerical_failures() -> None:
    with pytest.raises(NumericalError, match="NTK of rows 0 and 1 is nan"):
        check_finite({"NTK": np.array([[1.0, np.nan]])})
    x, y = np.random.default_rng(0).normal(size=(6, 2)), np.ones((6, 1))
    with pytest.raises(NumericalError, match="diverged before step"):
        train(nk.Dense(1), x, y, x, learning_rate=1e3, steps=200, seed=0, advance=ignore)


def test_a_failed_study_leaves_nothing_behind(tmp_path, monkeypatch) -> None:
    options = Options("iris", net_options={"depth": "1"}, train=20, test=10)

    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("ntkit.study.folder.np.savez", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_study(options, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_one_message(tmp_path, monkeypatch) -> None:
    options = Options("iris", net_options={"depth": "1"}, train=20, test=10)

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("ntkit.study.folder.np.savez", full)
    with refused("--out .*out cannot be written: no space left on device"):
        write_study(options, tmp_path / "out")
    with refused("--out .*k.npz cannot be written: no space left on device"):
        write_npz(tmp_path / "k.npz", {})
    monkeypatch.setattr("ntkit.study.folder.Path.write_bytes", full)
    monkeypatch.setattr(
        "ntkit.study.kernels.compute", lambda *_, **__: pytest.fail("computed before the place was tried")
    )
    with refused("cannot be written"):
        write_study(options, tmp_path / "out")
    with refused("cannot be written"):
        check_npz_place(tmp_path / "k.npz")
    assert list(tmp_path.iterdir()) == []


def test_a_run_stands_beside_the_report_of_a_finite_network(tmp_path) -> None:
    options = Options("iris", net_options={"depth": "1"}, train=20, test=10, finite=16, steps=5)
    results = write_study(options, tmp_path / "out")
    said = nk.analysis.regime_report(nk.finite.load_run(tmp_path / "out" / "run.npz"))
    assert said.verdict == results["finite"]["regime"]["verdict"]
    write_study(options, tmp_path / "out", overwrite=True)


def test_too_few_rows_have_no_regime() -> None:
    found = run(Options("iris", net_options={"depth": "1"}, train=6, test=10, finite=16, steps=5))
    assert found.results["finite"]["regime"] is None
    assert "Lazy or rich" not in render(found.results)


def test_what_stands_in_the_way(tmp_path) -> None:
    options = Options("iris", net_options={"depth": "1"}, train=20, test=10)
    place = tmp_path / "out"
    place.mkdir()
    write_study(options, place)  # an empty folder may be filled
    with refused("exists and is not empty"):
        write_study(options, place)
    write_study(options, place, overwrite=True)
    (place / "thesis.tex").touch()
    with refused("no study wrote, such as thesis.tex"):
        write_study(options, place, overwrite=True)
    with refused("is a file or a link"):
        write_study(options, place / "thesis.tex")
    with refused("cannot be written: not a directory"):
        write_study(options, place / "thesis.tex" / "below")
    assert sorted(p.name for p in place.iterdir()) == [
        "kernel.npz",
        "report.html",
        "results.json",
        "thesis.tex",
    ]
    assert [p.name for p in tmp_path.iterdir()] == ["out"]

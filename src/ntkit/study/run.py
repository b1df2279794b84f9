"""``run``: a study from its options to its numbers and kernels; ``write_study`` also writes its folder."""

import platform
import time
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import ntkit as nk
from ntkit import datasets
from ntkit.batches import Graphs
from ntkit.finite import TrainingRun
from ntkit.layers.graph import check_degrees
from ntkit.study import baselines, folder, function_space, graph_histograms, infinite, kernels
from ntkit.study.beside import trained_beside
from ntkit.study.examples import Examples, describe, scale, shape
from ntkit.study.generalisation import generalisation
from ntkit.study.kernel_file import float_type
from ntkit.study.network import Network, at_width, check_gaussian, choose_network
from ntkit.study.options import STEPS, Options
from ntkit.study.picture import kernel_picture
from ntkit.study.progress import Progress
from ntkit.study.samples import sample_images
from ntkit.study.scores import describe_score
from ntkit.study.split import split

FORMAT = 1
VERSIONS = ("ntkit", "jax", "numpy", "scipy", "scikit-learn", "plotly")

Results = dict[str, Any]


def write_study(
    options: Options, place: Path, *, overwrite: bool = False, show_progress: bool = False, command: str = ""
) -> Results:
    """Run a study and write ``report.html``, ``results.json``, ``kernel.npz`` and perhaps ``run.npz`` to a folder.

    The folder appears when all is done; a study that fails leaves nothing behind.

    Args:
        options: What to study.
        place: The folder to write.
        overwrite: Whether an earlier study there may be replaced.
        show_progress: Whether to draw bars on the terminal.
        command: The command line, for the report.

    Raises:
        InputError: The data, the network, an option or the folder cannot be used.
        NumericalError: A kernel or a training is not finite, or a kernel is not positive semi-definite.
    """
    from ntkit.study.report import render

    folder.check_place(place, overwrite)
    with Progress(show_progress) as progress:
        found = run(options, progress, command=command)
        with progress.stage("report"):
            folder.write(place, render(found.results), found, overwrite)
    return found.results


class Study(NamedTuple):
    """What a study found.

    Attributes:
        results: The numbers of the report, ready for JSON.
        arrays: Of ``kernel.npz``.
        training: What is known of the finite network before and after training; None without one.
    """

    results: Results
    arrays: dict[str, np.ndarray]
    training: TrainingRun | None


def run(options: Options, progress: Progress | None = None, *, command: str = "") -> Study:
    """Run a study.

    Args:
        options: What to study.
        progress: Draws bars and takes times; None for neither.
        command: The command line, for the report.

    Raises:
        InputError: The data, the network or an option cannot be used.
        NumericalError: A kernel or a training is not finite, or a kernel is not positive semi-definite.

    Example:
        >>> from ntkit.study import Options, run
        >>> results, arrays, _ = run(Options(data="iris"))
        >>> arrays["ntk_train"].shape, results["methods"][0]["test"]["score"] > 0.9
        ((113, 113), True)
    """
    begun = time.perf_counter()
    progress = progress or Progress()
    with progress.stage("data"):
        data, network, examples = _prepare(options)
    n, m = len(examples.train.y), len(examples.test.y)
    kernels.check_memory(n, m)
    with progress.stage("kernels", kernels.work(n, m)) as advance:
        computed = kernels.compute(network.layer, examples.x_train, examples.x_test, advance)
    found: Results = {
        "format": FORMAT,
        "title": f"{data.name}, {network.name}",
        "options": _plain(options),
        "score": describe_score(data.task, data.target_name),
        "data": describe(data, examples, network),
        "network": _describe_network(network, options, computed.ntk_train.dtype.name),
    }
    found |= _infinite(data, examples, computed, progress)
    modes = found.pop("modes")
    found["methods"] += _baselines(examples, data.task, options.seed, progress)
    found["finite"] = training = None
    if options.finite is not None:
        steps = options.steps or STEPS
        with progress.stage("finite network", steps) as advance:
            lines, found["finite"], training = trained_beside(
                network, examples, computed, modes,
                width=options.finite, steps=steps, seed=options.seed, advance=advance,
            )  # fmt: skip
        found["methods"][3:3] = lines
    found["made"] = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": command or f"ntkit study --data {options.data} --net {options.net}",
        "seed": options.seed,
        "versions": {"python": platform.python_version()} | {name: version(name) for name in VERSIONS},
        "seconds": {**progress.seconds, "total": time.perf_counter() - begun},
    }
    return Study(found, _arrays(computed, examples), training)


def _prepare(options: Options) -> tuple[datasets.Dataset, Network, Examples]:
    data = datasets.load(options.data, target=options.target, task=options.task)
    outputs = len(data.class_names) or 1
    large = (
        not isinstance(data.x, datasets.Table)
        and choose_network(options.net, options.net_options, data.x.shape[1:], outputs).reads_positions
    )
    if isinstance(data.x, Graphs):
        check_degrees(
            choose_network(options.net, options.net_options, data.x.shape[1:], outputs).layer,
            data.x,
            data.name,
        )
    rows = split(data, options.train, options.test, options.seed, large=large)
    scaled = scale(data, rows)
    network = choose_network(options.net, options.net_options, scaled.shape, outputs)
    check_gaussian(network, options.net, graphs=isinstance(data.x, Graphs))
    if options.finite is not None:
        at_width(network.layer, options.finite, outputs)  # refused now rather than after the kernels
    images = network.reads_positions and not isinstance(data.x, Graphs)
    dtype = float_type(options.dtype or ("float32" if images else "float64"))
    return data, network, shape(data, rows, scaled, network, dtype)


def _infinite(
    data: datasets.Dataset, examples: Examples, computed: kernels.Kernels, progress: Progress
) -> Results:
    with progress.stage("eigendecompositions", 2) as advance:
        modes = infinite.decompose(computed)
        advance(2)
    with progress.stage("predictions", 5) as advance:
        ntk, outputs, jitter = infinite.at_convergence(computed, modes, examples)
        advance(1)
        ridge, with_ridge, path = infinite.with_ridge(computed, modes, examples)
        lead, outputs = (ntk, outputs) if ntk["determined"] else (ridge, with_ridge)
        advance(1)
        nngp, bayes = infinite.bayesian(computed, modes, examples)
        advance(1)
        curves = infinite.learning_curves(computed, modes, examples, determined=ntk["determined"])
        advance(1)
        outcome = (
            {"confusion": infinite.confusion(examples, outputs)} if data.task == "classification" else {}
        )
        picture = kernel_picture(computed.ntk_train, examples, list(data.class_names))
    with progress.stage("generalisation"):
        general = generalisation(computed, modes, examples, path)
    with progress.stage("training", 3) as advance:
        table = function_space.convergence_table(computed, modes, examples, curves)
        advance(1)
        scatter = function_space.scatter(computed, modes, examples, curves)
        advance(1)
        cross_entropy = function_space.cross_entropy_curves(computed, modes, examples)
        advance(1)
    return {
        "modes": modes,
        "kernels": {
            "ntk": {
                **infinite.definiteness(modes.ntk),
                "jitter": jitter,
                "singular": not ntk["determined"],
            },
            "nngp": infinite.definiteness(modes.nngp),
        },
        "methods": [ntk, ridge, nngp],
        "lead": lead["id"],
        "outcome": {**outcome, **bayes},
        "samples": sample_images(data, examples, outputs),
        "ridge": path,
        "curves": curves,
        "convergence": table,
        "scatter": scatter,
        "cross_entropy": cross_entropy,
        "generalisation": general,
        "spectrum": infinite.spectra(modes, examples),
        "picture": picture,
    }


def _baselines(examples: Examples, task: str, seed: int, progress: Progress) -> list[Results]:
    rows_train, rows_test = examples.as_rows()
    of_graphs = f", of {graph_histograms.NAME}" if isinstance(examples.x_train, Graphs) else ""
    y = examples.train.y if task == "classification" else examples.train.coded[:, 0]
    with progress.stage("scikit-learn", baselines.TRIALS + 1) as advance:
        ridge = baselines.tuned_ridge(rows_train, y, task)
        advance(1)
        svm = baselines.tuned_svm(rows_train, y, task, seed, advance)

    def line(id: str, name: str, what: str, fitted: tuple[Any, dict[str, float]]) -> Results:
        model, chosen = fitted
        judged = []
        for rows, truth in ((rows_train, examples.train), (rows_test, examples.test)):
            said = model.predict(rows)
            judged.append(
                truth.judge(said if task == "classification" else truth.coding.decode(said[:, None]))
            )
        return infinite.method(id, "baseline", name, what, judged[0], judged[1], chosen=chosen)

    return [
        line(
            "ridge",
            "linear ridge",
            f"scikit-learn's linear model{of_graphs}, its penalty chosen by leave-one-out",
            ridge,
        ),
        line(
            "svm",
            "RBF support vectors",
            f"scikit-learn's Gaussian-kernel machine{of_graphs}, tuned by cross-validation",
            svm,
        ),
    ]


def _describe_network(network: Network, options: Options, dtype: str) -> Results:
    spec = nk.to_spec(network.layer)
    return {
        "name": network.name,
        "options": dict(options.net_options),
        "spec": spec,
        "layers": layer_names(spec),
        "dtype": dtype,
    }


def layer_names(spec: Any) -> str:
    """The layers of a spec in one line.

    Example:
        >>> import ntkit as nk
        >>> layer_names(nk.to_spec(nk.Repeat(nk.Dense(8) >> nk.Relu(), 2) >> nk.Dense(1)))
        '2 × (Dense → Relu) → Dense'
    """
    if spec["layer"] == "Serial":
        return " → ".join(layer_names(part) for part in spec["layers"])
    if spec["layer"] == "Repeat":
        body = layer_names(spec["body"])
        return body if spec["times"] == 1 else f"{spec['times']} × ({body})"
    inside = [spec[k] for k in ("body",) if k in spec] or spec.get("branches", [])
    return spec["layer"] + (f"({', '.join(layer_names(part) for part in inside)})" if inside else "")


def _plain(options: Options) -> Results:
    return {k: dict(v) if k == "net_options" else v for k, v in vars(options).items()}


def _arrays(computed: kernels.Kernels, examples: Examples) -> dict[str, np.ndarray]:
    return {
        "nngp_train": computed.nngp_train,
        "ntk_train": computed.ntk_train,
        "nngp_test": computed.nngp_test,
        "ntk_test": computed.ntk_test,
        "nngp_test_diagonal": computed.nngp_test_diagonal,
        "index_train": examples.split.train,
        "index_test": examples.split.test,
        "y_train": examples.train.y,
        "y_test": examples.test.y,
    }

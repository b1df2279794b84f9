"""The command ``ntkit``: `study`, `kernel`, `regime` and `nets`.

Exit codes: 0 done, 1 a numerical failure, 2 bad input, 130 interrupted.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

NUMERICAL, BAD_INPUT, INTERRUPTED = 1, 2, 130

app = typer.Typer(
    name="ntkit",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

STUDY_EXAMPLES = """[bold]Examples[/bold]

ntkit study --data digits --net mlp --out digits

ntkit study --data digits --net mlp --depth 3 --act erf --w-std 1.5 --out digits-erf

ntkit study --data iris --net mlp --finite 512 --out iris

ntkit study --data houses.csv --target price --net mlp --out houses

ntkit study --data images.npz --net cnn --train 500 --test 200 --out images

ntkit study --data wine --net my-network.json --out wine

ntkit study --data molecules.npz --net gntk --depth 2 --out molecules

Options that are not listed above are parameters of the network, see [bold]ntkit nets[/bold].
"""

KERNEL_EXAMPLES = """[bold]Examples[/bold]

ntkit kernel data.npz network.json --out kernel.npz

ntkit kernel table.csv network.json --target price --standardise --out kernel.npz
"""

Data = Annotated[
    str,
    typer.Option(
        help="digits, breast-cancer, diabetes, iris or wine; or a .csv, .tsv, .parquet or .npz file (x, y; or x_train, "
        "y_train, x_test, y_test; images have shape rows, height, width, channels; graphs: node_offsets, edge_offsets, edges, "
        "node_tags or values, labels)."
    ),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors.")]
Overwrite = Annotated[
    bool, typer.Option("--overwrite", "--force", help="Replace what an earlier run wrote to --out.")
]


@contextmanager
def exit_codes() -> Iterator[None]:
    """Turn the errors of ntkit into one message on standard error and an exit code."""
    try:
        from ntkit.errors import InputError, NoClosedFormError, NumericalError

        try:
            yield
        except (InputError, NoClosedFormError) as error:
            _fail(error, BAD_INPUT)
        except NumericalError as error:
            _fail(error, NUMERICAL)
    except KeyboardInterrupt:
        _fail("interrupted; nothing was written", INTERRUPTED)


def _fail(message: object, code: int) -> None:
    typer.echo(f"ntkit: {' '.join(str(message).split())}", err=True)
    raise typer.Exit(code)


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"ntkit {version('ntkit')}")
        raise typer.Exit


@app.callback()
def ntkit(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """What infinitely wide neural networks do: exact kernels, predictions, training, on your data."""


@app.command(
    epilog=STUDY_EXAMPLES,
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
)
def study(
    ctx: typer.Context,
    data: Data,
    net: Annotated[
        str, typer.Option(help="A network of the zoo (see ntkit nets), or a spec file ending in .json.")
    ] = "mlp",
    out: Annotated[Path | None, typer.Option(help="Folder to write; default: study-DATA-NET.")] = None,
    target: Annotated[
        str | None, typer.Option(help="The column to predict, for CSV and Parquet files.")
    ] = None,
    task: Annotated[
        str | None, typer.Option(help="classification or regression; default: found out from the target.")
    ] = None,
    train: Annotated[int | None, typer.Option(help="How many rows to train on.")] = None,
    test: Annotated[int | None, typer.Option(help="How many rows to test on.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of the split and of the finite network.")] = 0,
    finite: Annotated[int | None, typer.Option(help="Also train a real network of this width.")] = None,
    steps: Annotated[
        int | None, typer.Option(help="Gradient steps of the real network; default: 500.")
    ] = None,
    dtype: Annotated[
        str | None,
        typer.Option(help="float32 or float64; default: float64 for vectors and graphs, float32 for images."),
    ] = None,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Study a data set: kernels, predictions, training and a page to look at.

    Writes to the folder --out: report.html, to open in a browser; results.json, every number of the page;
    kernel.npz, the kernels; and with --finite run.npz, the real network before and after training, for ntkit regime.

    Exit codes: 0 done, 1 numerical failure, 2 bad input, 130 interrupted.
    """
    with exit_codes():
        from ntkit.study import Options, summary, write_study

        options = Options(
            data, net, network_options(ctx.args), target, task, train, test, seed, finite, steps, dtype
        )
        folder = out or Path(f"study-{Path(data).stem}-{Path(net).stem}")
        results = write_study(
            options, folder, overwrite=overwrite, show_progress=not quiet, command=_command()
        )
        if not quiet:
            summary(results, folder)


def network_options(arguments: list[str]) -> dict[str, str]:
    """The options of the network: the arguments that the study does not know.

    Args:
        arguments: Such as ``["--depth", "3", "--act=erf"]``.

    Raises:
        InputError: An argument is no option, or an option has no value.

    Example:
        >>> network_options(["--depth", "3", "--w-std=1.5"])
        {'depth': '3', 'w_std': '1.5'}
    """
    from ntkit.errors import InputError

    found: dict[str, str] = {}
    rest = list(arguments)
    while rest:
        name, equals, value = rest.pop(0).partition("=")
        if not name.startswith("--") or name == "--":
            raise InputError(f"unexpected argument {name!r}: options start with --, see ntkit study --help")
        if not equals:
            if not rest or rest[0].startswith("--"):
                raise InputError(
                    f"{name} needs a value; see ntkit study --help, and ntkit nets for those of a network"
                )
            value = rest.pop(0)
        found[name[2:].replace("-", "_")] = value
    return found


@app.command(epilog=KERNEL_EXAMPLES)
def kernel(
    data: Annotated[Path, typer.Argument(help="A .npz (x; or x1 and x2), .csv, .tsv or .parquet file.")],
    spec: Annotated[
        str, typer.Argument(help="The network: a spec file ending in .json, or a name of the zoo.")
    ],
    out: Annotated[Path, typer.Option(help="The .npz file to write: nngp, ntk and spec.")],
    target: Annotated[
        str | None, typer.Option(help="A column to leave out of a CSV or Parquet file.")
    ] = None,
    standardise: Annotated[
        bool, typer.Option(help="Give every column mean 0 and standard deviation 1 first.")
    ] = False,
    dtype: Annotated[str | None, typer.Option(help="float32 or float64; default: that of the data.")] = None,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Compute the NNGP kernel and the NTK of a data file.

    The rows are taken as they are, without preprocessing, unless --standardise is given.
    """
    with exit_codes():
        from ntkit.study.kernel_file import write_kernel

        said = write_kernel(
            data,
            spec,
            out,
            target=target,
            standardise=standardise,
            dtype=dtype,
            overwrite=overwrite,
            show_progress=not quiet,
        )
        if not quiet:
            typer.echo(said)


@app.command()
def regime(
    run: Annotated[Path, typer.Argument(help="A .npz file that TrainingRun.save wrote.")],
    seed: Annotated[int, typer.Option(help="Seed of the resamples behind the confidence.")] = 0,
) -> None:
    """Say whether a trained network is lazy or rich, from a saved training run.

    A run is made by ntkit.finite.observe (JAX) or ntkit.finite.torch.observe (PyTorch).
    """
    with exit_codes():
        from ntkit.analysis import regime_report
        from ntkit.finite import load_run

        typer.echo(str(regime_report(load_run(run), seed=seed)))


@app.command()
def nets(
    name: Annotated[
        str | None, typer.Argument(help="Print the spec of this network instead, to start a file from.")
    ] = None,
) -> None:
    """List the networks of the zoo with their parameters."""
    with exit_codes():
        from ntkit.study.zoo_table import print_spec, print_table

        if name is None:
            print_table()
        else:
            print_spec(name)


def _command() -> str:
    import shlex

    return shlex.join(["ntkit", *sys.argv[1:]])


def main(**arguments: Any) -> None:
    """The entry point of the command ``ntkit``."""
    try:
        app(**arguments)
    except SystemExit as done:
        if done.code == INTERRUPTED:
            # XLA may still be computing on threads of its own: an interpreter taken down around them can crash.
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(INTERRUPTED)
        raise


if __name__ == "__main__":
    main()

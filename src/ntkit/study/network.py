"""The network of a study: from the zoo by name, or from a spec file, and how it looks at the examples."""

import inspect
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np

import ntkit as nk
from ntkit.batches import Padded
from ntkit.errors import InputError, NoClosedFormError
from ntkit.layer import Layer, Shape
from ntkit.spec import nearest
from ntkit.study.options import FLAGS
from ntkit.zoo import ZOO

ALIASES = {("gntk", "depth"): "blocks"}


@dataclass(frozen=True)
class Network:
    """A network and the shape in which it reads one example.

    Args:
        name: What the report calls it.
        layer: The network.
        input_shape: The shape of one example: as the data have it, with a channel axis added, or flattened; None for the
            number of a graph's nodes.
    """

    name: str
    layer: Layer
    input_shape: tuple[int | None, ...]

    @property
    def reads_positions(self) -> bool:
        """Whether one example has positions to the network, such as pixels, rather than being a plain vector."""
        return len(self.input_shape) > 1


def choose_network(
    net: str, options: Mapping[str, str], example_shape: tuple[int | None, ...], outputs: int
) -> Network:
    """Build the network and find out how it reads examples.

    Args:
        net: A name of the zoo, or a spec file (JSON).
        options: Parameters of the zoo's function, as text.
        example_shape: The shape of one example of the data; (None, C) for graphs.
        outputs: How many outputs the task needs.

    Raises:
        InputError: Unknown name, option or spec, an option's value is not usable, or the network does not take
            examples of this shape.
    """
    if net in ZOO:
        name, layer = net, build(net, {**options, "outputs": str(outputs)})
    else:
        name, layer = Path(net).stem, read_spec(net)
        for option in options:
            raise InputError(
                f"{_flag(option)} is no option of a study{nearest(_flag(option), FLAGS)} "
                f"The network of a spec file takes none: change {net} instead"
            )
    return Network(name, layer, fitting_shape(layer, example_shape, net))


def check_gaussian(network: Network, name: str, *, graphs: bool = False) -> None:
    """Refuse a network whose outputs are not Gaussian at initialisation: predictions of a study suppose that they are.

    An activation takes Gaussian inputs only, so one more activation after the network tells.

    Args:
        network: The network.
        name: What messages call it.
        graphs: Whether it reads graphs.

    Raises:
        InputError: They are not.
        NoClosedFormError: Second moments do not determine the network's kernel at all.
    """
    x = _two_graphs(network) if graphs else jax.ShapeDtypeStruct((2, *network.input_shape), np.float32)
    try:
        jax.eval_shape(lambda x: nk.kernel(network.layer >> nk.Relu(), x), x)
    except NoClosedFormError as error:
        jax.eval_shape(lambda x: nk.kernel(network.layer, x), x)  # where this fails too, that is the message
        raise InputError(
            f"the outputs of the network {name!r} are not Gaussian, and the predictions and the posterior of a "
            "study suppose that they are. Remedy: end the network with a Dense layer"
        ) from error


def _two_graphs(network: Network) -> Padded:
    shapes = (2, 2, network.input_shape[-1]), (2, 2), (2, 2, 2)
    return Padded(*(jax.ShapeDtypeStruct(shape, np.float32) for shape in shapes))  # type: ignore[arg-type]


def build(name: str, options: Mapping[str, str]) -> Layer:
    """A network of the zoo, with parameters given as text.

    Raises:
        InputError: There is no such parameter, or its value cannot be read or used.

    Example:
        >>> net = build("mlp", {"depth": "2", "w_std": "1.5"})
    """
    function = ZOO[name]
    parameters = inspect.signature(function).parameters
    values = {}
    for text_option, text in options.items():
        option = ALIASES.get((name, text_option), text_option)
        if option not in parameters:
            known = [_flag(p) for p in parameters if p != "outputs"]
            raise InputError(
                f"{_flag(option)} is an option neither of the study nor of the network {name!r}"
                f"{nearest(_flag(option), [*known, *FLAGS])} The network takes {', '.join(known)}"
            )
        values[option] = _value(option, text, parameters[option].default)
    return _refusing(lambda: function(**values))


def read_spec(path: str) -> Layer:
    """The network of a spec file.

    Raises:
        InputError: There is no such file, or it does not describe a network.
    """
    if not path.lower().endswith(".json"):
        raise InputError(
            f"unknown network {path!r}{nearest(path, ZOO)} (ntkit nets lists them; spec files end in .json)"
        )
    try:
        spec = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(
            f"cannot read the spec {path}: {(error.strerror or 'unreadable').lower()}"
        ) from error
    except ValueError as error:
        raise InputError(f"the spec {path} is not JSON: {error}") from error
    if not isinstance(spec, dict):
        raise InputError(f'the spec {path} must hold an object such as {{"layer": "Dense", "width": 1}}')
    return _refusing(lambda: nk.from_spec(spec), f"the spec {path}: ")


def fitting_shape(layer: Layer, shape: tuple[int | None, ...], name: str) -> tuple[int | None, ...]:
    """The first of these shapes of an example for which the network's output is a vector.

    As it is; with a channel axis (grey images without one); flattened. Graphs, (None, C), as they are alone.

    Raises:
        InputError: No such shape; the message gives the reason for the first.
    """
    candidates: list[tuple[int | None, ...]] = [shape]
    sizes = [extent for extent in shape if extent is not None]
    if len(sizes) == len(shape):
        candidates += ([(*shape, 1)] if len(shape) > 1 else []) + [(math.prod(sizes),)]
    reason = ""
    for candidate in dict.fromkeys(candidates):
        try:
            output = output_shape(layer, candidate)
        except (InputError, NoClosedFormError) as error:
            reason = reason or str(error)
            continue
        if len(output) == 1:
            return candidate
        reason = reason or (
            "it gives an output for each node, and a study predicts one target a graph: end it with GlobalSumPool or "
            "GlobalAvgPool and then Dense"
            if None in output
            else f"it gives outputs of shape {output} and must give one vector an example: "
            "end it with Flatten or GlobalAvgPool and then Dense"
        )
    what, hint = f"examples of shape {shape}", ""
    if len(shape) == 1:
        what, hint = f"rows of {shape[0]} columns", " (a network for tables is --net mlp)"
    elif None in shape:
        what, hint = f"graphs whose nodes have {shape[-1]} features", " (a network for graphs is --net gntk)"
    raise InputError(f"the network {name!r} does not take {what}{hint}: {reason}")


def output_shape(layer: Layer, shape: Shape) -> Shape:
    """The shape of one output for one example, without drawing weights."""
    found: list[Any] = []

    def trace(key: jax.Array) -> Any:
        params, output = layer.init(key, shape)
        found.append(output)
        return params

    jax.eval_shape(trace, jax.random.key(0))
    return found[0]


def at_width(layer: Layer, width: int, outputs: int) -> Layer:
    """The same network with every hidden width set to ``width`` and the last layer's to ``outputs``.

    Raises:
        InputError: The network does not end with a layer that has a width.

    Example:
        >>> import ntkit as nk
        >>> net = at_width(nk.Dense(8) >> nk.Relu() >> nk.Dense(1), 64, 3)
        >>> net.layers[0].width, net.layers[2].width
        (64, 3)
    """
    spec = _with_widths(nk.to_spec(layer), width)
    for last in _last_layers(spec):
        if "width" not in last:
            raise InputError(
                f"a finite network needs a last layer with a width, such as Dense; this one ends with {last['layer']}"
            )
        last["width"] = outputs
    return nk.from_spec(spec)


def _last_layers(spec: Any) -> list[Any]:
    """The specs of the layers that make the outputs: one, or that of each branch of a sum."""
    if spec.get("layers"):
        return _last_layers(spec["layers"][-1])
    if spec["layer"] == "Sum":
        return [last for branch in spec["branches"] for last in _last_layers(branch)]
    return [spec]


def _with_widths(spec: Any, width: int) -> Any:
    if isinstance(spec, dict):
        return {k: width if k == "width" else _with_widths(v, width) for k, v in spec.items()}
    return [_with_widths(part, width) for part in spec] if isinstance(spec, list) else spec


def _value(option: str, text: str, default: Any) -> Any:
    """An option's text as the type of its default value; any number where that is a number."""
    if isinstance(default, str):
        return text
    if isinstance(default, bool):
        if text.lower() not in ("true", "false"):
            raise InputError(f"{_flag(option)} must be true or false, found {text!r}")
        return text.lower() == "true"
    try:
        number = float(text)
    except ValueError:
        if isinstance(default, (int, float)):
            raise InputError(f"{_flag(option)} must be a number, found {text!r}") from None
        return text
    whole = number.is_integer() and not isinstance(default, float)
    if isinstance(default, int) and not whole:
        raise InputError(f"{_flag(option)} must be a whole number, found {text!r}")
    return int(number) if whole else number


def _refusing(make: Callable[[], Layer], source: str = "") -> Layer:
    """What ``make`` builds; its complaints about values and types as `InputError`, with their source in front."""
    try:
        return make()
    except (InputError, NoClosedFormError) as error:
        raise type(error)(f"{source}{error}") from error
    except (ValueError, TypeError, KeyError) as error:
        raise InputError(f"{source}the network cannot be built: {error}") from error


def _flag(option: str) -> str:
    return "--" + option.replace("_", "-")

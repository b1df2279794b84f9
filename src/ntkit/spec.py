"""An architecture as JSON and back: `to_spec`, `from_spec`."""

import dataclasses
import difflib
import inspect
import json
from pathlib import Path
from typing import Any

import numpy as np

from ntkit.errors import InputError
from ntkit.layer import Layer, concrete

Spec = dict[str, Any]


def to_spec(net: Layer) -> Spec:
    """A network as nested dictionaries of plain numbers, strings and lists, ready for `json.dump`.

    Args:
        net: The network.

    Raises:
        InputError: A field has no JSON form: a function (`Elementwise`), or a tracer.

    Example:
        >>> import ntkit as nk
        >>> nk.to_spec(nk.LeakyRelu(0.1))
        {'layer': 'LeakyRelu', 'slope': 0.1}
    """
    if not isinstance(net, Layer):
        raise InputError(f"to_spec: expected a network, found {type(net).__name__}")
    name = type(net).__name__
    fields = {f.name: _plain(getattr(net, f.name), name, f.name) for f in dataclasses.fields(net)}
    return {"layer": name, **fields}


def from_spec(obj: Spec | str | Path) -> Layer:
    """The network of a specification.

    Args:
        obj: A dictionary {"layer": name, …fields}, JSON text of one, or the path of a JSON file.

    Raises:
        InputError: The file or text is unreadable, or a layer or field is unknown, missing or out of range.

    Example:
        >>> import ntkit as nk
        >>> nk.from_spec({"layer": "Dense", "width": 3, "w_std": 1.5}).w_std
        1.5
    """
    return _build(_read(obj), "")


def layer_classes() -> dict[str, type[Layer]]:
    """Every concrete layer by name: adding one needs no entry anywhere."""
    found: dict[str, type[Layer]] = {}
    pending = [Layer]
    while pending:
        for cls in pending.pop().__subclasses__():
            pending.append(cls)
            if not inspect.isabstract(cls) and not cls.__name__.startswith("_"):
                found[cls.__name__] = cls
    return found


def _plain(value: Any, layer: str, field: str) -> Any:
    if isinstance(value, Layer):
        return to_spec(value)
    if isinstance(value, (tuple, list)):
        return [_plain(v, layer, field) for v in value]
    if value is None or isinstance(value, (bool, str, int, float)):
        return value
    if concrete(value):
        return np.asarray(value).tolist()
    if callable(value):
        raise InputError(
            f"to_spec: {layer} holds a Python function ({field}), which JSON cannot name. Remedy: write a class derived "
            "from ntkit.activations.Activation, or keep the network in Python"
        )
    raise InputError(f"to_spec: {layer}.{field} has no value outside of a JAX trace")


def _read(obj: Spec | str | Path) -> Any:
    if isinstance(obj, dict):
        return obj
    if isinstance(obj, str) and obj.lstrip().startswith("{"):
        text, source = obj, "the specification"
    else:
        source = str(obj)
        try:
            text = Path(obj).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError, TypeError) as error:
            raise InputError(f"cannot read the specification {source!r}: {error}") from None
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise InputError(f"{source} is not JSON: {error}") from None


def _build(node: Any, path: str) -> Layer:
    place = f" (at {path})" if path else ""
    if not isinstance(node, dict) or not isinstance(node.get("layer"), str):
        raise InputError(f'a layer is written {{"layer": NAME, …}}; found {str(node)[:80]}{place}')
    classes = layer_classes()
    name = node["layer"]
    if name not in classes:
        raise InputError(f"unknown layer {name!r}{nearest(name, classes)}{place}")
    known = {f.name: f for f in dataclasses.fields(classes[name])}
    given = {k: v for k, v in node.items() if k != "layer"}
    for field in given:
        if field not in known:
            raise InputError(f"{name} has no field {field!r}{nearest(field, known)}{place}")
    missing = [n for n, f in known.items() if n not in given and f.default is dataclasses.MISSING]
    if missing:
        raise InputError(f"{name} needs {', '.join(missing)}{place}")
    path = f"{path}/{name}"
    return classes[name](**{k: _field(v, f"{path}.{k}") for k, v in given.items()})


def _field(value: Any, path: str) -> Any:
    if isinstance(value, dict):
        return _build(value, path)
    if isinstance(value, list):
        return tuple(_field(v, f"{path}[{i}]") for i, v in enumerate(value))
    return value


def nearest(name: str, known: Any) -> str:
    """A hint for a message: the known name that is most like the one given, or all of them."""
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f"; did you mean {close[0]!r}?" if close else f"; known are {', '.join(sorted(known))}"

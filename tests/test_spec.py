"""Networks to JSON and back, to the last bit; and what is said of a specification that is not one."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ntkit as nk
from conformance_table import TABLE
from ntkit.errors import InputError
from oracle_cases import CASES

LATER = ("attention", "graph")  # families whose layers are not there yet


@pytest.mark.parametrize(
    "row", [r for r in TABLE if "spec_round_trips" not in r.without], ids=lambda r: type(r.layer).__name__
)
def test_every_layer_comes_back_from_json(row):
    text = json.dumps(nk.to_spec(row.layer))
    again = nk.from_spec(text)
    assert type(again) is type(row.layer)
    assert jax.tree.structure(again) == jax.tree.structure(row.layer)
    assert jax.tree.leaves(again) == jax.tree.leaves(row.layer)
    assert json.dumps(nk.to_spec(again)) == text


@pytest.mark.parametrize("case", [c for c in CASES if c["family"] not in LATER], ids=lambda c: c["name"])
def test_specifications_of_the_oracle_keep_their_fields(case):
    def same(given, found):
        if isinstance(given, dict):
            return all(same(value, found[key]) for key, value in given.items())
        if isinstance(given, list):
            return len(given) == len(found) and all(map(same, given, found))
        return given == found

    assert same(case["spec"], nk.to_spec(nk.from_spec(case["spec"])))


def test_a_file_and_its_text_are_the_same_network(tmp_path):
    net = nk.Dense(8, w_std=2**0.5) >> nk.Relu() >> nk.Dense(1)
    path = tmp_path / "net.json"
    path.write_text(json.dumps(nk.to_spec(net)))
    assert nk.from_spec(path) == nk.from_spec(str(path)) == nk.from_spec(path.read_text()) == net


def test_arrays_are_written_as_the_numbers_they_hold():
    for value in (np.float32(0.1), np.asarray(0.1), jnp.asarray(0.1)):
        assert nk.to_spec(nk.Dense(1, w_std=value))["w_std"] == float(value)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"layer": "Dens", "width": 3}, "unknown layer 'Dens'; did you mean 'Dense'"),
        ({"layer": "Qqqqqq"}, "known are .*Dense"),
        ({"layer": "Dense", "width": 3, "wstd": 1.0}, "no field 'wstd'; did you mean 'w_std'"),
        ({"layer": "Dense"}, "Dense needs width"),
        ({"layer": "Dense", "width": 3, "w_std": -1.0}, "w_std must lie in"),
        ({"layer": "Dense", "width": 3, "w_std": "1"}, "w_std must be a number"),
        ({"layer": "Dense", "width": "3"}, "width must be a whole number"),
        ({"layer": "Serial", "layers": [{"layer": "Relu"}, {"layer": "Rely"}]}, r"at .*layers\[1\]"),
        ({"layer": "Serial", "layers": [3]}, "layers"),
        ({"width": 3}, 'written {"layer": NAME'),
        ("{nonsense", "is not JSON"),
        ("/no/such/file.json", "cannot read the specification"),
    ],
)
def test_a_wrong_specification_is_refused_with_the_remedy(spec, message):
    with pytest.raises(InputError, match=message):
        nk.from_spec(spec)


def test_what_has_no_json_form_is_refused():
    with pytest.raises(InputError, match="Python function"):
        nk.to_spec(nk.Elementwise(jnp.tanh))
    with pytest.raises(InputError, match="expected a network"):
        nk.to_spec(3)
    with pytest.raises(InputError, match="no value outside of a JAX trace"):
        jax.jit(lambda w: nk.to_spec(nk.Dense(1, w_std=w)) and w)(1.0)

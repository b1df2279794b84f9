"""Every public layer keeps every law; and a layer that breaks one fails it."""

import inspect

import pytest

import ntkit as nk
from conformance_table import SAMPLED, TABLE, VARIANTS, Row
from ntkit.testing import check_layer, law_names

FINITE = "finite_networks_agree"


def name_of(row: Row) -> str:
    return f"{type(row.layer).__name__}-{'x'.join(map(str, row.shape))}"


def test_every_public_layer_is_in_the_table():
    public = {getattr(nk, name) for name in (*nk.layers.__all__, *nk.activations.__all__, "Serial")}
    layers = {
        c for c in public if inspect.isclass(c) and issubclass(c, nk.Layer) and not inspect.isabstract(c)
    }
    missing = layers - {type(row.layer) for row in (*TABLE, *SAMPLED)}
    assert not missing, f"add a row to tests/conformance_table.py for {sorted(c.__name__ for c in missing)}"


@pytest.mark.parametrize(
    "row",
    [pytest.param(row, id=name_of(row), marks=[pytest.mark.slow] if row.slow else []) for row in TABLE],
)
@pytest.mark.every(4)
def test_laws(row: Row):
    check_layer(row.layer, row.shape, without=(*row.without, FINITE))


OF_FINITE_NETWORKS = ("rates_are_shaped_like_parameters", "spec_round_trips")


@pytest.mark.parametrize("row", SAMPLED, ids=name_of)
def test_laws_of_layers_without_closed_form(row: Row):
    check_layer(row.layer, row.shape, without=[law for law in law_names() if law not in OF_FINITE_NETWORKS])


def only_finite(layer: nk.Layer, shape: tuple[int, ...], width: int) -> None:
    check_layer(layer, shape, without=[law for law in law_names() if law != FINITE], width=width, error=0.02)


@pytest.mark.parametrize(
    "layer", [nk.Dense(4, w_std=1.3, b_std=0.4, w_lr=0.7), nk.Relu(), nk.Dropout(0.3)], ids=repr
)
def test_finite_networks(layer: nk.Layer):
    only_finite(layer, (4,), 256)


class SteepRelu(nk.Relu):
    """A ReLU whose second dual is a tenth too large."""

    def dual_slope(self, pair):
        return 1.1 * nk.Relu().dual_slope(pair)


def test_a_wrong_layer_fails_the_suite():
    with pytest.raises(AssertionError, match=FINITE):
        only_finite(SteepRelu(), (4,), 256)


@pytest.mark.slow
@pytest.mark.parametrize("row", VARIANTS, ids=name_of)
def test_laws_of_variants(row: Row):
    check_layer(row.layer, row.shape, without=row.without, width=128, error=0.03)


@pytest.mark.slow
@pytest.mark.parametrize("row", TABLE, ids=name_of)
def test_finite_networks_of_full_size(row: Row):
    exact = [law for law in law_names() if law != FINITE]
    width = 512 if len(row.shape) == 1 else 128
    check_layer(row.layer, row.shape, without=exact, width=width, error=0.01, seed=1)

"""Every public layer keeps every law; and a layer that breaks one fails it."""

import inspect

import pytest

import ntkit as nk
from conformance_table import TABLE, VARIANTS, Row
from ntkit.testing import check_layer, law_names

FINITE = "finite_networks_agree"


def name_of(row: Row) -> str:
    return f"{type(row.layer).__name__}-{'x'.join(map(str, row.shape))}"


def test_every_public_layer_is_in_the_table():
    public = {getattr(nk, name) for name in (*nk.layers.__all__, *nk.activations.__all__, "Serial")}
    layers = {
        c for c in public if inspect.isclass(c) and issubclass(c, nk.Layer) and not inspect.isabstract(c)
    }
    missing = layers - {type(row.layer) for row in TABLE}
    assert not missing, f"add a row to tests/conformance_table.py for {sorted(c.__name__ for c in missing)}"


@pytest.mark.parametrize("row", TABLE, ids=name_of)
def test_laws(row: Row):
    width, error = (256, 0.02) if len(row.shape) == 1 else (64, 0.04)
    check_layer(row.layer, row.shape, without=row.without, width=width, error=error)


@pytest.mark.slow
@pytest.mark.parametrize("row", VARIANTS, ids=name_of)
def test_laws_of_variants(row: Row):
    check_layer(row.layer, row.shape, without=row.without, width=128, error=0.03)


@pytest.mark.slow
@pytest.mark.parametrize("row", TABLE, ids=name_of)
def test_finite_networks_of_full_size(row: Row):
    exact = [law for law in law_names() if law != FINITE]
    width = 512 if len(row.shape) == 1 else 128
    check_layer(row.layer, row.shape, without=exact, width=width, error=0.02, seed=1)

"""Smiles that fade leave a mouth at rest."""

from __future__ import annotations

import numpy as np
import pytest

from thcli.core.types import Array
from thcli.motion import smiles
from thcli.motion.canonical import neutral
from thcli.motion.model3d import EXPRESSION_NAMES
from thcli.motion.reference.excess import expression_coefficients
from thcli.motion.sliders import load_slider_shapes

SMILE = EXPRESSION_NAMES.index("smile")


def smiling(level: float) -> Array:
    return np.asarray(neutral() + level * load_slider_shapes().smile)


def level_of(shape: Array) -> float:
    return float(expression_coefficients(shape)[SMILE])


@pytest.mark.parametrize(
    ("source", "reference", "driver", "left"),
    [
        (0.2, 0.8, 0.2, 0.2 - smiles.CHANCE),  # not -.4, a sad mouth
        (0.5, 0.8, 0.1, 0.1 - smiles.CHANCE),
        (0.2, 0.8, 1.4, 0.8),  # a smile that grows is the driver's
        (0.2, 0.3, -0.6, -0.7),  # a driver that is sad
        (0.8, 0.2, 0.0, 0.6),  # a source that smiles more
        (-0.4, 0.1, 0.0, -0.5),  # a source whose mouth hangs
    ],
)
def test_a_source_smiles_no_less_than_itself_or_the_driver(
    source: float, reference: float, driver: float, left: float
) -> None:
    change = (smiling(driver) - smiling(reference))[None]
    kept = smiles.keep(change, smiling(source), smiling(driver)[None])
    assert level_of(smiling(source) + kept[0]) == pytest.approx(left, abs=0.06)


def test_a_change_that_takes_no_smile_stays_as_it_is() -> None:
    change = np.repeat(0.3 * load_slider_shapes().jaw[None], 2, 0)
    kept = smiles.keep(change, smiling(0.4), smiling(0.4) + change)
    np.testing.assert_array_equal(kept, change)

"""Smiles that fade leave a mouth at rest."""

from __future__ import annotations

import numpy as np
import pytest

from thcli.core.types import Array
from thcli.faces.landmarks import topology
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


@pytest.mark.parametrize(
    ("driver", "taken", "left"),
    [
        (0.74, 0.1, 0.65),  # a laugh that opens its mouth wide
        (0.68, 0.1, 0.62),  # one that fades
        (0.62, 0.1, 0.56),  # a driver at rest
        (0.74, 0.005, 0.655),
    ],
)
def test_a_mouth_stays_wide_while_its_driver_laughs(
    driver: float, taken: float, left: float
) -> None:
    change = narrowed(1.0) * (taken / width_of(neutral()))
    kept = smiles.keep(change, with_width(0.66), with_width(driver)[None])
    assert width_of(with_width(0.66) + kept[0]) == pytest.approx(left, abs=0.012)


def with_width(width: float) -> Array:
    """Return the neutral face with a mouth so wide."""
    return np.asarray(neutral() - narrowed(width / width_of(neutral()) - 1)[0])


def narrowed(mouth: float) -> Array:
    """Return the change (1, 468, 3) of a driver at rest whose mouth becomes so much narrower."""
    change = np.zeros((1, topology.POINTS, 3))
    change[..., 0] = -mouth * neutral()[:, 0] * (np.abs(neutral()[:, 1] - 0.65) < 0.1)
    return change


def width_of(shape: Array) -> float:
    left, right = (shape[corner, 0] for corner in topology.MOUTH_CORNERS)
    return float(right - left)


@pytest.mark.parametrize("mouth", [0.1, 0.2, 0.35])
def test_a_smile_relaxes_as_the_mouth_narrows_which_stays_as_narrow(mouth: float) -> None:
    source, change = smiling(1.0), narrowed(mouth)
    relaxed = source + smiles.relax(change, source)[0]
    asked = source + change[0]
    assert width_of(relaxed) == pytest.approx(width_of(asked))
    assert level_of(relaxed) < level_of(asked) - 0.2 * mouth
    below_cheeks = [205, 425]
    assert (relaxed[below_cheeks, 1] > asked[below_cheeks, 1] + 0.005 * mouth).all()
    np.testing.assert_allclose(relaxed[[33, 263]], asked[[33, 263]], atol=0.02)


def test_a_smile_relaxes_no_further_than_to_rest_and_not_at_once() -> None:
    source = smiling(1.0)
    levels = [
        level_of(source + smiles.relax(narrowed(m), source)[0]) for m in np.arange(0, 1, 0.02)
    ]
    steps = np.diff(levels)
    assert steps.max() < 0.01 and steps.min() > -0.25
    plain = [level_of(source + narrowed(m)[0]) for m in np.arange(0, 1, 0.02)]
    assert np.abs(np.diff(np.subtract(levels, plain))[-10:]).max() < 0.03


@pytest.mark.parametrize(
    ("level", "change"),
    [(1.0, narrowed(-0.2)), (1.0, narrowed(0.02)), (0.45, narrowed(0.3)), (-0.5, narrowed(0.3))],
)
def test_wide_mouths_and_faces_at_rest_have_no_smile_to_relax(level: float, change: Array) -> None:
    np.testing.assert_allclose(smiles.relax(change, smiling(level)), change)

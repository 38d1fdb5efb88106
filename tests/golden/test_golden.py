"""Golden files: every stage in float32 is within 1e-4 of the reference.

The error is relative to max(1, max |reference|).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.golden.cases import CASES, UINT8_CASES, Numbers, compute, load, max_errors

TOGETHER = ("LIVEPORTRAIT", "LIVEPORTRAIT_CV")  # of the same images
Computed = Callable[..., Numbers]


@pytest.fixture(scope="module")
def computed(tmp_path_factory: pytest.TempPathFactory) -> Computed:
    """Return a function that computes a golden file, each once."""
    folders: dict[tuple[str, ...], Path] = {}

    def computed(name: str, *more: str) -> Numbers:
        names = TOGETHER if name in TOGETHER else (name,)
        if (*names, *more) not in folders:
            folders[*names, *more] = tmp_path_factory.mktemp("golden")
            compute(folders[*names, *more], *names, *more)
        return load(folders[*names, *more] / f"{name}.npz")

    return computed


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(set(CASES) - UINT8_CASES))
def test_networks_give_the_references_numbers(name: str, shared: Path, computed: Computed) -> None:
    """The stages are those of the file, no more and no fewer."""
    reference = load(shared / "golden" / f"{name}.npz")
    ours = computed(name)
    assert set(ours) == set(reference)
    failures = {
        key: figure for key, figure in max_errors(ours, reference).items() if not figure <= 1e-4
    }
    assert not failures


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(UINT8_CASES))
def test_uint8_images_are_the_references_to_a_level(
    name: str, shared: Path, computed: Computed
) -> None:
    """No pixel differs by more than 1 level of 255; the mean difference is at most 0.05."""
    reference = load(shared / "golden" / f"{name}.npz")
    ours = computed(name)
    assert set(ours) == set(reference)
    differences = {
        key: np.abs(ours[key] - wanted.astype(np.float64)) for key, wanted in reference.items()
    }
    assert {key: a.max() for key, a in differences.items() if a.max() > 1 or a.mean() > 0.05} == {}


def test_command_writes_another_offset(computed: Computed) -> None:
    """Another offset shifts inputs and parameters, so that stored numbers do not pass for computed
    ones.
    """
    usual, other = computed("REAL3D_A2M"), computed("REAL3D_A2M", "--offset", "3")
    assert usual.keys() == other.keys()
    same = {key for key in usual if np.array_equal(usual[key], other[key])}
    assert same == {"encoder/mask"}  # which depends on nothing

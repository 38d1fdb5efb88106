"""Golden files: every stage in float32 is within 1e-4 of the reference.

The error is relative to max(1, max |reference|).
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from tests.golden.cases import CASES, UINT8_CASES, max_errors

REPO = Path(__file__).parents[2]
Numbers = dict[str, npt.NDArray[np.generic]]


def compute(name: str, folder: Path, *more: str) -> Numbers:
    """Compute a golden file in a process of its own, which returns the networks' memory."""
    out = folder / f"{name}.npz"
    command = [sys.executable, "-m", "tests.golden", name, "--out", str(out), *more]
    subprocess.run(command, check=True, cwd=REPO)
    with np.load(out) as file:
        return {key: file[key] for key in file.files}


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(set(CASES) - UINT8_CASES))
def test_networks_give_the_references_numbers(name: str, shared: Path, tmp_path: Path) -> None:
    """The stages are those of the file, no more and no fewer."""
    with np.load(shared / "golden" / f"{name}.npz") as file:
        reference = {key: file[key] for key in file.files}
    ours = compute(name, tmp_path)
    assert set(ours) == set(reference)
    failures = {
        key: figure for key, figure in max_errors(ours, reference).items() if not figure <= 1e-4
    }
    assert not failures


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(UINT8_CASES))
def test_uint8_images_are_the_references_to_a_level(
    name: str, shared: Path, tmp_path: Path
) -> None:
    """No pixel differs by more than 1 level of 255; the mean difference is at most 0.05."""
    with np.load(shared / "golden" / f"{name}.npz") as file:
        reference = {key: file[key].astype(np.float64) for key in file.files}
    ours = compute(name, tmp_path)
    assert set(ours) == set(reference)
    differences = {key: np.abs(ours[key] - wanted) for key, wanted in reference.items()}
    assert {key: a.max() for key, a in differences.items() if a.max() > 1 or a.mean() > 0.05} == {}


def test_command_writes_another_offset(tmp_path: Path) -> None:
    """Another offset shifts inputs and parameters, so that stored numbers do not pass for computed
    ones.
    """
    made = compute("FOMM", tmp_path, "--offset", "3")
    assert "rel_ac/prediction" in made
    shifted = made["kp/source_value"]
    assert shifted.shape == (1, 10, 2) and np.abs(shifted).max() <= 1

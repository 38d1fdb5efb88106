"""Every stage of every golden file, float32, within 1e-4 of the reference (relative to max(1, max |reference|))."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.golden.cases import CASES, EIGHT_BIT, run, worst


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(set(CASES) - EIGHT_BIT))
def test_networks_give_the_references_numbers(name: str, shared: Path) -> None:
    """Also that the stages are the file's, no more and no fewer."""
    with np.load(shared / "golden" / f"{name}.npz") as file:
        reference = {key: file[key] for key in file.files}
    ours = run(name)
    assert set(ours) == set(reference)
    far = {key: figure for key, figure in worst(ours, reference).items() if not figure <= 1e-4}
    assert not far


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(EIGHT_BIT))
def test_pictures_are_the_references_to_a_level(name: str, shared: Path) -> None:
    """At most one level of 255 anywhere, a twentieth of one on average."""
    with np.load(shared / "golden" / f"{name}.npz") as file:
        reference = {key: file[key].astype(np.float64) for key in file.files}
    ours = run(name)
    assert set(ours) == set(reference)
    apart = {key: np.abs(ours[key] - wanted) for key, wanted in reference.items()}
    assert {key: a.max() for key, a in apart.items() if a.max() > 1 or a.mean() > 0.05} == {}


def test_command_writes_another_offset(tmp_path: Path) -> None:
    """The inputs and parameters shift, so that stored numbers cannot pass for computed ones."""
    out = tmp_path / "x.npz"
    command = [sys.executable, "-m", "tests.golden", "FOMM", "--offset", "3", "--out", str(out)]
    subprocess.run(command, check=True, cwd=Path(__file__).parents[2])
    with np.load(out) as file:
        assert "rel_ac/prediction" in file.files
        shifted = file["kp/source_value"]
    assert shifted.shape == (1, 10, 2) and np.abs(shifted).max() <= 1

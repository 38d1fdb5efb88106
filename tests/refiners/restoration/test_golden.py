"""The restoration networks compute the public code's numbers, with parameters filled by name.

The numbers were made by TencentARC/GFPGAN, sczhou/CodeFormer and wzhouxiff/RestoreFormer, run with
the parameters and inputs of tests/golden/fill.py: `fill.state` of each network's own tensors,
`image` of networks.py as the input, every n-th pixel kept where `thinned`. Commits are not
recorded. The public CodeFormer fixes its sizes; those of the narrow one were put in their place.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from tests.golden.cases import OWN_CASES, Numbers, compute, load, max_errors
from tests.refiners.restoration.networks import (
    NARROW_CODEFORMER,
    NARROW_RESTOREFORMER,
    Stages,
    run_codeformer,
    run_gfpgan,
    run_restoreformer,
)

GOLDEN = Path(__file__).parent / "golden"
NARROW: dict[str, Callable[[], Stages]] = {
    "gfpgan-narrow": lambda: run_gfpgan(64, 0.125),
    "codeformer-narrow": lambda: run_codeformer(NARROW_CODEFORMER, 64),
    "restoreformer-narrow": lambda: run_restoreformer(NARROW_RESTOREFORMER, 64),
}


def errors(name: str, ours: Numbers) -> dict[str, float]:
    reference = load(GOLDEN / f"{name}.npz")
    assert set(ours) == set(reference)
    return max_errors(ours, reference)


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Numbers]:
    """Return the numbers of the published sizes, all computed in one process."""
    folder = tmp_path_factory.mktemp("golden")
    compute(folder, *OWN_CASES)
    return {name: load(folder / f"{name}.npz") for name in OWN_CASES}


@pytest.mark.parametrize("name", sorted(NARROW))
def test_narrow_networks_give_the_public_codes_numbers(name: str) -> None:
    with torch.inference_mode():
        ours = {key: stage.numpy() for key, stage in NARROW[name]().items()}
    found = errors(name, ours)
    assert max(found.values()) <= 1e-4, found


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(OWN_CASES))
def test_published_sizes_give_the_public_codes_numbers(
    name: str, published: dict[str, Numbers]
) -> None:
    found = errors(name, published[name])
    assert max(found.values()) <= 1e-4, found

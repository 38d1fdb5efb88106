"""Tests of the separability of real and edited faces."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from thcli.core.errors import UsageError
from thcli.core.types import Array32, Face, Image
from thcli.evaluate.metrics import realism


def rows(count: int, shift: float, seed: int) -> Array32:
    noise = np.random.default_rng(seed).standard_normal((count, 40))
    return (noise + shift * (np.arange(40) < 8)).astype(np.float32)


def test_shifted_features_are_told_apart_and_equal_ones_are_not() -> None:
    real = rows(60, 0, 1)
    assert realism.separability(real, [rows(16, 1.5, k) for k in (2, 3, 4)]) == pytest.approx(
        1, abs=0.05
    )
    same = realism.separability(real, [rows(16, 0, k) for k in range(5, 11)])
    assert same == pytest.approx(0.5, abs=0.12)


def test_what_only_one_clip_has_does_not_count() -> None:
    """Every clip differs from the photographs in its own way: the classifier sees the others."""
    clips = []
    for k in range(4):
        own = rows(16, 0, 20 + k)
        own[:, 10 * k : 10 * k + 5] += 4
        clips.append(own)
    found = realism.separability(rows(60, 0, 1), clips)
    assert found is not None and found < 0.8


def test_one_clip_has_no_separability() -> None:
    assert realism.separability(rows(20, 0, 1), [rows(8, 0, 2), rows(0, 0, 3)]) is None


@pytest.mark.parametrize(("faces", "clips"), [(8, 8), (8, 9), (8, 40), (2, 3), (3, 2)])
def test_any_number_of_clips_has_a_separability(faces: int, clips: int) -> None:
    found = realism.separability(rows(faces, 0, 1), [rows(4, 3, 50 + k) for k in range(clips)])
    assert found is not None and 0.5 < found <= 1
    assert realism.separability(rows(1, 0, 1), [rows(4, 0, 2), rows(4, 0, 3)]) is None


def face() -> Face:
    points = np.zeros((468, 3), np.float32)
    grid = np.stack(np.meshgrid(np.linspace(20, 60, 26), np.linspace(20, 60, 18)), -1)
    points[:, :2] = grid.reshape(-1, 2)
    return Face(np.array([20, 20, 60, 60], np.float32), 1.0, mesh=points)


def test_crops_of_a_long_clip_are_few_and_even() -> None:
    kept = realism.ClipCrops()
    for i in range(100):
        kept.add(np.full((80, 80, 3), i, np.uint8), None if i == 50 else face())
    values = [int(one[0, 0, 0]) for one in kept.crops]
    assert 8 <= len(values) <= realism.FRAMES
    assert values[0] == 0 and values[-1] > 85 and np.ptp(np.diff(values)) <= 1


def write_images(folder: Path, levels: range) -> None:
    for level in levels:
        Pillow.fromarray(np.full((80, 80, 3), level, np.uint8)).save(folder / f"{level}.png")


def tracker_without(missing: int) -> Callable[[Image], Face | None]:
    """Return a tracker that takes one image only, with a face unless its level is `missing`."""
    seen = []

    def track(image: Image) -> Face | None:
        seen.append(image)
        assert len(seen) == 1, "photographs are no video"
        return None if image[0, 0, 0] == missing else face()

    return track


def test_few_wearers_are_refused(tmp_path: Path) -> None:
    write_images(tmp_path, range(3))
    with pytest.raises(UsageError, match="shows 2 faces"):
        realism.read_wearers(tmp_path, lambda: tracker_without(1))


def test_each_wearer_is_found_by_itself(tmp_path: Path) -> None:
    write_images(tmp_path, range(10, 20))
    crops = realism.read_wearers(tmp_path, lambda: tracker_without(13))
    assert [int(one[0, 0, 0]) for one in crops] == [10, 11, 12, *range(14, 20)]

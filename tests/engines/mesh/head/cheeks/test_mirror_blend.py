"""Blending of a mirror image: its cut along the outline of the face is sampled where it shows."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from thcli.core.types import Array32, Image
from thcli.engines.mesh import compose
from thcli.engines.mesh.background.matte import MatteLayers
from thcli.engines.mesh.head.cheeks import mirror_blend
from thcli.engines.mesh.head.cheeks.mirror_blend import MirrorSamples
from thcli.engines.mesh.raster import SampleGrid
from thcli.engines.mesh.sampling import mix, remap
from thcli.engines.mesh.warp import Cut

STEP, ROWS, COLUMNS = 16, 66, 82
WIDTH, HEIGHT = COLUMNS * STEP, ROWS * STEP  # a large grid, which is divided
INSIDE = np.s_[STEP:-STEP, STEP:-STEP]  # the outermost samples are left out


def layers(least: int) -> MatteLayers:
    """Return a person of noise, whose alpha is `least` at the left and opaque at the right."""
    person = np.random.default_rng(7).integers(0, 256, (HEIGHT, WIDTH, 4), np.uint8)
    person[..., 3] = 255
    person[:, : WIDTH // 2, 3] = least
    person[..., :3] = np.minimum(person[..., :3], person[..., 3:])
    plate = np.full((HEIGHT, WIDTH, 3), (0, 90, 200), np.uint8)
    return MatteLayers.of(person, plate)


def samples() -> MirrorSamples:
    """Return a shifted mirror image at half its share, with a cut in two narrow strips."""
    grid = SampleGrid(0, 0, STEP, COLUMNS, ROWS)
    at: Array32 = np.dstack(np.meshgrid(*grid.pixel_axes())).astype(np.float32)
    opacity = np.zeros((ROWS, COLUMNS), np.float32)
    opacity[20:50, 20:23] = 0.7
    opacity[20:50, 60:62] = 1
    share = np.full((ROWS, COLUMNS), 0.5, np.float32)
    return MirrorSamples(grid, at + np.float32(3), share, Cut(grid, at - np.float32(40), opacity))


def blend_whole(
    out: Image, alpha: Image, mirrored: MatteLayers, given: MirrorSamples
) -> tuple[Image, Image]:
    """Blend without any blocks."""
    size = WIDTH, HEIGHT
    assert given.cut is not None
    positions, cut, opacity = (
        np.asarray(cv2.resize(one, size), np.float32)
        for one in (given.positions, given.cut.positions, given.cut.opacity)
    )
    person = remap(mirrored.person, positions, cv2.BORDER_REFLECT_101)
    face = remap(mirrored.person, cut)
    person = mix(person, face, np.asarray(np.rint(opacity * 255), np.uint8))
    share = np.full((HEIGHT, WIDTH), round(255 * float(given.share[0, 0])), np.uint8)
    opaque = np.asarray(cv2.extractChannel(person, 3), np.uint8)
    shown = compose.lay_over(person, mirrored.plate)
    return mix(out, shown, share), mix(alpha, opaque, share)


@pytest.mark.parametrize("least", [0, 100, 255])
@pytest.mark.parametrize("share", [0.5, 1.0])
def test_blocks_blend_as_the_whole_picture(least: int, share: float) -> None:
    mirrored, given = layers(least), samples()
    given = replace(given, share=np.full_like(given.share, share))
    out = np.full((HEIGHT, WIDTH, 3), 120, np.uint8)
    alpha = np.full((HEIGHT, WIDTH), 40, np.uint8)
    expected = blend_whole(out, alpha, mirrored, given)
    alone = out.copy()
    mirror_blend.blend(alone, None, mirrored, given)
    mirror_blend.blend(out, alpha, mirrored, given)
    assert np.array_equal(out, alone)
    for blended, whole in zip((out, alpha), expected, strict=True):
        difference = np.abs(blended[INSIDE].astype(int) - whole[INSIDE])
        assert difference.max() <= 2 and (difference > 1).mean() < 1e-3


def test_a_cut_is_sampled_where_it_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    areas: list[int] = []

    def count(image: Image, positions: Array32) -> Image:
        areas.append(positions.shape[0] * positions.shape[1])
        return remap(image, positions)

    monkeypatch.setattr(mirror_blend, "remap", count)
    given = samples()
    assert given.cut is not None
    mirror_blend.blend(np.zeros((HEIGHT, WIDTH, 3), np.uint8), None, layers(255), given)
    covered = int((given.cut.opacity > 0).sum()) * STEP**2
    assert covered < sum(areas) < 2.2 * covered

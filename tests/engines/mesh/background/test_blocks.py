"""Blocks of a warp map: what is left out, copied or sampled alone equals what is blended."""

import cv2
import numpy as np
import pytest

from thcli.core.types import Array32, Image
from thcli.engines.mesh import compose
from thcli.engines.mesh.background import blocks
from thcli.engines.mesh.background.blocks import Coverage
from thcli.engines.mesh.background.edges import sample_person
from thcli.engines.mesh.background.matte import MatteLayers
from thcli.engines.mesh.background.windows import upsample
from thcli.engines.mesh.raster import SampleGrid
from thcli.engines.mesh.sampling import REFLECT, remap, to_levels
from thcli.engines.mesh.warp import WarpMap

SIZE = (1280, 1150)
STEP = 10


def picture() -> tuple[Image, MatteLayers]:
    """Return a picture of a person with soft edges and a glow around it, and its layers.

    Both are smooth, so that one seam between blocks is found.
    """
    width, height = SIZE
    coarse = np.random.default_rng(3).integers(0, 200, (2, height // 40, width // 40, 3), np.uint8)
    front, plate = (cv2.resize(one, SIZE, interpolation=cv2.INTER_CUBIC) for one in coarse)
    alpha = np.zeros((height, width), np.uint8)
    cv2.ellipse(alpha, (600, 500), (330, 420), 0, 0, 360, (255,), -1)
    alpha = np.asarray(cv2.blur(alpha, (9, 9)), np.uint8)
    glow = np.zeros((height, width, 3), np.uint8)
    cv2.ellipse(glow, (600, 500), (400, 490), 0, 0, 360, (40, 40, 40), -1)
    glow[alpha > 0] = 0
    glow = np.asarray(cv2.blur(glow, (31, 31)), np.uint8)
    weight = cv2.cvtColor(alpha, cv2.COLOR_GRAY2RGB)
    front = cv2.add(cv2.multiply(front, weight, scale=1 / 255), glow)
    behind = cv2.multiply(plate, 255 - weight, scale=1 / 255)
    layers = MatteLayers.of(np.dstack([front, alpha]), np.asarray(plate, np.uint8))
    return np.asarray(cv2.add(behind, front), np.uint8), layers


def waves(shift: float) -> WarpMap:
    """Return a map over the picture and beyond, that moves all but its left third."""
    columns, rows = SIZE[0] // STEP + 4, SIZE[1] // STEP + 4
    x, y = np.meshgrid(np.arange(columns), np.arange(rows))
    moved = np.stack([shift + 4 * np.sin(y / 9), 4 * np.cos(x / 11)], -1).astype(np.float32)
    moved[:, : columns // 3] = 0
    grid = SampleGrid(-2 * STEP, -2 * STEP, STEP, columns, rows)
    none = np.zeros((rows, columns), np.float32)
    return WarpMap(grid, moved, grid, np.full((rows, columns), -1, np.int32), none)


def all_positions(warp_map: WarpMap) -> Array32:
    """Return the source position of each pixel of the picture."""
    whole = slice(0, SIZE[1]), slice(0, SIZE[0])
    samples = compose.source_positions(warp_map)
    return upsample(samples, 0, len(samples), STEP)[2 * STEP :, 2 * STEP :][whole]


@pytest.mark.parametrize("shift", [0.3, 25.0, -40.0])
def test_blocks_show_what_sampling_every_pixel_does(shift: float) -> None:
    image, layers = picture()
    warp_map = waves(shift)
    person = sample_person(layers.person, all_positions(warp_map))
    moved = upsample(compose.moved_shares(warp_map, image), 0, warp_map.grid.rows, STEP)
    light = 255 - to_levels(moved[2 * STEP :, 2 * STEP :][: SIZE[1], : SIZE[0]])
    clear = 255 - person[..., 3]
    most = cv2.add(person[..., 3], cv2.multiply(clear, light, scale=1 / 255))
    behind = cv2.multiply(layers.plate, cv2.merge([clear] * 3), scale=1 / 255)
    expected = cv2.add(behind, cv2.min(person[..., :3], cv2.merge([most] * 3)))
    difference = cv2.absdiff(compose.render(image, layers, warp_map), np.asarray(expected))
    # positions differ in the last bit, OpenCV's weights by 1 / 32 where that is between two
    assert difference.max() <= 2


def test_without_layers_blocks_show_what_sampling_every_pixel_does() -> None:
    image, _ = picture()
    warp_map = waves(7.0)
    expected = remap(image, all_positions(warp_map), REFLECT)
    difference = cv2.absdiff(compose.render(image, None, warp_map), expected)
    assert difference.max() <= 2


def test_a_block_is_of_one_kind() -> None:
    _, layers = picture()
    low = np.array([[600, 500], [1190, 20], [280, 480], [570, -30], [600, 1100], [-30, 40]])
    side = 60
    kinds = Coverage.of(layers.person).kinds(
        low.astype(np.float32), (low + side).astype(np.float32)
    )
    expected = [blocks.PERSON, blocks.PLATE, blocks.MIXED, blocks.LEAVES, blocks.MIXED]
    assert kinds.tolist() == [*expected, blocks.PLATE]  # no person ends at that edge


def test_what_is_still_has_no_block() -> None:
    _, layers = picture()
    warp_map = waves(9.0)
    samples = compose.source_positions(warp_map)
    found = list(
        blocks.iterate_blocks(warp_map.displacement, samples, warp_map.grid, layers.coverage)
    )
    assert min(block.columns.start for block in found) > warp_map.grid.columns // 4
    assert {block.kind for block in found} >= {blocks.PERSON, blocks.PLATE, blocks.MIXED}

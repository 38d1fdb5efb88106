"""Source pictures of Real3D-Portrait: placement, segments, torso, background, blinks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from thcli.core.errors import NoFaceError, UsageError
from thcli.core.geometry import transform_points
from thcli.core.options import ReenactOptions, Template
from thcli.core.types import Array, Array32, Crop, Face, Image
from thcli.engines.real3d.pictures import background, segments
from thcli.engines.real3d.pictures.background import inpaint_background, replacement_background
from thcli.engines.real3d.pictures.blink import close_eyes
from thcli.engines.real3d.pictures.segments import (
    BACKGROUND,
    BODY_SKIN,
    CLOTHES,
    FACE_SKIN,
    HAIR,
    OTHERS,
    SEGMENT_OF_REGION,
    one_hot,
    segment_source,
)
from thcli.engines.real3d.pictures.source import SIDE, crop_landmarks, place_source
from thcli.engines.real3d.pictures.torso import (
    torso_image,
)
from thcli.evaluate.reports.contact_sheet import save_image
from thcli.faces.parsing import CLASSES, class_number
from thcli.motion.canonical import neutral


def face_at(centre: tuple[float, float], height: float) -> Face:
    """Return a frontal face whose mesh has a height in pixels."""
    shape = neutral()
    mesh = (shape - shape.mean(0)) * height / np.ptp(shape[:, 1]) + [*centre, 0.0]
    low, high = mesh[:, :2].min(0), mesh[:, :2].max(0)
    return Face(np.concatenate([low, high]).astype(np.float32), 0.9, mesh=mesh.astype(np.float32))


def share(face: Face, placement: Crop) -> float:
    """Return the area of the face's box over the crop's."""
    points = crop_landmarks(face, placement)
    return float(np.prod(np.ptp(points, 0)))


def frame_from_crop(placement: Crop) -> Array:
    return np.asarray(np.linalg.inv(placement.crop_from_frame), np.float64)


@pytest.mark.parametrize("size", [(900, 1600), (1600, 900), (1000, 1000)])
def test_a_small_face_is_cropped_to_a_fifth_of_the_area(size: tuple[int, int]) -> None:
    face = face_at((500.0, 450.0), 200.0)
    placement = place_source(face, size)
    assert placement.size == (SIDE, SIDE)
    assert share(face, placement) == pytest.approx(0.2, abs=1e-3)
    matrix = placement.crop_from_frame
    assert matrix[0, 0] == pytest.approx(matrix[1, 1]) and matrix[0, 1] == matrix[1, 0] == 0


def test_a_large_face_gets_the_largest_square_of_the_image() -> None:
    face = face_at((400.0, 700.0), 500.0)
    placement = place_source(face, (800, 1400))
    edges = transform_points(frame_from_crop(placement), [[-0.5, -0.5], [511.5, 0]])
    np.testing.assert_allclose(edges[:, 0], [-0.5, 799.5], atol=1e-6)
    assert 0.2 < share(face, placement) < 0.5


def test_landmarks_are_in_shares_of_the_crop() -> None:
    """0 and 1 are the outer edges of the first and the last pixel."""
    mesh = np.zeros((468, 3), np.float32)
    mesh[0], mesh[1] = (-0.5, -0.5, 0), (511.5, 255.5, 0)
    face = Face(np.array([0, 0, 512, 256], np.float32), 0.9, mesh=mesh)
    marks = crop_landmarks(face, Crop(np.eye(3), (512, 512)))
    assert np.abs(marks[:2] - np.array([(0, 0), (1, 0.5)])).max() < 1e-6


def test_a_square_stays_in_the_image() -> None:
    face = face_at((110.0, 120.0), 200.0)
    placement = place_source(face, (1000, 800))
    corner = transform_points(frame_from_crop(placement), [[-0.5, -0.5]])
    np.testing.assert_allclose(corner, [[-0.5, -0.5]], atol=1e-6)


def test_a_face_that_fills_the_image_gets_a_larger_square() -> None:
    face = face_at((100.0, 300.0), 260.0)
    placement = place_source(face, (210, 620))
    assert share(face, placement) == pytest.approx(0.5, abs=1e-3)
    centre = transform_points(
        placement.crop_from_frame, [np.asarray(face.box).reshape(2, 2).mean(0)]
    )
    assert abs(centre[0, 0] - 255.5) < 1


def test_a_face_without_mesh_or_area_is_refused() -> None:
    box = np.array([0, 0, 9, 9], np.float32)
    with pytest.raises(NoFaceError, match="468 points"):
        place_source(Face(box, 0.9), (99, 99))
    with pytest.raises(NoFaceError, match="no area"):
        place_source(Face(box, 0.9, mesh=np.ones((468, 3), np.float32)), (99, 99))


class FixedParser:
    """A parser that returns one map of region numbers."""

    crop_size = 64
    template: Template = "square"

    def __init__(self, regions: Image) -> None:
        self.regions = regions

    def parse(self, crops: Sequence[Image], faces: Sequence[Face]) -> Array32:
        numbers = np.arange(len(CLASSES))[:, None, None]
        return np.asarray((self.regions[None] == numbers)[None], np.float32)


def segmented(regions: Image, person: Array32) -> Image:
    face, image = face_at((255.5, 255.5), 256.0), np.zeros((512, 512, 3), np.uint8)
    placement = Crop(np.eye(3), (512, 512))
    return segment_source(image, face, placement, FixedParser(regions), person)


def test_segments_are_those_of_selfie_multiclass() -> None:
    expected = {
        "background": BACKGROUND,
        "skin": FACE_SKIN,
        "l_eye": FACE_SKIN,
        "r_ear": FACE_SKIN,
        "mouth": FACE_SKIN,
        "hair": HAIR,
        "neck": BODY_SKIN,
        "cloth": CLOTHES,
        "neck_l": CLOTHES,
        "hat": OTHERS,
        "eye_g": OTHERS,
    }
    for name, segment in expected.items():
        assert SEGMENT_OF_REGION[class_number(name)] == segment, name


def test_what_the_parser_did_not_see_takes_the_nearest_segment() -> None:
    regions = np.zeros((64, 64), np.uint8)
    regions[8:20] = class_number("hair")
    regions[20:44] = class_number("skin")
    regions[44:54] = class_number("neck")
    regions[54:] = class_number("cloth")
    person = np.ones((512, 512), np.float32)
    person[:, 500:] = 0
    found = segmented(regions, person)
    assert found[5, 250] == HAIR and found[-1, 250] == CLOTHES
    assert (found[:, 505] == BACKGROUND).sum() > 0
    assert (found[:, :500] != BACKGROUND).all()


def test_face_skin_does_not_spread_over_what_is_not_parsed() -> None:
    regions = np.zeros((64, 64), np.uint8)
    regions[20:40, 20:40] = class_number("skin")
    found = segmented(regions, np.ones((512, 512), np.float32))
    top = int(np.flatnonzero((found == FACE_SKIN).any(1))[0])
    parsed = 20 * 512 // 64  # the parser's crop is about the whole image
    assert parsed - 24 <= top <= parsed + 8 and found[10, 256] == CLOTHES


def test_a_hidden_face_is_refused() -> None:
    regions = np.full((64, 64), class_number("hair"), np.uint8)
    with pytest.raises(NoFaceError, match="hidden or too small"):
        segmented(regions, np.ones((512, 512), np.float32))


def test_one_hot_has_one_channel_per_segment() -> None:
    planes = one_hot(np.array([[0, 4], [5, 2]], np.uint8))
    assert planes.shape == (6, 2, 2) and planes.sum() == 4
    assert planes[4, 0, 1] == planes[2, 1, 1] == 1


def bust() -> tuple[Image, Image]:
    """Return an image of vertical stripes and the segments of a head on a torso."""
    labels = np.zeros((512, 512), np.uint8)
    labels[100:300, 180:330] = FACE_SKIN
    labels[300:360, 220:290] = BODY_SKIN
    labels[360:, 100:412] = CLOTHES
    labels[300:360, 295:325] = CLOTHES
    image = np.full((512, 512, 3), 200, np.uint8)
    image[:, :, 1] = np.arange(512) % 251
    return image, labels


def test_the_torso_continues_under_the_head() -> None:
    image, labels = bust()
    torso = torso_image(image, labels)
    assert torso[400, 200].tolist() == image[400, 200].tolist()  # clothes are kept
    assert not torso[200, 200].any() and not torso[50].any() and not torso[400, 50].any()
    # the neck begins 3 px above, its colour 4 px below that; 53 rows upwards
    first = 300 - 3 + 4
    assert not torso[first - 53, 250].any() and torso[first - 53 + 1, 250, 0] > 0
    assert torso[first - 40, 250, 0] == pytest.approx(200 * 0.98**40, abs=3)
    # clothes right under the head: 9 rows, of which the first is their own
    assert not torso[300 - 9, 310].any()
    assert torso[300 - 9 + 1, 310, 0] == int(200 * 0.98**8)


def test_a_neck_at_the_edge_of_the_image_is_continued() -> None:
    image, labels = bust()
    labels[300:] = 0
    labels[511, 220:290] = BODY_SKIN
    labels[100:511, 180:330] = FACE_SKIN
    image[511] = (90, 90, 90)
    torso = torso_image(image, labels)
    assert torso[500, 250, 0] == pytest.approx(90 * 0.98**11, abs=2)


def test_an_image_without_torso_or_head_gives_black_or_the_torso() -> None:
    image, labels = bust()
    assert not torso_image(image, np.where(labels == FACE_SKIN, labels, 0).astype(np.uint8)).any()
    alone = np.where(labels == CLOTHES, labels, 0).astype(np.uint8)
    np.testing.assert_array_equal(
        torso_image(image, alone) > 0, (image > 0) & (alone > 0)[..., None]
    )


def test_the_background_is_filled_with_the_nearest_far_pixel() -> None:
    image = np.zeros((60, 80, 3), np.uint8)
    image[:, :40], image[:, 40:] = (10, 20, 30), (200, 100, 50)
    image[20:40, 30:50] = 255
    image[15:45, 25:55] = np.where(image[15:45, 25:55] == 255, 255, 7)  # a halo
    free = np.ones((60, 80), np.bool_)
    free[20:40, 30:50] = False
    filled = inpaint_background(image, free)
    assert set(map(tuple, filled.reshape(-1, 3).tolist())) == {(10, 20, 30), (200, 100, 50)}
    assert filled[30, 38].tolist() == [10, 20, 30] and filled[30, 42].tolist() == [200, 100, 50]
    np.testing.assert_array_equal(filled[:5], image[:5])


def test_the_background_of_extreme_images() -> None:
    image = np.random.default_rng(0).integers(0, 255, (30, 40, 3), np.uint8)
    all_of_it = np.ones((30, 40), np.bool_)
    np.testing.assert_array_equal(inpaint_background(image, all_of_it), image)
    assert np.ptp(inpaint_background(image, ~all_of_it), (0, 1)).max() == 0
    near = np.zeros((30, 40), np.bool_)
    near[:, :3] = True  # nothing is farther than the margin
    np.testing.assert_array_equal(
        inpaint_background(image, near)[:, 3:], np.repeat(image[:, 2:3], 37, 1)
    )


def test_the_background_option(tmp_path: Path) -> None:
    size = (40, 30)
    assert replacement_background(ReenactOptions(), size) is None
    green = replacement_background(ReenactOptions(background="#00ff00"), size)
    assert green is not None and green.shape == (30, 40, 3) and (green == [0, 255, 0]).all()
    path = tmp_path / "wall.png"
    save_image(path, np.full((20, 20, 3), 90, np.uint8))
    wall = replacement_background(ReenactOptions(background=str(path)), size)
    assert wall is not None and wall.shape == (30, 40, 3) and (wall == 90).all()
    with pytest.raises(UsageError):
        replacement_background(ReenactOptions(background="no-such-thing"), size)


def masked_face() -> Array32:
    """Return a PNCC image of 512 pixels with two eye holes."""
    pncc = np.full((3, 512, 512), -1.0, np.float32)
    rows = np.linspace(-0.8, 0.8, 512, dtype=np.float32)[:, None]
    pncc[:, 60:460, 90:420] = 0.3
    pncc[1, 60:460, 90:420] = np.broadcast_to(rows, (512, 512))[60:460, 90:420]
    for left in (160, 290):
        pncc[:, 190:220, left : left + 60] = -1
    return pncc


def test_blinks_close_the_holes_from_both_lids() -> None:
    pncc = masked_face()
    assert close_eyes(pncc, 0.0) is pncc
    holes = [(close_eyes(pncc, closed)[0] == -1)[150:256, 128:384].sum() for closed in (0, 0.5, 1)]
    assert holes[0] == 2 * 30 * 60 and 0 < holes[1] < 0.65 * holes[0] and holes[2] == 0
    shut = close_eyes(pncc, 1.0)
    np.testing.assert_array_equal(shut[:, :180], pncc[:, :180])
    assert shut[1, 195, 190] == pncc[1, 189, 190] and shut[1, 216, 190] == pncc[1, 220, 190]


def test_a_head_without_eye_holes_does_not_blink() -> None:
    profile = masked_face()
    profile[:, 190:220] = 0.2
    assert close_eyes(profile, 1.0) is profile
    assert background.MARGIN == 10 and segments.SEGMENTS == 6

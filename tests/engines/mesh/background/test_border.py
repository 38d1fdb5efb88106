"""Border of a picture, and grain of its background."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from thcli.engines.mesh.background.border import common_widths, find_border, find_widths
from thcli.engines.mesh.background.grain import add_grain


def picture(height: int = 120, width: int = 160) -> np.ndarray:
    """Draw a picture of noise."""
    return np.random.default_rng(3).integers(60, 180, (height, width, 3)).astype(np.uint8)


def test_a_painted_frame_and_black_bars_are_borders() -> None:
    """The border is cut off with what scaling mixed, and is put back unchanged."""
    image = picture()
    image[:4] = image[-7:] = 250
    image[:, -9:] = 4
    border = find_border(image)
    assert border is not None
    assert (border.top, border.bottom, border.left, border.right) == (6, 9, 0, 11)
    inside = border.extend_inside()
    assert inside.shape == image.shape and np.array_equal(
        inside[:6, :149], inside[6:7, :149].repeat(6, 0)
    )
    assert int(inside.max()) < 180
    out = inside.copy()
    border.render(out)
    assert np.array_equal(out, image)


def print_on_ground(shadow: int) -> np.ndarray:
    """Draw a picture in a white print, whose shadow falls on light ground, all a little askew."""
    image = np.full((300, 320, 3), 236, np.uint8)
    image[:, :6] = image[:, -6:] = image[:5] = image[-5:] = shadow
    image[40:-50, 40:-40] = picture(210, 240)
    turn = cv2.getRotationMatrix2D((160, 150), 0.3, 1.0)
    return cv2.warpAffine(image, turn, (320, 300), borderValue=(245, 245, 245))


def test_a_print_with_its_shadow_is_a_border_on_all_sides() -> None:
    for shadow in (190, 236, 245):
        border = find_border(print_on_ground(shadow))
        assert border is not None
        widths = np.array([border.top, border.bottom, border.left, border.right])
        assert (np.abs(widths - (40, 50, 40, 40)) <= 5).all()


def test_three_even_sides_are_no_print() -> None:
    """There the shadow alone is a border, as it has one colour."""
    image = print_on_ground(190)
    image[40:-50, :40] = picture(210, 40)
    border = find_border(image)
    assert border is not None
    assert border.left == 0
    assert max(border.top, border.bottom, border.right) < 12


@pytest.mark.parametrize("colour", [(250, 240, 80), (10, 10, 14)])
def test_a_single_line_around_a_picture_is_its_border(colour: tuple[int, int, int]) -> None:
    """Repeated beyond the edges of a picture that moves, it was a band."""
    image = picture(120, 160)
    image[[0, -1]] = image[:, [0, -1]] = colour
    image[1:-1, 1:-1] = cv2.GaussianBlur(image, (0, 0), 0.6)[1:-1, 1:-1]
    border = find_border(image)
    assert border is not None
    assert {border.top, border.bottom, border.left, border.right} == {3}
    inside = border.extend_inside()
    assert np.abs(inside[0, 3:-3].astype(int) - image[3, 3:-3]).max() == 0
    image[-1] = image[-2]  # open below
    top, bottom, left, right = find_widths(image)
    assert bottom == 0 and min(top, left, right) >= 3 and max(top, left, right) <= 4


@pytest.mark.parametrize("share", [0.6, 1.9])
@pytest.mark.parametrize("lines", [1, 3])
def test_lines_that_scaling_dimmed_at_one_edge_are_a_border(share: float, lines: int) -> None:
    """They have the picture's colours; moved into it by a raised chin, they were an outline."""
    smooth = cv2.GaussianBlur(picture(), (0, 0), 3.0)
    image = np.clip((smooth.astype(float) - 120) * 8 + 100, 50, 130).astype(np.uint8)
    assert find_border(image) is None
    plain = image.copy()
    image[-lines:] = (plain[-lines:] * share).astype(np.uint8)
    assert find_widths(image) == (0, lines + 2, 0, 0)
    assert find_widths(image[:, ::-1].swapaxes(0, 1)) == (0, 0, 0, lines + 2)
    image[-lines:, :40] = plain[-lines:, :40]  # not all along
    assert find_border(image) is None


def test_frames_have_the_border_that_all_of_them_show() -> None:
    assert common_widths([(3, 20, 0, 4), (3, 3, 0, 0)]) == (3, 3, 0, 0)
    assert common_widths([]) == (0, 0, 0, 0)


def test_a_strip_with_the_person_is_no_border() -> None:
    """Unless it is thin: shoulders reach down to a scan's margin."""
    image = picture()
    image[:, -30:] = 4
    image[-4:] = 250
    person = np.zeros((60, 80), np.float32)
    assert find_border(image, person) is not None
    person[20:, 60:] = 1
    border = find_border(image, person)
    assert border is not None and (border.right, border.bottom) == (0, 6)


def test_a_bare_wall_is_no_border() -> None:
    """One colour up to a head, a gradient, a picture without either."""
    wall = np.full((120, 160, 3), 128, np.uint8)
    cv2.circle(wall, (80, 70), 40, (20, 30, 60), -1)
    gradient = np.broadcast_to(np.arange(120, dtype=np.uint8)[:, None, None] * 2, (120, 160, 3))
    panel = np.full((400, 400, 3), 200, np.uint8)
    panel[80:] = 60  # the wall ends in a step, but a head reaches into it
    cv2.circle(panel, (200, 90), 38, (20, 30, 60), -1)
    jamb = np.full((400, 400, 3), 60, np.uint8)
    jamb[:, :60] = 200
    cv2.circle(jamb, (90, 200), 70, (20, 30, 90), -1)
    for image in (wall, np.ascontiguousarray(gradient), picture(), panel, jamb):
        assert find_border(image) is None
    for height in range(3, 12):  # nothing is left between such borders
        tiny = picture(height, 40)
        tiny[:2] = tiny[-2:] = 255
        border = find_border(tiny)
        assert border is None or border.extend_inside().shape == tiny.shape


def test_a_smooth_fill_takes_the_grain_of_its_background() -> None:
    """Near the outline the fill is as rough as the background; an edge is not lent."""
    rng = np.random.default_rng(4)
    image = (128 + rng.normal(0, 6, (160, 160, 3))).astype(np.float32)
    hole = np.zeros((160, 160), bool)
    hole[40:120, 40:120] = True
    filled = np.where(hole[..., None], np.float32(128), image)
    out = add_grain(filled, hole, 100.0)
    assert np.array_equal(out[~hole], filled[~hole])
    assert 0.6 < out[44:60, 44:116].std() / image[:40].std() < 1.1
    assert out[62:70, 70:90].std() > 0.6 * image[:40].std()
    assert add_grain(filled, np.zeros_like(hole), 100.0) is filled
    flat = np.full((160, 160, 3), 128, np.float32)
    flat[:, 30:34] = 240  # a pole on a bare wall
    assert np.array_equal(add_grain(flat, hole, 100.0), flat)

"""Properties of a rendered frame that hold for any motion."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.engines.mesh import synthetic_faces as faces
from thcli.core.types import Array, Array32, Image
from thcli.engines.mesh.anatomy import EYES, LIPS, face_height
from thcli.engines.mesh.eyes.lid_skin import BROWS
from thcli.engines.mesh.frame import render_frame
from thcli.engines.mesh.mouth import closed_lips, driver_mouth, mouth_interior, side_light
from thcli.engines.mesh.mouth.drawn_inside import MouthInterior
from thcli.engines.mesh.opening import fit_opening, local_coordinates


def person(width: int, height: int) -> Array32:
    """Create a person probability map of head and shoulders, 64 x 64."""
    y, x = np.mgrid[0:64, 0:64] / 63 - 0.5
    return np.asarray(
        ((x / 0.28) ** 2 + (y / 0.38) ** 2 < 1) | ((y > 0.28) & (np.abs(x) < 0.42)), np.float32
    )


@pytest.mark.parametrize("matte", [False, True])
def test_the_own_mesh_gives_the_own_image(matte: bool) -> None:
    for source in (
        faces.make_source(person=person(256, 256) if matte else None),
        faces.astronaut(matte),
    ):
        assert (source.layers is not None) == matte
        out = render_frame(source, faces.rest_target(source), None)
        assert out.dtype == np.uint8 and out.shape == source.image.shape
        assert np.abs(out.astype(int) - source.image).max() <= 1


PLAIN = faces.make_source(plain=True)


turns = st.tuples(st.floats(-40, 40), st.floats(-50, 50), st.floats(-60, 60))


shifts = st.tuples(st.floats(-0.6, 0.6), st.floats(-0.6, 0.6))


@settings(max_examples=40, deadline=None)
@given(
    turn=turns,
    grow=st.floats(0.6, 1.6),
    shift=shifts,
    mouth=st.floats(0, 0.9),
    lids=st.floats(0, 1.7),
)
def test_no_hole_whatever_the_motion(
    turn: tuple[float, float, float],
    grow: float,
    shift: tuple[float, float],
    mouth: float,
    lids: float,
) -> None:
    source = PLAIN
    target = faces.make_target(source, turn=turn, grow=grow, shift=shift, mouth=mouth, lids=lids)
    out = render_frame(source, target, None)
    face_size = 256 * 0.45 * grow
    border = round(0.06 * face_size) + 3
    skin = ~faces.polygon_mask(target.points[LIPS, :2], 256, 256, border)
    for ring, brow in zip(EYES, BROWS, strict=True):  # lash lines and lids that shut are darker
        around = target.points[[*ring[:9], *brow[::-1]], :2]
        skin &= ~faces.polygon_mask(around, 256, 256, border)
    assert out.shape == source.image.shape and out.dtype == np.uint8
    assert np.abs(out[skin].astype(int) - faces.SKIN).max() <= 1


@pytest.mark.parametrize("shift", [(0.15, 0.0), (-0.1, 0.05), (0.0, -0.1)])
def test_the_face_moves_with_its_target(shift: tuple[float, float]) -> None:
    source = faces.make_source()
    out = render_frame(source, faces.make_target(source, shift=shift), None)

    def lip_centre(image: Image) -> Array:
        """Find the centre (x, y) of the lips' red pixels."""
        rows, columns = np.nonzero(image[..., 0].astype(int) - image[..., 1] > 70)
        return np.array([columns.mean(), rows.mean()])

    moved = lip_centre(out) - lip_centre(source.image)
    assert moved == pytest.approx(np.array(shift) * face_height(source.mesh), abs=1.0)


def test_a_face_outside_of_the_image_leaves_it_unchanged() -> None:
    source = faces.make_source()
    out = render_frame(source, faces.make_target(source, shift=(9.0, 0.0)), None)
    assert np.array_equal(out[:, :8], source.image[:, :8])


def test_a_face_of_any_size_is_rendered() -> None:
    """The blur of its outline was a kernel of a size that ends the process."""
    source = faces.make_source()
    for grow in (30.0, 1e3, 1e4):
        out = render_frame(source, faces.make_target(source, grow=grow), None)
        assert out.shape == source.image.shape


def test_threads_and_repetition_change_nothing() -> None:
    source = faces.astronaut()
    targets = [
        faces.make_target(source, turn=(a, 2 * a, -a), mouth=0.03 * abs(a), gaze=0.01 * a)
        for a in range(-8, 9, 2)
    ]
    alone = [render_frame(source, target, None) for target in targets]
    with ThreadPoolExecutor(4) as pool:
        together = list(
            pool.map(lambda target: render_frame(source, target, None), targets + targets)
        )
    for one, first, second in zip(
        alone, together[: len(alone)], together[len(alone) :], strict=True
    ):
        assert np.array_equal(one, first) and np.array_equal(one, second)


def test_the_still_surroundings_are_copied_at_4k() -> None:
    source = faces.make_source(3840, 2160, share=0.3)
    out = render_frame(source, faces.make_target(source, turn=(3, 10, 2), mouth=0.2), None)
    assert out.shape == (2160, 3840, 3)
    assert np.array_equal(out[:, :300], source.image[:, :300])
    assert not np.array_equal(out, source.image)


def test_a_moving_head_leaves_the_background_still_with_a_matte() -> None:
    source = faces.astronaut()
    out = render_frame(source, faces.make_target(source, turn=(0, 8, 0), shift=(0.1, 0.0)), None)
    assert source.layers is not None
    ground = source.layers.person[..., 3] == 0
    top = np.zeros_like(ground)
    top[40:150, 340:430] = True  # the shuttle's tip beside her head
    changed = np.abs(out.astype(int) - source.image).max(-1) > 2
    assert changed[~ground].mean() > 0.05
    assert changed[ground & top].mean() < 0.01


def test_closed_lids_hide_the_eye() -> None:
    source = faces.make_source()
    out = render_frame(source, faces.make_target(source, lids=0.02), None)
    for ring in EYES:
        around = faces.polygon_mask(source.mesh[ring, :2], 256, 256, grow=2)

        def iris(
            image: Image, around: np.ndarray[tuple[int, ...], np.dtype[np.bool_]] = around
        ) -> int:
            return int((np.abs(image[around].astype(int) - faces.IRIS).max(-1) < 30).sum())

        assert iris(source.image) > 30
        assert iris(out) < 0.2 * iris(source.image)  # what is left is the lash line


def test_gaze_moves_the_iris() -> None:
    source = faces.make_source(512, 512)
    places = []
    for gaze in (-0.2, 0.0, 0.2):
        out = render_frame(source, faces.make_target(source, gaze=gaze), None)
        dark = (out[..., 0] < 120) & faces.polygon_mask(source.mesh[EYES[0], :2], 512, 512)
        places.append(np.argwhere(dark)[:, 1].mean())
    width = float(np.linalg.norm(source.mesh[133, :2] - source.mesh[33, :2]))
    assert places[1] - places[0] == pytest.approx(0.2 * width, rel=0.3)
    assert places[2] - places[1] == pytest.approx(0.2 * width, rel=0.3)


def test_small_motion_makes_small_changes() -> None:
    """A change of 0.01 degrees does not move any edge of the map by a visible step (no shimmer)."""
    source = faces.astronaut()
    one = render_frame(source, faces.make_target(source, turn=(0, 12.0, 0)), None).astype(int)
    two = render_frame(source, faces.make_target(source, turn=(0, 12.01, 0)), None).astype(int)
    assert np.abs(one - two).mean() < 0.05
    assert np.quantile(np.abs(one - two).max(-1), 0.999) <= 6


def _grey_interior(mesh: Array) -> MouthInterior:
    grey = np.full(3, 128.0)
    return replace(mouth_interior.prepare(mesh, grey), enamel=grey * 1.6)


def test_a_driver_mouth_that_shrinks_is_averaged() -> None:
    """Stripes of single pixels, a fifth as large in the source, are grey."""
    base = faces.make_source(96, 96)
    target = faces.make_target(base, mouth=0.4).points
    stripes = np.zeros((480, 480, 3), np.uint8)
    stripes[:, ::2] = 255
    out = np.full((96, 96, 3), 128, np.uint8)
    driver_mouth.render(out, _grey_interior(target), target, target * 5, stripes)
    lips = fit_opening(target, LIPS)
    u, v = local_coordinates(lips, (slice(0, 96), slice(0, 96)))
    upper, lower = lips.rims(u)
    inside = (u > 0.3) & (u < 0.7) & (v > upper + 0.1) & (v < lower - 0.1)
    assert inside.sum() > 5
    assert np.ptp(out[inside].astype(int)) < 40


@pytest.mark.parametrize("side", [-1, 1])
def test_a_driver_mouth_takes_the_light_at_the_side_of_the_source(side: int) -> None:
    """Teeth in hard light were as bright in the shadow as in the light."""
    base = faces.make_source(192, 192)
    target = faces.make_target(base, mouth=0.4).points
    frame = np.full((192, 192, 3), 120, np.uint8)
    lit = np.where(np.arange(192) * side > target[LIPS, 0].mean() * side, 180, 60)
    source = np.repeat(np.tile(lit, (192, 1))[..., None], 3, -1).astype(np.uint8)
    aside = side_light.measure(source, target)
    assert aside == pytest.approx(side * np.log(3), abs=0.05)
    lips, middle = fit_opening(target, LIPS), target[LIPS, :2].mean(0)
    row = slice(int(middle[1]) - 2, int(middle[1]) + 2)
    light = []
    for own in (0.1 * side, aside):
        out = np.zeros((192, 192, 3), np.uint8)
        interior = replace(_grey_interior(target), aside=own)
        driver_mouth.render(out, interior, target, target, frame)
        places = (middle[0] + np.array([-0.25, 0.25]) * lips.width).astype(int)
        light.append([float(out[row, x].mean()) for x in places])
    assert light[0][0] == pytest.approx(light[0][1], rel=0.02)
    dark, bright = light[1][::side]
    assert dark < 0.85 * bright


def test_a_driver_mouth_is_as_blurred_as_the_source() -> None:
    """Stripes of four pixels, as large in the source, lose their contrast in a blurred one."""
    base = faces.make_source(192, 192)
    target = faces.make_target(base, mouth=0.4).points
    stripes = np.zeros((192, 192, 3), np.uint8)
    stripes[:, np.arange(192) // 4 % 2 > 0] = 255
    ranges = []
    for blur in (0.0, 6.0):
        out = np.full((192, 192, 3), 128, np.uint8)
        interior = replace(_grey_interior(target), blur=blur)
        driver_mouth.render(out, interior, target, target, stripes)
        lips = fit_opening(target, LIPS)
        u, v = local_coordinates(lips, (slice(0, 192), slice(0, 192)))
        upper, lower = lips.rims(u)
        inside = (u > 0.3) & (u < 0.7) & (v > upper + 0.1) & (v < lower - 0.1)
        ranges.append(np.ptp(out[inside].astype(int)))
    assert ranges[0] > 120
    assert ranges[1] < 0.4 * ranges[0]


def test_a_blurred_picture_has_faint_lines_between_lips_and_lids() -> None:
    """A thin line loses as much darkness as it gains width."""
    base = faces.make_source(192, 192)
    mesh = faces.make_target(base, mouth=0.25).points
    image = np.full((192, 192, 3), (150, 60, 60), np.uint8)
    target = faces.make_target(base, mouth=0.0).points
    darkest = []
    for blur in (0.0, 8.0):
        lips = closed_lips.prepare(image, mesh, blur=blur)
        out = image.copy()
        closed_lips.render(out, image, lips, target)
        darkest.append(150 - int(out[..., 0].min()))
    assert darkest[1] < 0.4 * darkest[0]


def test_the_mouth_is_drawn_for_the_mesh_that_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not for the skin around it, which the frame moves further."""
    source = faces.make_source()
    target = faces.make_target(source, turn=(0, 30, 0), mouth=0.5)
    assert np.abs(source.place(target.points).free - target.points).max() > 2
    drawn: list[Array] = []
    render = mouth_interior.render

    def spy(out: Image, image: Image, *others: Any) -> Any:
        drawn.append(others[2])
        return render(out, image, *others)

    monkeypatch.setattr(mouth_interior, "render", spy)
    render_frame(source, target, None)
    np.testing.assert_array_equal(drawn[0], target.points)

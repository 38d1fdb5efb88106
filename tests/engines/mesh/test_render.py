"""The renderer as a whole: what it must never do, whatever the motion."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.engines.mesh import made_faces as world
from thcli.core.types import Array32, Image
from thcli.engines.mesh.anatomy import EYES, LIPS
from thcli.engines.mesh.engine import draw
from thcli.engines.mesh.prepared_source import prepare
from thcli.faces.landmarks import topology


def person(width: int, height: int) -> Array32:
    """A head and shoulders as the network would see them, 64 x 64."""
    y, x = np.mgrid[0:64, 0:64] / 63 - 0.5
    return np.asarray(
        ((x / 0.28) ** 2 + (y / 0.38) ** 2 < 1) | ((y > 0.28) & (np.abs(x) < 0.42)), np.float32
    )


@pytest.mark.parametrize("matte", [False, True])
def test_own_mesh_gives_the_own_picture(matte: bool) -> None:
    for source in (
        world.source(person=person(256, 256) if matte else None),
        world.astronaut(matte),
    ):
        assert (source.cut is not None) == matte
        out = draw(source, world.still(source), None)
        assert out.dtype == np.uint8 and out.shape == source.picture.shape
        assert np.abs(out.astype(int) - source.picture).max() <= 1


PLAIN = world.source(plain=True)
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
    target = world.moved(source, turn=turn, grow=grow, shift=shift, mouth=mouth, lids=lids)
    out = draw(source, target, None)
    tall = 256 * 0.45 * grow
    border = round(0.06 * tall) + 3
    skin = ~world.polygon(target.points[LIPS, :2], 256, 256, border)
    for ring in EYES:  # lash lines are darker
        skin &= ~world.polygon(target.points[ring, :2], 256, 256, border)
    assert out.shape == source.picture.shape and out.dtype == np.uint8
    assert np.abs(out[skin].astype(int) - world.SKIN).max() <= 1


def test_a_face_outside_of_the_picture_leaves_it_alone() -> None:
    source = world.source()
    out = draw(source, world.moved(source, shift=(9.0, 0.0)), None)
    assert np.array_equal(out[:, :8], source.picture[:, :8])


def test_threads_and_repetition_change_nothing() -> None:
    source = world.astronaut()
    targets = [
        world.moved(source, turn=(a, 2 * a, -a), mouth=0.03 * abs(a), gaze=0.01 * a)
        for a in range(-8, 9, 2)
    ]
    alone = [draw(source, target, None) for target in targets]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda target: draw(source, target, None), targets + targets))
    for one, first, second in zip(
        alone, together[: len(alone)], together[len(alone) :], strict=True
    ):
        assert np.array_equal(one, first) and np.array_equal(one, second)


def test_the_still_surroundings_are_copied_at_4k() -> None:
    source = world.source(3840, 2160, share=0.3)
    out = draw(source, world.moved(source, turn=(3, 10, 2), mouth=0.2), None)
    assert out.shape == (2160, 3840, 3)
    assert np.array_equal(out[:, :300], source.picture[:, :300])
    assert not np.array_equal(out, source.picture)


def test_a_moving_head_leaves_the_background_still_with_a_matte() -> None:
    source = world.astronaut()
    out = draw(source, world.moved(source, turn=(0, 8, 0), shift=(0.1, 0.0)), None)
    assert source.cut is not None
    ground = source.cut.person[..., 3] == 0
    top = np.zeros_like(ground)
    top[40:150, 340:430] = True  # the shuttle's tip beside her head
    changed = np.abs(out.astype(int) - source.picture).max(-1) > 2
    assert changed[~ground].mean() > 0.05
    assert changed[ground & top].mean() < 0.01


def test_a_closed_driver_closes_an_open_mouth() -> None:
    base = world.source()
    open_mesh = world.moved(base, mouth=0.25).points
    picture = world.drawn(open_mesh, 256, 256)
    source = prepare(picture, world.face_of(open_mesh, world.irises(open_mesh)), None)
    assert source.seam is not None
    out = draw(source, world.moved(source, mouth=0.0), None)
    closed = world.moved(source, mouth=0.0).points
    lips = world.polygon(closed[topology.LIPS_OUTER, :2], 256, 256)
    assert (source.picture.min(-1) > 240).sum() > 100  # the bright inside was there
    assert (out[lips].min(-1) > 225).sum() == 0


def test_closed_lids_hide_the_eye() -> None:
    source = world.source()
    out = draw(source, world.moved(source, lids=0.02), None)
    for ring in EYES:
        around = world.polygon(source.mesh[ring, :2], 256, 256, grow=2)

        def iris(
            picture: Image, around: np.ndarray[tuple[int, ...], np.dtype[np.bool_]] = around
        ) -> int:
            return int((np.abs(picture[around].astype(int) - world.IRIS).max(-1) < 30).sum())

        assert iris(source.picture) > 30
        assert iris(out) < 0.2 * iris(source.picture)  # what is left is the lash line


def test_gaze_moves_the_iris_to_the_side_it_says() -> None:
    source = world.source(512, 512)
    places = []
    for gaze in (-0.2, 0.0, 0.2):
        out = draw(source, world.moved(source, gaze=gaze), None)
        dark = (out[..., 0] < 120) & world.polygon(source.mesh[EYES[0], :2], 512, 512)
        places.append(np.argwhere(dark)[:, 1].mean())
    width = float(np.linalg.norm(source.mesh[133, :2] - source.mesh[33, :2]))
    assert places[1] - places[0] == pytest.approx(0.2 * width, rel=0.3)
    assert places[2] - places[1] == pytest.approx(0.2 * width, rel=0.3)


def test_small_motion_makes_small_changes() -> None:
    """No shimmer: a hundredth of a degree more may not move any edge of the map by a visible step."""
    source = world.astronaut()
    one = draw(source, world.moved(source, turn=(0, 12.0, 0)), None).astype(int)
    two = draw(source, world.moved(source, turn=(0, 12.01, 0)), None).astype(int)
    assert np.abs(one - two).mean() < 0.05
    assert np.quantile(np.abs(one - two).max(-1), 0.999) <= 6

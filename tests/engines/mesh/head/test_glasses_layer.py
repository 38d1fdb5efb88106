"""Glasses as a rigid layer over a bare face."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest

from tests.engines.mesh import synthetic_faces as faces
from tests.engines.mesh.synthetic_glasses import (
    FRAME,
    MESH,
    SIDE,
    SIZE,
    STUB,
    lenses,
    source,
    turned,
    wearer,
)
from thcli.core.geometry import matrix_from_rotvec
from thcli.core.types import Array, Image
from thcli.engines.mesh.background.persons import SeenPersons
from thcli.engines.mesh.frame import render_frame
from thcli.engines.mesh.prepared_source import MeshSource, prepare
from thcli.engines.mesh.source_networks import ParsedSource
from thcli.faces.landmarks.topology import EYES, OVAL
from thcli.faces.parsing.classes import class_number
from thcli.motion.render_target import RenderTarget


def with_plate(image: Image, parsed: ParsedSource, mesh: Array) -> MeshSource:
    """Prepare a wearer as `source` does, before a plate: only face and glasses are the person."""
    person = faces.polygon_mask(mesh[OVAL, :2], SIDE, SIDE)
    person |= parsed.face.mask({class_number("eye_g")}) > 0
    return prepare(
        image, faces.make_face(mesh), SeenPersons(person.astype(np.float32)), parsed=parsed
    )


def render(own: MeshSource, points: Array) -> Image:
    return render_frame(own, RenderTarget(points, np.zeros((2, 2)), np.ones(2)), None)


def frame_columns(image: Image, rows: slice) -> npt.NDArray[np.intp]:
    """Return the columns in which rows of a picture show a frame."""
    dark = (image[rows].astype(int).max(-1) < 90).sum(0)
    return np.flatnonzero(dark > 0)


@pytest.mark.parametrize("dark", [False, True])
def test_at_rest_the_picture_is_the_source(dark: bool) -> None:
    image, parsed = wearer(MESH, dark=dark)
    own = source(image, parsed)
    assert own.glasses is not None and len(own.glasses.pieces) == 4
    assert np.abs(render(own, MESH).astype(int) - image).max() <= 2


def test_lenses_are_taken_off_and_what_is_seen_through_them_stays() -> None:
    middle = MESH[EYES[0], :2].mean(0).astype(int)
    for dark in (False, True):
        image, parsed = wearer(MESH, dark=dark)
        bare = source(image, parsed).image
        assert np.abs(bare[middle[1], middle[0]].astype(int) - faces.SKIN).max() < 30
        assert bare[parsed.face.probabilities[class_number("eye_g")] > 0].min() > 60


@pytest.mark.parametrize("degrees", [-35, 35])
def test_both_lenses_grow_narrow_in_a_turn(degrees: float) -> None:
    image, parsed = wearer(MESH)
    own = source(image, parsed)
    low = int(lenses(MESH)[0][1, 1])  # the lower rims, which no temple and no bridge meets
    rows = slice(low - 1, low + 2)
    wide = np.ptp(frame_columns(image, rows))
    columns = frame_columns(render(own, turned(MESH, degrees)), rows)
    assert 0.7 * wide < np.ptp(columns) < 0.92 * wide


def test_the_near_temple_is_a_bar_to_the_ear_and_the_far_one_is_hidden() -> None:
    image, parsed = wearer(MESH)
    own = source(image, parsed)
    points = turned(MESH, 35)
    rows = slice(int(MESH[168, 1] - 0.12 * SIZE), int(MESH[168, 1] + 0.05 * SIZE))
    shown = frame_columns(render(own, points), rows)
    without = frame_columns(render(own, MESH), rows)
    matrix = matrix_from_rotvec([0, np.radians(35), 0])
    near = 1 if matrix[0, 2] > 0 else -1
    ear, other = (points[356], points[127]) if near > 0 else (points[127], points[356])
    end, beyond = (shown.max(), shown.min()) if near > 0 else (shown.min(), shown.max())
    assert abs(end - ear[0]) < 0.15 * SIZE
    assert np.ptp(shown) > 0.9 * np.ptp(without)
    assert (beyond - other[0]) * near > -0.2 * SIZE


def test_long_hair_hides_the_temples() -> None:
    hair, points = (240, 200, 90), turned(MESH, 35)
    found = []
    for colour in (None, hair):
        image, parsed = wearer(MESH, hair=colour)
        out = render(source(image, parsed), points)
        rows = slice(int(MESH[168, 1] - 0.12 * SIZE), int(MESH[168, 1] + 0.05 * SIZE))
        found.append(frame_columns(out, rows).max())
        is_hair = np.abs(out[rows].astype(int) - hair).max(-1) < 30
    begin = np.flatnonzero(is_hair.mean(0) > 0.5)
    begin = begin[begin > points[4, 0]].min()
    assert found[1] < found[0] - 0.08 * SIZE
    assert found[1] < begin + 0.04 * SIZE


def test_a_long_temple_alone_is_lent_to_the_other_side() -> None:
    for stub, is_lent in ((0.05, False), (0.14, True)):
        image, parsed = wearer(MESH, stub=stub)
        glasses = source(image, parsed).glasses
        assert glasses is not None
        seen, made = (piece for piece in glasses.pieces if piece.outwards is not None)
        assert np.array_equal(seen.texture, made.texture) is is_lent
        opaque = made.texture[made.texture[..., 3] > 250]
        assert np.abs(np.median(opaque[:, :3], 0) - STUB).max() < 30


def test_a_rim_that_lies_on_a_lid_is_taken_off_it() -> None:
    image, parsed = wearer(MESH)
    ring = MESH[EYES[0], :2]
    row, middle = int(ring[:, 1].min() - 0.021 * SIZE), int(ring[:, 0].mean())
    reach = int(0.17 * SIZE)
    image[row - 3 : row + 1, middle - reach : middle + reach] = FRAME
    bare = source(image, parsed).image
    assert bare[row - 3 : row + 1, middle - 5 : middle + 5].max(-1).min() > 150


def test_glasses_that_hardly_differ_from_the_skin_stay_part_of_it() -> None:
    for frame, is_layer in ((FRAME, True), ((180, 130, 110), False)):
        image, parsed = wearer(MESH, frame=frame)
        own = source(image, parsed)
        assert own.rigid is not None and own.glasses is not None
        assert bool(own.glasses.pieces) is is_layer


@pytest.mark.parametrize("degrees", [25, 40])
def test_turned_sources_keep_their_glasses_in_their_skin(degrees: float) -> None:
    mesh = turned(MESH, degrees)
    image, parsed = wearer(mesh)
    own = source(image, parsed, mesh)
    assert own.glasses is not None and own.glasses.pieces == ()
    assert np.array_equal(own.image, image)


@pytest.mark.parametrize("angle", [12, -15])
def test_a_person_that_moves_takes_a_lens_beyond_the_far_outline_along(angle: float) -> None:
    mesh = turned(MESH, angle)
    image, parsed = wearer(mesh)
    own = with_plate(image, parsed, mesh)
    assert own.glasses is not None and own.glasses.pieces and own.far_side is not None
    target = RenderTarget(turned(mesh, -3 * angle), np.zeros((2, 2)), np.ones(2))
    still = render_frame(own, target, None)
    moved = render_frame(own, replace(target, body=np.array([0.0, 24.0])), None)
    rows, columns = np.nonzero(still.max(-1) < 70)
    assert len(rows) > 1000
    assert moved[rows + 24, columns].max() < 90

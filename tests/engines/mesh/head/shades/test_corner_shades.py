"""Shade in the corners of a source's mouth."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from tests.engines.mesh import synthetic_faces as faces
from thcli.core.types import Array, Image
from thcli.engines.mesh import prepared_source
from thcli.engines.mesh.anatomy import LIPS
from thcli.engines.mesh.frame import render_frame
from thcli.engines.mesh.head.shades import corner_shades
from thcli.engines.mesh.head.shades.corner_shades import ShownCorners
from thcli.engines.mesh.opening import fit_opening
from thcli.engines.mesh.prepared_source import MeshSource
from thcli.faces.landmarks.topology import LIPS_OUTER
from thcli.motion.anatomy import INNER_MOUTH_CORNERS
from thcli.motion.render_target import RenderTarget

SIDE, SHARE = 384, 0.7
BESIDE = 0.03  # widths from the outer corner to a dark spot


def spots(mesh: Array) -> Array:
    """Return the places of dark spots beside both corners of the mouth, (2, 2) pixels."""
    ends = mesh[LIPS_OUTER[[0, len(LIPS_OUTER) // 2]], :2]
    away = ends[1] - ends[0]
    return np.asarray(ends + BESIDE * np.stack([-away, away]))


def portrait(mesh: Array) -> Image:
    """Return a face whose mouth ends in dark spots."""
    image = faces.render_face(mesh, SIDE, SIDE)
    for x, y in np.rint(spots(mesh)).astype(int):
        cv2.circle(image, (int(x), int(y)), 2, (60, 30, 25), -1, cv2.LINE_AA)
    return image


def source() -> MeshSource:
    mesh = faces.centred_mesh(SIDE, SIDE, SHARE)
    return prepared_source.prepare(portrait(mesh), faces.make_face(mesh), None)


def light(image: Image, points: Array) -> npt.NDArray[np.floating]:
    """Return the least brightness within 2 pixels of points (N, 2)."""
    dark = cv2.erode(image.mean(-1).astype(np.float32), np.ones((5, 5), np.uint8))
    x, y = np.rint(points).astype(int).T
    return np.asarray(dark[y, x])


def test_spots_are_evened_and_what_is_elsewhere_is_not() -> None:
    own = source()
    assert own.corner_shades is not None
    shown = ShownCorners(own.image, own.corner_shades, 1.0)
    x, y = np.meshgrid(*(np.arange(SIDE, dtype=np.float32) for _ in range(2)))
    evened = shown.sample(np.dstack([x, y]))
    skin = float(np.mean(faces.SKIN))
    assert (light(own.image, spots(own.mesh)) < 0.4 * skin).all()
    assert (light(evened, spots(own.mesh)) > 0.7 * skin).all()
    inner = fit_opening(own.mesh, LIPS)
    u, v = np.moveaxis(inner.to_local(np.dstack([x, y])), -1, 0)
    far = np.minimum(np.hypot(u, v), np.hypot(u - 1, v)) > 0.27
    assert (evened[far] == own.image[far]).all()


@pytest.mark.parametrize("by", [(0, 0), (-130, 0), (900, 40), (0, -300), (-2000, -2000)])
def test_corners_are_evened_in_what_the_picture_has_of_them(by: tuple[int, int]) -> None:
    own = source()
    shades = own.corner_shades
    assert shades is not None
    moved = replace(shades, corner=shades.corner + np.array(by, np.float32))
    evened = moved.even(own.image)
    wide = np.pad(own.image, ((400, 400), (400, 1000), (0, 0)), mode="edge")
    whole = replace(shades, corner=moved.corner + 400).even(wide)
    np.testing.assert_array_equal(evened, whole[400:-400, 400:-1000])
    at_spots = light(evened, spots(own.mesh)) - light(own.image, spots(own.mesh))
    assert (at_spots > 20).all() == (by == (0, 0))


def test_lips_keep_their_colour() -> None:
    own = source()
    assert own.corner_shades is not None
    shown = ShownCorners(own.image, own.corner_shades, 1.0)
    ends = own.mesh[list(INNER_MOUTH_CORNERS), :2]
    lip = 0.12 * (ends[::-1] - ends) + ends + (0, 0.04 * np.ptp(ends[:, 0]))
    x, y = (part[None].astype(np.float32) for part in np.rint(lip).T)
    drawn = own.image[y.astype(int), x.astype(int)].astype(int)
    assert np.abs(shown.sample(np.dstack([x, y])).astype(int) - drawn).max() < 25


def test_a_mouth_that_neither_opens_nor_purses_keeps_its_corners() -> None:
    own = source()
    assert own.corner_shades is not None
    assert corner_shades.share(own.corner_shades, own.mesh) == 0
    out = render_frame(own, faces.rest_target(own), None)
    assert (light(out, spots(own.mesh)) < 100).all()


def test_the_share_grows_as_a_mouth_opens_or_purses() -> None:
    own = source()
    assert own.corner_shades is not None
    opened = [faces.make_target(own, mouth=gap).points for gap in (0.0, 0.1, 0.2, 0.3, 0.5)]
    narrowed = [faces.purse(own.mesh, ratio) for ratio in (1.0, 0.9, 0.8, 0.6)]
    for meshes in (opened, narrowed):
        shares = [corner_shades.share(own.corner_shades, mesh) for mesh in meshes]
        assert shares == sorted(shares)
        assert shares[0] == 0 and shares[-1] == pytest.approx(1.0)


@pytest.mark.parametrize("kind", ["open", "pursed"])
def test_spots_are_gone_from_a_frame(kind: str) -> None:
    own = source()
    mesh = (
        faces.make_target(own, mouth=0.45).points if kind == "open" else faces.purse(own.mesh, 0.6)
    )
    target = RenderTarget(mesh, np.zeros((2, 2)), np.ones(2))
    kept = render_frame(without_shades(own), target, None)
    out = render_frame(own, target, None)
    near = near_spots(mesh)
    assert float(kept[near].mean(-1).min()) < 90
    assert float(out[near].mean(-1).min()) > 120


def without_shades(own: MeshSource) -> MeshSource:
    return replace(own, corner_shades=None)


def near_spots(mesh: Array) -> npt.NDArray[np.bool_]:
    """Return the pixels around the spots of a frame, beyond the corners of the mouth."""
    near = np.zeros((SIDE, SIDE), bool)
    for x, y in np.rint(spots(mesh)).astype(int):
        near[y - 3 : y + 4, x - 2 : x + 3] = True
    return near


def test_small_mouths_have_none() -> None:
    mesh = faces.centred_mesh(64, 64, 0.6)
    assert corner_shades.prepare(faces.render_face(mesh, 64, 64), mesh) is None


@pytest.mark.parametrize(("share", "least"), [(0.35, 0.7), (0.55, 0.8), (0.7, 0.8), (0.9, 0.8)])
def test_a_spot_that_is_as_soft_as_a_small_picture_is_evened(share: float, least: float) -> None:
    mesh = faces.centred_mesh(SIDE, SIDE, share)
    image = np.asarray(cv2.GaussianBlur(portrait(mesh), (0, 0), 1.6), np.uint8)
    shades = corner_shades.prepare(image, mesh)
    assert shades is not None
    skin = float(np.mean(faces.SKIN))
    before, evened = light(image, spots(mesh)), light(shades.even(image), spots(mesh))
    assert (before < 0.55 * skin).all() and (evened > least * skin).all()

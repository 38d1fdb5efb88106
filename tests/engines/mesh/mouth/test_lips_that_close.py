"""Lips of a frame that close, part and stay shut."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from tests.engines.mesh import synthetic_faces as faces
from tests.engines.mesh.mouth.test_mouth import opened
from tests.engines.mesh.synthetic_faces import centred_mesh
from thcli.core.geometry import matrix_from_angles
from thcli.core.types import Array, Array32, Image
from thcli.engines.mesh.anatomy import LIPS
from thcli.engines.mesh.frame import render_frame
from thcli.engines.mesh.mouth import closed_lips, lip_samples, mouth_interior
from thcli.engines.mesh.opening import fit_opening, local_coordinates, to_pixels
from thcli.engines.mesh.patches.frames import composite, eye_frame, sample_patch
from thcli.engines.mesh.prepared_source import MeshSource, prepare
from thcli.faces.landmarks import topology
from thcli.motion import canonical


def test_a_closed_driver_closes_an_open_mouth() -> None:
    base = faces.make_source()
    open_mesh = faces.make_target(base, mouth=0.25).points
    image = faces.render_face(open_mesh, 256, 256)
    source = prepare(image, faces.make_face(open_mesh, faces.iris_points(open_mesh)), None)
    assert source.parted_lips is not None
    out = render_frame(source, faces.make_target(source, mouth=0.0), None)
    closed = faces.make_target(source, mouth=0.0).points
    lips = faces.polygon_mask(closed[topology.LIPS_OUTER, :2], 256, 256)
    assert (source.image.min(-1) > 240).sum() > 100  # the bright inside was there
    assert (out[lips].min(-1) > 225).sum() == 0


def shut_over(image: Image, mesh: Array, target: Array) -> tuple[Image, Array32, Array32]:
    """Close the open lips of an image; return it with u and the distance from the line, widths."""
    out = np.full_like(image, 240)
    closed_lips.render(out, image, closed_lips.prepare(image, mesh), target)
    mouth = fit_opening(target, LIPS)
    u, v = local_coordinates(mouth, (slice(0, image.shape[0]), slice(0, image.shape[1])))
    return out, u, np.abs(v - mouth.rims(u)[0])


def test_lips_that_close_are_sampled_up_to_the_line_between_them() -> None:
    """Nothing of the open mouth is left, though its landmarks lie two pixels on the teeth."""
    base = faces.make_source(512, 512)
    mesh = faces.make_target(base, mouth=0.25).points
    image = np.full((512, 512, 3), 240, np.uint8)
    ring = mesh[topology.LIPS_INNER, :2]
    wide = ring.mean(0) + 1.06 * (ring - ring.mean(0))
    image[faces.polygon_mask(mesh[topology.LIPS_OUTER, :2], 512, 512)] = (150, 60, 60)
    image[faces.polygon_mask(wide, 512, 512)] = 240
    out, u, away = shut_over(image, mesh, faces.make_target(base, mouth=0.0).points)
    inside = (u > 0.15) & (u < 0.85)
    near, far = (away < 0.03) & inside, (away > 0.5) & inside
    assert out[near][:, 1].max() < 100
    assert (out[far] == 240).all()
    seam = out[(away < 0.006) & inside].mean(0)
    assert (seam < 0.9 * np.array([150, 60, 60])).all()
    corner = out[(away < 0.03) & (u > 0.003) & (u < 0.015)]
    assert corner[:, 1].mean() > 200  # a step there would show where landmarks miss a corner


def grin() -> tuple[MeshSource, Array, Image]:
    """Return a source with shut lips, its mesh with parted ones, and a picture of these."""
    base = faces.make_source(512, 512)
    mesh = faces.make_target(base, mouth=0.25).points
    image = np.full((512, 512, 3), 240, np.uint8)
    image[faces.polygon_mask(mesh[topology.LIPS_OUTER, :2], 512, 512)] = (150, 60, 60)
    image[faces.polygon_mask(mesh[topology.LIPS_INNER, :2], 512, 512)] = 240
    return base, mesh, image


def test_no_tooth_of_a_grin_is_left_at_the_corners_of_closed_lips() -> None:
    """The source's lips are white up to .05 of the mouth's width from its corners."""
    base, mesh, image = grin()
    own = local_coordinates(fit_opening(mesh, LIPS), (slice(0, 512), slice(0, 512)))[0]
    near = (own < 0.05) & (own > -0.1) | (own > 0.95) & (own < 1.1)
    image[near & faces.polygon_mask(mesh[topology.LIPS_OUTER, :2], 512, 512)] = 240
    out, u, away = shut_over(image, mesh, faces.make_target(base, mouth=0.0).points)
    from_corner = np.minimum(u, 1 - u)
    beside = (away < 0.015) & (from_corner > 0.03) & (from_corner < 0.1)
    assert out[beside][:, 1].mean() < 80


@pytest.mark.parametrize(("width", "first"), [(1.0, 0.2), (0.7, 0.29), (0.3, 0.335)])
def test_pursed_lips_show_the_middle_of_those_of_a_grin(width: float, first: float) -> None:
    """Squeezed to their width, all of them were vertical streaks. They show .55 of it at least."""
    base, mesh, image = grin()
    own = local_coordinates(fit_opening(mesh, LIPS), (slice(0, 512), slice(0, 512)))[0]
    lips = faces.polygon_mask(mesh[topology.LIPS_OUTER, :2], 512, 512) & (image[..., 1] < 100)
    image[lips, 2] = 200 * own[lips]
    target = faces.make_target(base, mouth=0.0).points.copy()
    middle, rings = target[LIPS, 0].mean(), np.r_[LIPS, topology.LIPS_OUTER]
    target[rings, 0] = middle + width * (target[rings, 0] - middle)
    out, u, away = shut_over(image, mesh, target)
    beside = (np.abs(u - 0.2) < 0.01) & (away > 0.02) & (away < 0.04)
    assert out[beside][:, 2].mean() / 200 == pytest.approx(first, abs=0.05)


def test_lips_that_close_show_no_blurred_edge_of_teeth() -> None:
    base, mesh, image = grin()
    blurred = np.asarray(cv2.GaussianBlur(image, (0, 0), 1.0), np.uint8)
    out, u, away = shut_over(blurred, mesh, faces.make_target(base, mouth=0.0).points)
    beside = np.abs(away - 0.025) < 0.01
    assert out[beside & (u > 0.2) & (u < 0.8)][:, 1].max() < 75


def test_lips_of_a_small_mouth_that_close_keep_the_colour_of_their_inner_halves() -> None:
    """The outer halves of lips are paler; drawn up to the line they would bleach the mouth."""
    base = faces.make_source(128, 128)
    mesh = faces.make_target(base, mouth=0.25).points
    image = np.full((128, 128, 3), (200, 160, 140), np.uint8)
    inner, outer = mesh[LIPS, :2], mesh[topology.LIPS_OUTER, :2]
    image[faces.polygon_mask(inner + 0.4 * (outer - inner), 128, 128)] = (150, 60, 60)
    lips = closed_lips.prepare(image, mesh)
    target = faces.make_target(base, mouth=0.0).points
    out = image.copy()
    closed_lips.render(out, image, lips, target)
    middle = [2, 3, 4, 5, 6, 7, 8]  # of the lower lip
    places = target[LIPS, :2] + 0.2 * (target[topology.LIPS_OUTER, :2] - target[LIPS, :2])
    x, y = places[middle].round().astype(int).T
    assert np.median(out[y, x, 1]) < 80


def test_strips_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lips, the mouth's inside and painted patches are the same in strips of any height."""
    source = faces.make_source(512, 512)
    lips = closed_lips.prepare_shut(_with_dark_line(source), source.mesh)
    assert lips is not None
    target = faces.make_target(source, mouth=0.3).points
    frame = eye_frame(target, 0)
    window = np.outer(np.hanning(frame.size[1]), np.hanning(frame.size[0]))
    made = []
    for pixels in (1, 1 << 22):
        monkeypatch.setattr("thcli.engines.mesh.opening.STRIP_PIXELS", pixels)
        out = source.image.copy()
        closed_lips.render_parting(out, source.image, lips, target)
        mouth_interior.render(out, source.image, source.interior, source.mesh, target)
        composite(
            out,
            frame,
            sample_patch(out, frame),
            (-50 * window[..., None] * np.ones(3)).astype(np.float32),
        )
        made.append(out.astype(int))
    assert np.abs(made[0] - source.image).max() > 20
    assert np.abs(made[0] - made[1]).max() <= 1


def test_lips_of_a_large_mouth_part_on_a_coarse_grid_as_on_a_fine_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    source = faces.make_source(1400, 1400)
    lips = closed_lips.prepare_shut(_with_dark_line(source), source.mesh)
    assert lips is not None
    target = faces.make_target(source, mouth=0.3).points
    assert fit_opening(target, LIPS).width > 150  # pixels: 3 a sample
    made = []
    for samples in (60, 1 << 20):
        monkeypatch.setattr(lip_samples, "LIP_SAMPLES", samples)
        out = source.image.copy()
        closed_lips.render_parting(out, source.image, lips, target)
        made.append(out.astype(int))
    difference = np.abs(made[0] - made[1]).max(-1)
    changed = np.abs(made[1] - source.image).max(-1) > 1
    assert changed.any() and difference.any()
    assert difference[changed].mean() < 0.6


@pytest.mark.parametrize(("dark", "expected"), [(0.1, 1.0), (0.65, 1.0), (0.83, 0.5), (0.97, None)])
def test_a_line_between_shut_lips_is_left_out_if_it_is_darker(
    dark: float, expected: float | None
) -> None:
    source = faces.make_source(512, 512)
    lip = np.array((170, 80, 80))
    lips = closed_lips.prepare_shut(_with_dark_line(source, tuple(dark * lip)), source.mesh)
    if expected is None:
        assert lips is None
    else:
        assert lips is not None
        assert lips.share == pytest.approx(expected, abs=0.3)
        assert lips.line[:, 3:8].min() > 0.05


def test_pursed_lips_that_part_show_the_middle_of_the_sources() -> None:
    """The shade of the corners would be drawn out to streaks."""
    source = faces.make_source(512, 512, share=0.7)
    image = _with_dark_line(source)
    u = fit_opening(source.mesh, LIPS).to_local(
        np.dstack(np.meshgrid(np.arange(512), np.arange(512)))
    )[..., 0]
    outer = faces.polygon_mask(source.mesh[topology.LIPS_OUTER, :2], 512, 512)
    image[outer & (np.minimum(u, 1 - u) < 0.13)] = (20, 10, 10)
    lips = closed_lips.prepare_shut(image, source.mesh)
    assert lips is not None
    open_mouth = faces.make_target(source, mouth=0.3).points
    made = []
    for target in (open_mouth, faces.purse(open_mouth, 0.6)):
        out = np.full_like(image, 170)
        closed_lips.render_parting(out, image, lips, target)
        mouth, along = fit_opening(target, LIPS), np.array([[0.1, 0.9]], np.float32)
        below = np.asarray(mouth.rims(along)[1] + 0.03, np.float32)
        x, y = to_pixels(mouth, along, below)[0].round().astype(int).T
        made.append(float(out[y, x, 0].mean()))
    assert made[0] < 90 and made[1] > 140


def _with_dark_line(source: MeshSource, colour: tuple[float, ...] = (20, 10, 10)) -> Image:
    """Return a source's image with a dark line between its shut lips."""
    image = source.image.copy()
    line = source.mesh[LIPS[: len(LIPS) // 2 + 1], :2]
    cv2.polylines(image, [np.rint(line).astype(np.int32)], False, colour, 3)
    return image


def test_closed_lips_of_a_small_mouth_have_a_line_between_them() -> None:
    base = faces.make_source(64, 64)
    mesh = faces.make_target(base, mouth=0.25).points
    image = np.full((64, 64, 3), (150, 60, 60), np.uint8)
    lips = closed_lips.prepare(image, mesh)
    target = faces.make_target(base, mouth=0.0).points
    out = image.copy()
    closed_lips.render(out, image, lips, target)
    mouth = fit_opening(target, LIPS)
    assert mouth.width < 40
    u, v = local_coordinates(mouth, (slice(0, 64), slice(0, 64)))
    seam = (np.abs(v - mouth.rims(u)[0]) * mouth.width < 0.6) & (u > 0.2) & (u < 0.8)
    assert out[seam][:, 0].mean() < 0.8 * 150


def test_lips_of_a_turned_head_are_sampled_again_as_far_as_those_of_a_frontal_one() -> None:
    closed = centred_mesh(384, 384, 0.8)
    lips = closed_lips.prepare(np.full((384, 384, 3), 128, np.uint8), opened(closed, 0.2))
    half = opened(closed, 0.1)
    pose = canonical.decompose(half)
    turned = replace(pose, rotation=matrix_from_angles([0, 40, 0]) @ pose.rotation)
    shares = [closed_lips.made_share(lips, one) for one in (half, np.asarray(turned.mesh()))]
    assert 0.2 < shares[0] < 0.9
    assert shares[1] == pytest.approx(shares[0], abs=0.1)

"""Mouths that a source video shows: which are kept, and how they are shown again."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from tests.engines.mesh import synthetic_faces as faces
from thcli.core.types import Array, Image
from thcli.engines.mesh.anatomy import LIPS
from thcli.engines.mesh.mouth import lip_rims, seen_mouths
from thcli.engines.mesh.opening import fit_opening, local_coordinates
from thcli.faces.landmarks.topology import LIPS_OUTER


def mouth_mesh(gap: float) -> Array:
    """Return a mesh whose inner lips are `gap` widths apart."""
    mesh = faces.centred_mesh(256, 256, 0.8)
    width = float(np.linalg.norm(mesh[LIPS[0], :2] - mesh[LIPS[10], :2]))
    curve = np.sin(np.linspace(0, np.pi, 11))
    mesh[LIPS[:11], 1] += gap * width * curve
    mesh[LIPS[11:], 1] -= 0.01
    return mesh


def test_a_seen_mouth_is_shown_unchanged_at_its_own_opening() -> None:
    generator = np.random.default_rng(4)
    image = generator.integers(40, 200, (256, 256, 3)).astype(np.uint8)
    mesh = mouth_mesh(0.3)
    seen = seen_mouths.extract(image, mesh)
    assert seen is not None
    mouths = seen_mouths.collect([seen])
    assert mouths is not None and seen_mouths.collect([]) is None
    whole = (slice(0, 256), slice(0, 256))
    lips = fit_opening(mesh, LIPS)
    u, v = local_coordinates(lips, whole)
    rims = lips.rims(u)
    inside = (v > rims[0]) & (v < rims[1]) & (u > 0.05) & (u < 0.95)
    shown = mouths.render((u, v), rims, lips.gap, seen.tone)
    assert np.abs(shown[inside] - image[inside]).max() < 1.5
    assert mouths.share(lips.gap) == 1 and mouths.share(10 * lips.gap) == 0


def test_teeth_keep_their_size_in_a_wider_mouth() -> None:
    """The upper half of what was seen is as high in a mouth that opens twice as far."""
    narrow, wide = mouth_mesh(0.2), mouth_mesh(0.4)
    image = np.zeros((256, 256, 3), np.uint8)
    lips = fit_opening(narrow, LIPS)
    whole = (slice(0, 256), slice(0, 256))
    u, v = local_coordinates(lips, whole)
    upper, lower = lips.rims(u)
    image[v < (upper + lower) / 2] = 220  # teeth down to the middle
    seen = seen_mouths.extract(image, narrow)
    assert seen is not None
    target = fit_opening(wide, LIPS)
    u, v = local_coordinates(target, whole)
    rims = target.rims(u)
    shown = seen_mouths.SeenMouths((seen,)).render((u, v), rims, target.gap, seen.tone)
    column = int(wide[13, 0])
    between = ((v > rims[0]) & (v < rims[1]))[:, column]
    teeth = (shown[:, column].mean(-1) > 110) & between
    assert teeth.sum() / between.sum() == pytest.approx(0.25, abs=0.06)


def test_a_much_wider_mouth_shows_the_tongue_between_the_seen_teeth() -> None:
    mesh = mouth_mesh(0.2)
    image = np.full((256, 256, 3), (180, 70, 75), np.uint8)
    cv2.fillPoly(image, [mesh[LIPS, :2].round().astype(np.int32)], (30, 20, 20))
    seen = seen_mouths.extract(image, mesh)
    assert seen is not None
    mouths = seen_mouths.SeenMouths((seen,))
    assert not mouths.shows_cavity(0.22) and mouths.shows_cavity(0.4)
    found = {}
    for gap in (0.22, 0.4):
        target = fit_opening(mouth_mesh(gap), LIPS)
        u, v = local_coordinates(target, (slice(0, 256), slice(0, 256)))
        rims = target.rims(u)
        cavity = np.full((256, 256, 3), (140, 60, 60), np.float32)
        shown = [
            mouths.render((u, v), rims, target.gap, seen.tone, below) for below in (None, cavity)
        ]
        middle = (abs(v - (rims[0] + 3 * rims[1]) / 4) < 0.02) & (abs(u - 0.5) < 0.1)
        found[gap] = [float(np.median(picture[middle][:, 0])) for picture in shown]
    assert found[0.22][0] == pytest.approx(found[0.22][1], abs=2)
    assert found[0.4][0] < 40 and found[0.4][1] > 90


def test_a_mouth_that_is_all_lip_is_not_kept() -> None:
    mesh = mouth_mesh(0.2)
    image = np.full((256, 256, 3), (180, 70, 75), np.uint8)
    assert seen_mouths.extract(image, mesh) is None
    cv2.fillPoly(image, [mesh[LIPS, :2].round().astype(np.int32)], (30, 20, 20))
    assert seen_mouths.extract(image, mesh) is not None


def test_lip_between_the_landmarks_is_no_inside() -> None:
    mesh, whole = mouth_mesh(0.3), (slice(0, 256), slice(0, 256))
    lips = fit_opening(mesh, LIPS)
    u, v = local_coordinates(lips, whole)
    rims = lips.rims(u)
    inside = (v > rims[0]) & (v < rims[0] + 0.6 * (rims[1] - rims[0]))
    image = np.full((256, 256, 3), (180, 70, 75), np.uint8)
    image[inside & (u > 0) & (u < 1)] = (30, 20, 20)
    seen = seen_mouths.extract(image, mesh)
    assert seen is not None
    assert 0.45 * lips.gap < seen.lips.gap < 0.6 * lips.gap
    target = fit_opening(mouth_mesh(0.15), LIPS)
    u, v = local_coordinates(target, whole)
    rims = target.rims(u)
    between = (v > rims[0]) & (v < rims[1]) & (abs(u - 0.5) < 0.2)
    shown = seen_mouths.SeenMouths((seen,)).render((u, v), rims, target.gap, seen.tone)
    assert np.quantile(shown[between][:, 0], 0.95) < 60


@pytest.mark.parametrize(
    ("seen_gap", "gaps"), [(0.06, (0.015, 0.035, 0.06)), (0.3, (0.015, 0.035, 0.12))]
)
def test_teeth_fade_to_the_dark_of_the_mouth_in_a_slit(
    seen_gap: float, gaps: tuple[float, ...]
) -> None:
    """A slit is as narrow after a clip that shows wide mouths alone."""
    mesh = mouth_mesh(seen_gap)
    image = np.full((256, 256, 3), (180, 70, 75), np.uint8)
    cv2.fillPoly(image, [mesh[LIPS, :2].round().astype(np.int32)], (220, 218, 210))
    seen = seen_mouths.extract(image, mesh)
    assert seen is not None
    seen = replace(seen, dark=np.full(3, 20.0))
    light = []
    for gap in gaps:
        target = fit_opening(mouth_mesh(gap), LIPS)
        u, v = local_coordinates(target, (slice(0, 256), slice(0, 256)))
        rims = target.rims(u)
        shown = seen_mouths.SeenMouths((seen,)).render((u, v), rims, target.gap, seen.tone)
        light.append(float(np.median(shown[(v > rims[0]) & (v < rims[1]) & (abs(u - 0.5) < 0.2)])))
    assert light[0] < 25 and light[0] < light[1] < light[2] and light[2] > 200


def test_frames_of_every_opening_are_chosen() -> None:
    gaps = np.linspace(0, 0.5, 200)
    groups = seen_mouths.choose_frames(gaps, np.zeros((200, 3)), np.ones(200, bool))
    chosen = np.concatenate(groups)
    assert 3 <= len(groups) <= seen_mouths.LEVELS and gaps[chosen].max() > 0.4
    assert max(map(len, groups)) == seen_mouths.CANDIDATES
    assert (gaps[chosen] > 0.04).all() and len(set(chosen.tolist())) == len(chosen)
    assert not seen_mouths.choose_frames(0 * gaps, np.zeros((200, 3)), np.ones(200, bool))


def test_a_blurred_mouth_is_not_kept() -> None:
    mesh = mouth_mesh(0.3)
    image = np.full((256, 256, 3), 150, np.uint8)
    cv2.fillPoly(image, [mesh[LIPS, :2].round().astype(np.int32)], (30, 20, 20))
    blurred = np.asarray(cv2.GaussianBlur(image, (0, 0), 6), np.uint8)
    found = [seen_mouths.extract(picture, mesh) for picture in (blurred, image)]
    sharp, others = found[1], [mouth for mouth in found if mouth is not None]
    assert seen_mouths.sharpest(others) is sharp and seen_mouths.sharpest(others[::-1]) is sharp


def teeth_between_lips(mesh: Array) -> Image:
    """Draw a mouth with a row of teeth over the dark, lips and skin of (180, 70, 75)."""
    lips = fit_opening(mesh, LIPS)
    u, v = local_coordinates(lips, (slice(0, 256), slice(0, 256)))
    upper, lower = lips.rims(u)
    image = np.full((256, 256, 3), (180, 70, 75), np.uint8)
    inside = (v > upper) & (v < lower) & (u > 0) & (u < 1)
    image[inside] = (40, 25, 25)
    image[inside & (v < (upper + lower) / 2) & (np.sin(40 * u) > -0.9)] = (215, 210, 200)
    return image


def pushed_out_lips(mesh: Array) -> Image:
    """Draw lips that are pushed out around a soft dark: a hole without an edge or a tooth."""
    image = np.full((256, 256, 3), (180, 70, 75), np.uint8)
    cv2.fillPoly(image, [mesh[LIPS, :2].round().astype(np.int32)], (30, 12, 12))
    return np.asarray(cv2.GaussianBlur(image, (0, 0), 5), np.uint8)


def test_teeth_are_kept_before_lips_that_are_pushed_out() -> None:
    mesh = mouth_mesh(0.2)
    found = [
        seen_mouths.extract(picture, mesh)
        for picture in (teeth_between_lips(mesh), pushed_out_lips(mesh))
    ]
    teeth, hole = found
    assert teeth is not None and hole is not None
    # whose rims alone may stand out more: both lie in the shade
    hole = replace(hole, contrast=1.3 * teeth.contrast)
    assert seen_mouths.sharpest([hole, teeth]) is teeth


def test_a_level_that_shows_no_detail_is_left_to_its_neighbours() -> None:
    sharp = [seen_mouths.extract(teeth_between_lips(m), m) for m in map(mouth_mesh, (0.1, 0.2))]
    mesh = mouth_mesh(0.3)
    vague = seen_mouths.extract(pushed_out_lips(mesh), mesh)
    mouths = [mouth for mouth in (vague, *sharp) if mouth is not None]
    assert len(mouths) == 3
    collected = seen_mouths.collect(mouths)
    assert collected is not None
    assert collected.mouths == tuple(sharp)


def test_the_rim_of_a_lip_begins_beyond_teeth_that_the_landmarks_miss() -> None:
    mesh = mouth_mesh(0.3)
    image = np.full((256, 256, 3), (150, 60, 60), np.uint8)
    inner, outer = mesh[LIPS, :2], mesh[LIPS_OUTER, :2]
    covered = inner + 0.3 * (outer - inner)
    cv2.fillPoly(image, [np.rint(covered * 16).astype(np.int32)], (230, 228, 225), shift=4)
    moved = lip_rims.exclude_teeth(image, mesh, 1.0)
    middle = [3, 4, 5, 6, 7]  # of the lower lip
    height = np.linalg.norm(outer - inner, axis=1)[middle]
    share = np.linalg.norm(moved[LIPS, :2] - inner, axis=1)[middle] / height
    assert share.min() > 0.17 and share.max() < 0.45
    plain = lip_rims.exclude_teeth(np.full_like(image, (150, 60, 60)), mesh, 1.0)
    shift = np.linalg.norm(plain[LIPS, :2] - inner, axis=1)[middle] / height
    np.testing.assert_allclose(shift, lip_rims.LEAST_SHARE, atol=0.01)
    assert np.array_equal(lip_rims.exclude_teeth(image, mesh, 0.0), mesh)

"""Lashes of shut eyes, which the upper lids take along as they open."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from tests.engines.mesh import synthetic_faces as faces
from thcli.core.types import Array, Image
from thcli.engines.mesh import anatomy, opening
from thcli.engines.mesh.eyes import hanging_lashes
from thcli.engines.mesh.frame import render_frame
from thcli.engines.mesh.prepared_source import MeshSource, prepare
from thcli.faces.landmarks import topology

SIZE = 512


def shut_mesh() -> Array:
    mesh = faces.centred_mesh(SIZE, SIZE)
    for lid in topology.LIDS:
        mesh[lid.upper] = mesh[lid.lower] - (0, 0.3, 0)
    return mesh


def with_lashes(mesh: Array, depth: float, light: float = 0.3) -> Image:
    """Return plain skin on which lashes hang below shut lids, in widths of the eye."""
    image = np.full((SIZE, SIZE, 3), faces.SKIN, np.uint8)
    for ring in anatomy.EYES:
        lids = mesh[ring[:9], :2]
        down = opening.fit_opening(mesh, ring).axes[1]
        sag = np.sin(np.linspace(0, np.pi, 9))[:, None]
        band = np.concatenate([lids - 0.01 * down, (lids + depth * sag * down)[::-1]])
        colour = tuple(int(light * channel) for channel in faces.SKIN)
        cv2.fillPoly(image, [np.rint(band).astype(np.int32)], colour)
    return image


def source_of(image: Image, mesh: Array) -> MeshSource:
    return prepare(image, faces.make_face(mesh, faces.iris_points(mesh)), None)


@pytest.mark.parametrize("depth", [0.07, 0.12])
def test_lashes_are_measured_to_their_ends(depth: float) -> None:
    mesh = shut_mesh()
    for ring in anatomy.EYES:
        lashes = hanging_lashes.measure(with_lashes(mesh, depth), mesh, ring)
        width = opening.fit_opening(mesh, ring).width
        ends = depth + hanging_lashes.MARGIN
        assert np.linalg.norm(lashes.below[3]) / width == pytest.approx(ends, abs=0.03)
        assert lashes.reach.max() == pytest.approx(ends, abs=0.03)


@pytest.mark.parametrize("light", [1.0, 0.9])
def test_skin_and_its_shade_are_no_lashes(light: float) -> None:
    mesh = shut_mesh()
    image = with_lashes(mesh, 0.15, light)
    for ring in anatomy.EYES:
        assert not hanging_lashes.measure(image, mesh, ring).below.any()


def test_a_fold_below_the_eye_is_none_of_them() -> None:
    mesh = shut_mesh()
    image = with_lashes(mesh, 0.06)
    for ring in anatomy.EYES:
        down = opening.fit_opening(mesh, ring).axes[1]
        fold = np.rint(mesh[ring[:9], :2] + 0.12 * down).astype(np.int32)
        cv2.polylines(image, [fold], isClosed=False, color=(60, 40, 30), thickness=1)
        lashes = hanging_lashes.measure(image, mesh, ring)
        assert np.linalg.norm(lashes.below[3]) < 0.1 * np.linalg.norm(down)


def test_lashes_lie_above_an_eye_that_opens() -> None:
    """They stayed below it, as a black rim."""
    mesh = shut_mesh()
    source = source_of(with_lashes(mesh, 0.1), mesh)
    rest = faces.rest_target(source)
    awake = faces.centred_mesh(SIZE, SIZE)
    out = render_frame(source, replace(rest, points=awake), None).mean(-1)
    skin = np.mean(faces.SKIN)
    for ring in anatomy.EYES:
        eye = opening.fit_opening(awake, ring)
        column = np.array([0.5], np.float32)
        upper, lower = eye.rims(column)
        below, above = (
            out[y, x]
            for x, y in np.rint(
                opening.to_pixels(
                    eye, column.repeat(2), np.array([lower[0] + 0.06, upper[0] - 0.03], np.float32)
                )
            ).astype(int)
        )
        assert below > 0.85 * skin and above < 0.8 * skin


def test_lashes_of_eyes_that_stay_shut_stay_where_they_are() -> None:
    mesh = shut_mesh()
    image = with_lashes(mesh, 0.1)
    source = source_of(image, mesh)
    out = render_frame(source, faces.rest_target(source), None)
    for ring in anatomy.EYES:
        near = faces.polygon_mask(mesh[ring, :2], SIZE, SIZE, grow=8)
        assert np.abs(out[near].astype(int) - image[near]).max() <= 2


def test_open_eyes_have_none() -> None:
    source = faces.make_source()
    lashes, texture = [eye.hanging for eye in source.eyes], source.mesh[:, :2]
    assert lashes == [None, None]
    assert hanging_lashes.carry(texture, lashes, source.mesh) is texture

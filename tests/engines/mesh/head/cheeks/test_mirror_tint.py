"""Colours of a mirror image, which takes the light of the source's other side."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.engines.mesh import synthetic_faces as faces
from tests.engines.mesh.head.cheeks.turned_source import SIDE, source
from thcli.core.types import Image
from thcli.engines.mesh import warp
from thcli.engines.mesh.background.matte import MatteLayers
from thcli.engines.mesh.frame import render_frame
from thcli.engines.mesh.head.cheeks import mirror_blend, mirror_tint
from thcli.engines.mesh.head.cheeks.mirror_blend import MirrorSamples


def tinted(person: Image, hair_from: int, kept: float = 1.0, light: float = 1.0) -> Image:
    """Tint a person red, whose hair lies right of a column and is kept up to a share.

    light: of that hair over its own.
    """
    turned = source(30.0)
    assert turned.far_side is not None
    mesh, size = turned.far_side.mesh, (SIDE, SIDE)
    texture = warp.TexturePositions(mesh[:, :2], mesh[:, :2])
    own_map = warp.build_map(mesh, turned.far_side.surroundings, mesh, texture, size, turned.step)
    assert own_map is not None
    grid = mirror_tint.picture_grid(own_map, size)
    hair = np.zeros((grid.rows, grid.columns), np.float32)
    hair[:, grid.pixel_axes()[0] > hair_from] = 1
    log_gains = np.broadcast_to(np.log((1.5, 1.0, 0.5)), (468, 3))
    out = person.copy()
    lit = np.full((*hair.shape, 3), np.log(light), np.float32)
    cut = 1 - hair * (1 - np.float32(kept))
    mirror_tint.tint(out, mesh, own_map, log_gains, (hair, lit), cut)
    return out


def test_a_person_is_tinted_but_for_its_hair() -> None:
    person = np.full((SIDE, SIDE, 4), (100, 100, 100, 255), np.uint8)
    out = tinted(person, 250)
    assert np.abs(out[:, :230].astype(int) - (150, 100, 50, 255)).max() <= 1
    assert np.array_equal(out[:, 270:], person[:, 270:])
    dark = tinted(person, 250, light=0.5)
    assert np.array_equal(dark[:, :230], out[:, :230])
    assert np.abs(dark[:, 270:].astype(int) - (50, 50, 50, 255)).max() <= 1


def test_hair_that_is_cut_off_is_gone_with_its_alpha() -> None:
    person = np.full((SIDE, SIDE, 4), (100, 100, 100, 255), np.uint8)
    out = tinted(person, 250, 0.0)
    assert (out[:, 270:] == 0).all()
    np.testing.assert_array_equal(out[:, :230], tinted(person, 250)[:, :230])


def test_colours_stay_no_brighter_than_alpha() -> None:
    person = np.full((SIDE, SIDE, 4), (100, 100, 100, 120), np.uint8)
    out = tinted(person, SIDE)
    assert (out[..., :3] <= out[..., 3:]).all() and (out[..., 3] == 120).all()
    assert out[..., 0].min() == 120


def test_the_mirror_image_of_a_source_has_the_light_of_its_other_side() -> None:
    lit = source(30.0)
    assert lit.far_side is not None and lit.layers is not None and lit.hidden_cheek is not None
    flipped = lit.layers.person[:, ::-1].astype(int)
    change = np.abs(lit.far_side.person.astype(int) - flipped)[flipped[..., 3] == 255]
    most = np.abs(lit.hidden_cheek.gains - 1).max() * 255
    assert 0.1 * most < change.max() <= most + 1


def test_shares_that_hardly_show_are_none_and_nearly_whole_ones_whole(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shares: list[MirrorSamples] = []

    def keep(out: Image, alpha: Image | None, layers: MatteLayers, samples: MirrorSamples) -> None:
        shares.append(samples)

    monkeypatch.setattr(mirror_blend, "blend", keep)
    turned = source(30.0)
    render_frame(turned, replace(faces.make_target(turned, turn=(0, -45, 0)), body=None), None)
    share = shares[0].share
    assert share.max() == 1 and share.min() == 0
    assert (share == 1).sum() > 20 and ((share > 0) & (share < 0.002)).mean() < 0.02

"""Tests of the remover: parts of the atlas, the prior, the network and the painter."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from thcli.core.errors import NoFaceError, UsageError
from thcli.core.geometry import matrix_from_angles
from thcli.core.protocols import Painter
from thcli.core.types import Array32, Face, Image
from thcli.editors.atlas import tone
from thcli.editors.atlas.removers.bare_skin import limit_hue
from thcli.editors.atlas.removers.network import RemoverNet, create_networks
from thcli.editors.atlas.removers.painter import FEMALE, REMOVED_AS, SIDE, RemoverPainter
from thcli.editors.atlas.removers.parts import (
    COLUMNS,
    PARTS,
    REMOVABLE,
    ROWS,
    PartName,
    code_texture,
    condition_row,
    decode_texture,
    mouth_opening,
    part_places,
    part_ramp,
    unroll_face,
    zone_mask,
)
from thcli.editors.atlas.removers.prior import PartPrior, coarse_size, learn_prior, removal_zone
from thcli.faces.landmarks.topology import EYES, OVAL
from thcli.faces.parsing.classes import CLASSES, class_number
from thcli.faces.parsing.polygon import polygon_coverage
from thcli.motion.canonical import neutral

SKIN = (180, 140, 120)


def make_face(yaw: float = 0.0, dark: bool = False) -> tuple[Image, Face, Array32]:
    """Return a crop of a plain face, with a dark band across the chin, its mesh and regions."""
    mesh = 140 * neutral() @ matrix_from_angles([0.0, yaw, 0.0]).T + (256, 230, 0)
    face = polygon_coverage(mesh[OVAL, :2], (SIDE, SIDE))
    regions = np.zeros((len(CLASSES), SIDE, SIDE), np.float32)
    regions[class_number("skin")], regions[0] = face, 1 - face
    noise = np.random.default_rng(2).normal(0, 2, (SIDE, SIDE, 1))
    crop = np.where(face[..., None] > 0.5, SKIN, (60, 90, 140)) + noise
    if dark:
        crop[340:] *= 0.45
    box = np.array([*mesh[:, :2].min(0), *mesh[:, :2].max(0)], np.float32)
    image = np.clip(crop, 0, 255).astype(np.uint8)
    return image, Face(box, 1.0, mesh=mesh.astype(np.float32)), regions


def skin_priors() -> dict[PartName, PartPrior]:
    """Return priors that know plain skin and its brightness."""
    plain = tone.to_log(np.array(SKIN, np.uint8))
    out: dict[PartName, PartPrior] = {}
    for part in PARTS:
        size = coarse_size(part)
        basis = np.full((1, size), 1 / np.sqrt(size), np.float32)
        spread = np.array([0.3 * np.sqrt(size)], np.float32)
        out[part] = PartPrior(np.tile(plain, size // 3), basis, spread)
    return out


def painter(logit: float = 9.0) -> RemoverPainter:
    """Return a painter that removes everywhere: the prior, or make-up that darkened the skin."""
    torch.manual_seed(0)
    networks = create_networks(8)
    for network in networks.values():
        network.eval().requires_grad_(False)
        network.out.weight.zero_()
        bias = network.out.bias
        assert bias is not None
        bias.zero_()
        bias[12:] = logit + 1
        if network is networks["makeup"]:
            bias[:12] = 0.1
    return RemoverPainter(networks, skin_priors())


def remove(crop: Image, face: Face, regions: Array32, strengths: dict[str, float]) -> Image:
    one = painter()
    seen = one.measure_appearance([crop], [face], regions[None])[0]
    return one.paint([crop], [face], regions[None], one.prepare(seen, strengths))[0].image


def test_it_is_a_painter() -> None:
    one = painter()
    assert isinstance(one, Painter) and one.averaged_only and one.crop_size == SIDE
    assert set(one.attributes) == {*REMOVED_AS, FEMALE}
    assert set(REMOVED_AS.values()) <= set(REMOVABLE)


def test_parts_lie_in_the_atlas_and_share_their_overlap() -> None:
    for name, part in PARTS.items():
        assert part.top + part.height <= ROWS and part.left + part.width <= COLUMNS
        ramp, places = part_ramp(name), part_places(name)
        assert ramp.shape == (part.height, part.width) and ramp.max() == 1 and ramp.min() >= 0
        assert places.shape == (2, part.height, part.width) and np.abs(places).max() <= 1
    both = np.zeros((ROWS, COLUMNS), np.float32)
    for name, part in PARTS.items():
        both[part.window] += part_ramp(name)
    seam = slice(PARTS["lower"].top, PARTS["eyes"].top + PARTS["eyes"].height)
    assert np.allclose(both[seam, 80:200], 1, atol=0.01)


def test_textures_are_stored_within_half_a_level() -> None:
    texture = np.random.default_rng(0).uniform(tone.LOW, tone.HIGH, (9, 7, 3)).astype(np.float32)
    step = (tone.HIGH - tone.LOW) / 255
    assert np.abs(decode_texture(code_texture(texture)) - texture).max() <= 0.51 * step


def test_a_face_is_unrolled_at_the_same_place_in_any_pose() -> None:
    for yaw in (0.0, 20.0):
        crop, face, regions = make_face(yaw)
        assert face.mesh is not None
        texture, weight = unroll_face(crop, face.mesh.astype(float), regions[1])
        middle = texture[150:170, 135:150]
        assert weight[150:170, 135:150].min() > 0.9
        assert np.abs(middle.mean((0, 1)) - tone.to_log(np.array(SKIN, np.uint8))).max() < 0.03


def test_the_prior_explains_what_is_not_removed() -> None:
    """A dark zone is an outlier: the fit is that of the rest."""
    part = PARTS["lower"]
    rng = np.random.default_rng(1)
    faces = rng.normal(-0.6, 0.2, (24, 1, 1, 3)) * np.ones((1, part.height, part.width, 1))
    prior = learn_prior("lower", faces.astype(np.float32))
    worn = faces[0].astype(np.float32) - 0.8 * removal_zone("lower", "beard")[..., None]
    weight = np.ones(worn.shape[:2], np.float32)
    fitted = prior.fit("lower", worn, weight, "beard")
    assert np.abs(fitted - faces[0]).mean() < 0.1 < np.abs(worn - faces[0]).mean()


def test_the_network_takes_any_size_and_nothing_where_the_mask_is_empty() -> None:
    torch.manual_seed(1)
    network = RemoverNet(8).eval()
    for height, width in ((40, 88), (56, 96), (17, 30)):
        texture = torch.randn(2, 3, height, width)
        rest = torch.rand(2, 1, height, width), torch.eye(3)[:2], torch.zeros(2, 2, height, width)
        found = network(texture, texture * 0.5, *rest)
        assert found.target.shape == texture.shape and found.mask.shape == rest[0].shape
        assert (found.apply(texture) - texture).abs().max() > 0
        assert torch.equal(found._replace(mask=found.mask * 0).apply(texture), texture)


def test_a_dark_chin_becomes_skin_and_the_rest_stays() -> None:
    crop, face, regions = make_face(dark=True)
    out = remove(crop, face, regions, {"beard": -1.0})
    chin, brow = (slice(345, 370), slice(246, 266)), (slice(150, 180), slice(230, 280))
    bare = make_face()[0]
    before = np.abs(crop[chin].astype(float) - bare[chin]).mean()
    assert np.abs(out[chin].astype(float) - bare[chin]).mean() < 0.3 * before
    assert (out[brow] == crop[brow]).all() and (out[:40] == crop[:40]).all()


def test_strength_scales_the_removal() -> None:
    crop, face, regions = make_face(dark=True)
    changes = [
        np.abs(remove(crop, face, regions, {"beard": s}).astype(float) - crop).mean()
        for s in (-0.3, -0.6, -1.0, -2.0)
    ]
    assert 0 < changes[0] < changes[1] < changes[2] == changes[3]


def test_a_woman_has_no_beard() -> None:
    crop, face, regions = make_face(dark=True)
    shaved = remove(crop, face, regions, {"beard": -1.0})
    assert (remove(crop, face, regions, {"female": 1.0}) == shaved).all()
    assert (remove(crop, face, regions, {"female": 1.0, "beard": -0.5}) == shaved).all()
    assert (remove(crop, face, regions, {"female": -1.0}) == crop).all()


def test_a_woman_without_a_beard_keeps_her_skin() -> None:
    """A bare face changes by less than a level, though the network removes everywhere."""
    crop, face, regions = make_face()
    change = np.abs(remove(crop, face, regions, {"female": 1.0}).astype(float) - crop)
    assert change[regions[1] > 0].mean() < 1


def test_a_moustache_is_removed_from_the_upper_lip_alone() -> None:
    assert zone_mask("moustache").max() > 0.9 and zone_mask("beard").min() == 1
    crop, face, regions = make_face(dark=True)
    changed = (remove(crop, face, regions, {"moustache": -1.0}) != crop).any(-1)
    assert not changed[380:].any()


def test_the_batch_changes_nothing() -> None:
    one = painter()
    faces = [make_face(yaw, dark=True) for yaw in (0.0, 15.0, -10.0)]
    crops, meshes, regions = (
        [f[0] for f in faces],
        [f[1] for f in faces],
        np.stack([f[2] for f in faces]),
    )
    seen = one.measure_appearance(crops, meshes, regions)
    prepared = one.prepare(seen.mean(0), {"beard": -1.0, "makeup": -1.0, "eyeglasses": -1.0})
    together = one.paint(crops, meshes, regions, prepared)
    for n in range(3):
        alone = one.paint([crops[n]], [meshes[n]], regions[n : n + 1], prepared)[0]
        assert (alone.image == together[n].image).all()
        assert np.array_equal(
            one.measure_appearance([crops[n]], [meshes[n]], regions[n : n + 1])[0], seen[n]
        )


def test_refusals() -> None:
    crop, face, regions = make_face()
    one = painter()
    seen = one.measure_appearance([crop], [face], regions[None])[0]
    for strengths in ({"beard": 1.0}, {"hat": -1.0}):
        with pytest.raises(UsageError, match="cannot add"):
            one.prepare(seen, strengths)
    dark = crop.copy()
    dark[215:250] = 12
    seen = one.measure_appearance([dark], [face], regions[None])[0]
    with pytest.raises(UsageError, match="dark"):
        one.prepare(seen, {"eyeglasses": -1.0})
    with pytest.raises(NoFaceError, match="mesh"):
        one.measure_appearance([crop], [replace(face, mesh=None)], regions[None])


def test_conditions_are_one_hot() -> None:
    rows = np.stack([condition_row(name) for name in REMOVABLE])
    assert (rows == np.eye(len(REMOVABLE))).all()


def test_make_up_comes_off_with_the_detail_of_the_skin() -> None:
    """Its network changes the texture, not the smooth prior, and leaves teeth alone."""
    torch.manual_seed(0)
    network = RemoverNet(8, opaque=False).eval().requires_grad_(False)
    network.out.weight.zero_()
    assert network.out.bias is not None
    network.out.bias.zero_()
    network.out.bias[:4], network.out.bias[12:] = 0.2, 9.0  # lighter red
    crop, face, regions = make_face()
    crop = np.clip(crop + np.random.default_rng(0).normal(0, 6, crop.shape), 0, 255)
    crop = np.asarray(crop, np.uint8)
    one = RemoverPainter({"worn": RemoverNet(8), "makeup": network}, skin_priors())
    seen = one.measure_appearance([crop], [face], regions[None])[0]
    prepared = one.prepare(seen, {"makeup": -1.0})
    assert prepared is not None and not prepared.solid.any()
    assert face.mesh is not None
    x, y = face.mesh[[50, 13], :2].astype(int).T  # a cheek, the seam of the lips
    out = one.paint([crop], [face], regions[None], prepared)[0].image.astype(float)
    cheek = slice(y[0] - 8, y[0] + 8), slice(x[0] - 8, x[0] + 8)
    factor = (out[cheek][..., 0] + 15.3) / (crop[cheek][..., 0] + 15.3)
    assert abs(factor.mean() - np.exp(0.2)) < 0.02 and factor.std() < 0.01
    assert (out[cheek][..., 1] == crop[cheek][..., 1]).all()
    opening = mouth_opening()
    assert opening.max() > 0.7
    assert np.abs(prepared.gain[opening > 0.7]).max() < 0.35 * np.abs(prepared.gain).max()


def test_make_up_leaves_the_skin_below_glasses() -> None:
    """It is removed beside what hides the skin, in either order."""
    crop, face, regions = make_face()
    assert face.mesh is not None
    y = int(face.mesh[5, 1])  # the bridge of the nose
    crop[y : y + 6] = 20
    one = painter()
    seen = one.measure_appearance([crop], [face], regions[None])[0]
    strengths = {"eyeglasses": -1.0, "makeup": -1.0}
    first, last = (
        one.prepare(seen, {name: strengths[name] for name in order})
        for order in (("makeup", "eyeglasses"), ("eyeglasses", "makeup"))
    )
    assert first is not None and last is not None and (first.solid > 0.5).any()
    assert np.allclose(first.solid, last.solid) and np.allclose(first.target, last.target)
    assert np.abs(first.gain).max() > 0 and np.allclose(first.gain, last.gain, atol=1e-5)


def test_lenses_that_hide_the_eyes_are_refused() -> None:
    crop, face, regions = make_face()
    assert face.mesh is not None
    tinted = crop.copy()
    top = int(face.mesh[105, 1])  # a brow
    tinted[top - 5 : top + 70] = (40, 32, 30)
    with pytest.raises(UsageError, match="dark"):
        remove(tinted, face, regions, {"eyeglasses": -1.0})


def test_skin_below_a_beard_has_the_hue_of_the_bare_skin() -> None:
    one, size = PARTS["lower"].window, (ROWS, COLUMNS)
    texture = np.tile(tone.to_log(np.array((120, 70, 50), np.uint8)), (*size, 1))
    mask = np.zeros((PARTS["lower"].height, PARTS["lower"].width), np.float32)
    mask[mask.shape[0] // 2 :] = 1
    grey = np.full_like(texture[one], float(texture[0, 0] @ tone.LUMA))
    seen = np.ones(size, np.float32)
    found = limit_hue(grey, texture, seen, mask, one)
    corner = found[-1, 0]
    assert corner @ tone.LUMA == pytest.approx(grey[-1, 0] @ tone.LUMA, abs=1e-3), "its brightness"
    assert np.abs(corner - texture[0, 0]).max() < 0.06 < np.abs(grey[-1, 0] - texture[0, 0]).max()
    unseen = np.zeros(size, np.float32)
    assert (limit_hue(grey, texture, unseen, mask, one) == grey).all(), "nothing is known"


@pytest.mark.parametrize(("level", "said"), [(170, "mirrored"), (40, "dark")])
def test_lenses_behind_which_no_eyes_are_parsed_are_refused(level: int, said: str) -> None:
    crop, face, regions = make_face()
    assert face.mesh is not None
    glasses = crop.copy()
    top = int(face.mesh[105, 1])
    lenses = (slice(top + 5, top + 70), slice(150, 360))
    glasses[lenses] = level
    worn = regions.copy()
    worn[(slice(None), *lenses)] = 0
    worn[(class_number("eye_g"), *lenses)] = 1
    with pytest.raises(UsageError, match=said):
        remove(glasses, face, worn, {"eyeglasses": -1.0})
    opened = [polygon_coverage(face.mesh[ring, :2], (SIDE, SIDE)) > 0.5 for ring in EYES]
    worn[:, opened[0] | opened[1]] = 0
    worn[class_number("l_eye"), opened[0] | opened[1]] = 1
    if said == "mirrored":
        assert (remove(glasses, face, worn, {"eyeglasses": -1.0}) != glasses).any(), "clear"

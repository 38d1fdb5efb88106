"""Painted insides of mouths: placement, mask, limits, and what is never painted."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.engines.mesh import synthetic_faces as faces
from tests.engines.mesh.synthetic_clips import images, own_clip, transferred
from tests.engines.mesh.test_patches import graph_of, random_network, red_network
from thcli.core.onnx.graphs import GraphNetwork
from thcli.core.options import RunOptions
from thcli.core.types import Array, Image
from thcli.engines.mesh import opening
from thcli.engines.mesh.anatomy import LIPS
from thcli.engines.mesh.engine import MeshEngine
from thcli.engines.mesh.frame import render_frame
from thcli.engines.mesh.mouth.drawn_inside import DrawnShare
from thcli.engines.mesh.patches import inputs, inside
from thcli.engines.mesh.patches.inputs import EYE_CHANNELS
from thcli.engines.mesh.patches.inside_painter import InsidePainter
from thcli.engines.mesh.patches.network import PatchNet
from thcli.engines.mesh.patches.painter import PatchPainter
from thcli.engines.mesh.prepared_source import MeshSource, prepare

SIDE = 256


def network_of(value: float) -> GraphNetwork:
    """Return a network whose output is a value everywhere."""
    network = PatchNet(inside.CHANNELS, narrow=16)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.zero_()
        assert network.out.bias is not None
        network.out.bias[:] = value
    return graph_of(network)


def source_with(value: float) -> MeshSource:
    eyes = graph_of(random_network(EYE_CHANNELS))
    painter = PatchPainter(eyes, InsidePainter(network_of(value)))
    source = faces.make_source(SIDE, SIDE)
    return prepare(source.image, source.face, None, painter)


def render_both(source: MeshSource, target: Array) -> tuple[Image, Image]:
    """Return a frame whose eyes are as in the source, painted and as drawn."""
    rest = replace(faces.rest_target(source), points=target)
    plain = replace(source, mouth_painter=None)
    return render_frame(source, rest, None), render_frame(plain, rest, None)


def everywhere(source: MeshSource) -> DrawnShare:
    """Return a drawing of an open mouth that covers all of the picture."""
    lips = opening.fit_opening(opened(source, 0.4), LIPS)
    return DrawnShare(lips, (slice(0, SIDE), slice(0, SIDE)), np.ones((SIDE, SIDE), np.float32))


def opened(source: MeshSource, amount: float) -> Array:
    return faces.make_target(source, mouth=amount).points


def test_the_inside_alone_is_painted_and_dark_stays_dark() -> None:
    source = source_with(9.0)
    target = opened(source, 0.4)
    out, plain = render_both(source, target)
    change = (out.astype(int) - plain).mean(-1)
    within = faces.polygon_mask(target[LIPS, :2], SIDE, SIDE, grow=-3)
    around = faces.polygon_mask(target[LIPS, :2], SIDE, SIDE, grow=4)
    share, least = inside.MOST_CHANGE
    least /= inputs.gain(source.tone)
    most = share * plain[within].mean(-1) + least
    assert np.median(change[within] / most) == pytest.approx(1, abs=0.05)
    assert change.max() <= share * 255 + least and not change[~around].any()
    assert np.ptp(most) > 10


def test_closed_lips_and_the_sources_own_mouth_are_not_painted() -> None:
    source = source_with(9.0)
    out, plain = render_both(source, source.mesh)
    assert np.array_equal(out, plain)


def test_a_driving_frame_keeps_its_mouth() -> None:
    source = source_with(9.0)
    target = replace(faces.rest_target(source), points=opened(source, 0.4))
    driving = faces.render_face(target.points, SIDE, SIDE)
    target = replace(target, driver=target.points)
    painted = render_frame(source, target, driving)
    assert np.array_equal(
        painted, render_frame(replace(source, mouth_painter=None), target, driving)
    )


@pytest.mark.parametrize("natural", [0.0, 1.0])
def test_what_is_painted_into_a_grey_picture_is_grey(natural: float) -> None:
    source = source_with(0.0)
    interior = replace(source.interior, natural=natural, tone=np.full(3, 128.0))
    out = np.full_like(source.image, 100)
    whole = everywhere(source)
    InsidePainter(red_network(inside.CHANNELS)).paint(out, opened(source, 0.4), interior, whole)
    assert (out != 100).any()
    assert bool((np.ptp(out, axis=-1) > 4).any()) == (natural > 0)


def test_frames_of_a_source_video_are_painted_where_they_are_drawn() -> None:
    painter = PatchPainter(graph_of(random_network(EYE_CHANNELS)), InsidePainter(network_of(9.0)))
    engine = MeshEngine(RunOptions(), "off", mouth="synthetic", painter=painter)
    frames, own = own_clip()
    clip = engine.encode_video(own, frames)
    assert clip.mouth_painter is painter.mouth
    unseen = replace(clip, looks=tuple(replace(look, mouths=None) for look in clip.looks))
    plain = replace(unseen, mouth_painter=None)
    motion = transferred(engine)
    outs = [engine.render_frames(source, images(), motion) for source in (unseen, plain)]
    meshes = np.asarray(motion.arrays["mesh"])
    painted = 0
    for one, other, mesh in zip(*outs, meshes, strict=True):
        changed = (one != other).any(-1)
        assert not changed[: int(mesh[1, 1])].any()
        painted += int(changed.sum())
    assert painted > 100


@pytest.mark.parametrize(("brightness", "is_painted"), [(210.0, True), (250.0, False)])
def test_line_drawings_keep_what_is_drawn(brightness: float, *, is_painted: bool) -> None:
    source = source_with(9.0)
    interior = replace(source.interior, tone=np.full(3, brightness))
    whole = everywhere(source)
    out = source.image.copy()
    InsidePainter(network_of(9.0)).paint(out, opened(source, 0.4), interior, whole)
    assert bool((out != source.image).any()) == is_painted


def test_what_is_not_drawn_is_not_painted() -> None:
    source = source_with(9.0)
    target = opened(source, 0.4)
    lips, region = opening.fit_opening(target, LIPS), (slice(100, SIDE), slice(0, SIDE))
    share = np.zeros((SIDE - 100, SIDE), np.float32)
    middle = int(target[LIPS, 0].mean())
    share[:, middle:] = 1
    out = source.image.copy()
    InsidePainter(network_of(9.0)).paint(
        out, target, source.interior, DrawnShare(lips, region, share)
    )
    changed = (out != source.image).any((0, 2))
    assert changed[middle + 4 :].any() and not changed[: middle - 3].any()


@pytest.mark.parametrize("amount", [0.02, 0.1, 0.3, 0.7])
def test_a_patch_holds_the_whole_opening_and_lips_around_it(amount: float) -> None:
    source = faces.make_source(SIDE, SIDE)
    target = opened(source, amount)
    lips = opening.fit_opening(target, LIPS)
    frame = inside.inside_frame(target, lips)
    width, height = frame.size
    assert not width % inside.SIDES and not height % inside.SIDES
    assert width <= inside.SIZE[0] and height <= inside.SIZE[1]
    ring = (target[LIPS, :2] - frame.origin) @ np.linalg.inv(frame.axes)
    assert ring.min() > 3 and (ring.max(0) < np.array(frame.size) - 4).all()
    mask = inside.mask_patch(lips, frame)
    assert mask.shape == (height, width) and mask.min() >= 0 and mask.max() <= 1
    border = np.concatenate([mask[0], mask[-1], mask[:, 0], mask[:, -1]])
    assert border.max() == 0


def test_a_low_opening_has_a_smaller_patch_around_the_same_middle() -> None:
    source = faces.make_source(SIDE, SIDE)
    target = opened(source, 0.1)
    lips = opening.fit_opening(target, LIPS)
    low, full = (inside.inside_frame(target, lips, full=f) for f in (False, True))
    assert low.size < full.size == inside.SIZE and low.size[1] < full.size[1]
    np.testing.assert_allclose(low.axes, full.axes)
    middles = [f.origin + (np.array(f.size) - 1) / 2 @ f.axes for f in (low, full)]
    assert middles[0] == pytest.approx(middles[1])
    assert opening.fit_opening(target, LIPS).gap == lips.gap


def test_the_most_change_follows_the_drawings_brightness() -> None:
    level = np.array([-0.5, 0.0, 0.5], np.float32)  # black, grey, white
    most = inputs.most_change(level, (0.3, 0.03))
    assert most == pytest.approx(0.03 + 0.3 * np.array([0, 0.5, 1]), abs=1e-6)


def test_enamel_keeps_its_tint_and_takes_light() -> None:
    tone, enamel, tongue = np.array([200, 150, 130]), (190, 175, 160), (170, 110, 105)
    coarse = np.array([[enamel, tongue, (60, 50, 45)]], np.uint8)
    change = np.array([[[20, -25, -30]] * 3], np.float32)  # to flesh, and a little darker
    out = inside.keep_enamel(coarse, change, tone)
    tint = coarse[0, 0] / coarse[0, 0].sum()
    painted = coarse[0, 0] + out[0, 0]
    assert np.abs(painted / painted.sum() / tint - 1).max() < inside.MOST_TINT + 0.005
    assert out[0, 0].sum() == pytest.approx(change[0, 0].sum(), abs=1)
    assert (out[0, 1:] == change[0, 1:]).all()
    shade = np.float32(-0.2) * coarse.astype(np.float32)
    assert np.allclose(inside.keep_enamel(coarse, shade, tone), shade, atol=0.5)

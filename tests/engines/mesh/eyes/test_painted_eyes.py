"""Painted eyes: which are painted, and how."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.engines.mesh import synthetic_faces as faces
from tests.engines.mesh.test_patches import (
    FACE,
    SIDE,
    graph_of,
    painted_source,
    random_network,
    red_network,
    shut_eyes,
)
from thcli.core.onnx.graphs import GraphNetwork
from thcli.core.types import Array32
from thcli.engines.mesh.anatomy import EYES
from thcli.engines.mesh.frame import render_frame
from thcli.engines.mesh.patches import frames, inputs, pack
from thcli.engines.mesh.patches.inputs import EYE_CHANNELS
from thcli.engines.mesh.patches.painter import PatchPainter
from thcli.engines.mesh.prepared_source import prepare
from thcli.train.core.painting import paint


def test_an_unchanged_face_is_not_painted_and_shut_eyes_are() -> None:
    source = painted_source(PatchPainter(red_network(EYE_CHANNELS), None))
    plain = replace(source, painter=None)
    rest = faces.rest_target(source)
    assert np.array_equal(render_frame(source, rest, None), render_frame(plain, rest, None))
    target = replace(rest, points=shut_eyes(rest.points))
    by_mesh = render_frame(plain, target, None).astype(int)
    changed = (render_frame(source, target, None) - by_mesh) * (1, -1, -1)
    red = (changed > 0.2 * by_mesh).all(-1)
    eyes = faces.polygon_mask(FACE[EYES[0], :2], SIDE, SIDE, grow=-1)
    assert red[eyes].mean() > 0.9 and not red[int(FACE[1, 1]) :].any()


def test_eyes_wider_than_the_sources_are_not_painted_by_networks() -> None:
    source = painted_source(PatchPainter(red_network(EYE_CHANNELS), None))
    assert source.painter is not None
    patches, wide = source.painter.patches, source.mesh.copy()
    for ring in EYES:
        wide[ring[9:]] -= 0.4 * (wide[ring[1:8]] - wide[ring[:8:-1]])[::-1]
    assert pack.eye_changes(patches, wide) == (0, 0)
    aside = replace(patches.iris, centre=patches.iris.centre + np.array([0.3, 0]))
    assert min(pack.eye_changes(replace(patches, iris=aside), wide)) > 0.5
    assert min(pack.eye_changes(patches, shut_eyes(source.mesh))) == 1


@pytest.mark.parametrize("with_painter", [True, False])
def test_shut_eyes_that_open_have_the_drivers_colours(with_painter: bool) -> None:
    """The networks leave them alone, and made-up ones where no driver lends his."""
    painter = PatchPainter(red_network(EYE_CHANNELS), None)
    face = faces.make_source(SIDE, SIDE).face
    shut = replace(face, mesh=shut_eyes(np.asarray(face.mesh, np.float64)).astype(np.float32))
    image = faces.render_face(np.asarray(shut.mesh), SIDE, SIDE)
    source = prepare(image, shut, None, painter if with_painter else None)
    target = replace(faces.make_target(source), points=FACE, driver=FACE)
    driving = faces.render_face(FACE, SIDE, SIDE)
    green = driving // 4 + np.array((0, 60, 0), np.uint8)
    outs = [render_frame(source, target, frame) for frame in (driving, green, None)]
    eye = faces.polygon_mask(FACE[EYES[0], :2], SIDE, SIDE, grow=-2)
    assert not np.array_equal(outs[0][eye], outs[1][eye])
    assert outs[1][eye][:, 1].mean() > outs[1][eye][:, 0].mean() + 20
    unpainted = render_frame(replace(source, painter=None), target, None)
    assert np.array_equal(outs[2], unpainted)


def test_eyes_are_painted_as_they_were_trained() -> None:
    network = random_network(EYE_CHANNELS)
    source = painted_source(PatchPainter(graph_of(network), None))
    assert source.painter is not None
    target = shut_eyes(source.mesh)
    lids = replace(faces.rest_target(source), points=target)
    frame = render_frame(replace(source, painter=None), lids, None)
    patches, gaze = source.painter.patches, np.zeros((2, 2))
    places = [frames.eye_frame(target, side) for side in range(2)]
    coarse = frames.sample_patch(frame, places[0]), frames.sample_patch(frame, places[1])
    changes = pack.eye_changes(patches, target)
    stack, window = pack.stack_eyes(coarse, patches, target, gaze, changes)
    given, share = torch.from_numpy(stack), torch.from_numpy(window[:, None])
    with torch.no_grad():
        trained = paint(network, given, share, inputs.MOST_EYE_CHANGE, inputs.EYE_BLUR)
    painted = render_frame(source, lids, None)
    assert painted.shape == frame.shape and min(changes) == 1
    for side, place in enumerate(places):
        wanted = (trained[side].numpy().transpose(1, 2, 0) + 0.5) / patches.factor
        seen = frames.sample_patch(painted, place).astype(float)
        inside = window[side] > 0.99
        within = ((wanted > 4) & (wanted < 251)).all(-1) & inside
        assert within.sum() > 100
        difference = np.abs(seen - wanted)[within].mean()
        moved = np.abs(coarse[side] - wanted)[within].mean()
        assert difference < 0.2 * moved


def test_both_eyes_are_painted_in_one_call(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []
    run = GraphNetwork.__call__

    def counted(network: GraphNetwork, stack: Array32) -> Array32:
        calls.append(len(stack))
        return run(network, stack)

    monkeypatch.setattr(GraphNetwork, "__call__", counted)
    source = painted_source(PatchPainter(graph_of(random_network(EYE_CHANNELS)), None))
    render_frame(source, faces.make_target(source, lids=0.3), None)
    assert calls == [2]

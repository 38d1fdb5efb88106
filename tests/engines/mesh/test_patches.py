"""Painted eyes: placement, rasters, compositing, the painter and its options."""

from __future__ import annotations

import pickle
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Literal

import cv2
import numpy as np
import pytest
import torch
from torch import nn

from tests.engines.mesh import synthetic_faces as faces
from thcli.core.errors import WeightsError
from thcli.core.onnx.graphs import GraphNetwork
from thcli.core.options import MeshOptions, Patches, ReenactOptions, RunOptions
from thcli.core.types import Array, Image
from thcli.engines.mesh import opening
from thcli.engines.mesh.anatomy import EYES
from thcli.engines.mesh.engine import MeshEngine, load
from thcli.engines.mesh.frame import render_frame
from thcli.engines.mesh.patches import frames, inputs, pack
from thcli.engines.mesh.patches.graph import build_graph
from thcli.engines.mesh.patches.inputs import EYE_CHANNELS, EyeShape
from thcli.engines.mesh.patches.network import NotingConv, PatchNet
from thcli.engines.mesh.patches.painter import PatchPainter
from thcli.engines.mesh.prepared_source import MeshSource, prepare

SIDE = 256
FACE = faces.centred_mesh(SIDE, SIDE)


def smooth_image(seed: int = 0) -> Image:
    coarse = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), np.uint8)
    return np.asarray(cv2.resize(coarse, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC), np.uint8)


def graph_of(network: PatchNet) -> GraphNetwork:
    state = {key: value.numpy() for key, value in network.state_dict().items()}
    channels = network.stem.in_channels // 4
    return GraphNetwork(build_graph(state, channels, "mine"), "mine")


def red_network(channels: int) -> GraphNetwork:
    """Return a network that paints everything as red as it may."""
    network = PatchNet(channels, narrow=16)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.zero_()
        assert network.out.bias is not None
        network.out.bias[:4] = 9.0
        network.out.bias[4:] = -9.0
    return graph_of(network)


def random_network(channels: int) -> PatchNet:
    torch.manual_seed(channels)
    network = PatchNet(channels, narrow=4)
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.normal_(module.weight, std=0.1)
    return network.eval()


def painted_source(painter: PatchPainter) -> MeshSource:
    source = faces.make_source()
    return prepare(source.image, source.face, None, painter)


def framed_patch(scale: float) -> tuple[Image, frames.PatchFrame, Array]:
    """Return an enlarged image, the frame of an eye, and the pixels well inside of it."""
    image = np.asarray(cv2.resize(smooth_image(), None, fx=scale, fy=scale), np.uint8)
    image[:, ::2] = np.minimum(image[:, ::2], 235) + 20  # finer detail than any patch
    frame = frames.eye_frame(FACE * scale, 0)
    return image, frame, frame.positions()[12:-12, 12:-12].reshape(-1, 2).astype(int)


@pytest.mark.parametrize("scale", [0.5, 1.0, 3.3])
def test_a_change_is_added_inside_and_nothing_changes_outside(scale: float) -> None:
    image, frame, middle = framed_patch(scale)
    out = image.copy()
    frames.composite(
        out, frame, frames.sample_patch(out, frame), np.zeros((*frame.size[::-1], 3), np.float32)
    )
    assert np.array_equal(out, image)
    frames.composite(
        out,
        frame,
        frames.sample_patch(out, frame),
        np.full((*frame.size[::-1], 3), 3.0, np.float32),
    )
    x, y = middle.T
    added = out[y, x].astype(int) - image[y, x]
    assert np.median(added[image[y, x] < 240]) == 3
    far = np.ones(out.shape[:2], bool)
    x, y = frame.positions().reshape(-1, 2).T
    far[int(y.min()) - 2 : int(y.max()) + 3, int(x.min()) - 2 : int(x.max()) + 3] = False
    assert far.any() and np.array_equal(out[far], image[far])


@pytest.mark.parametrize("replaced", [True, False])
def test_fine_detail_goes_where_much_changes_unless_all_stays(replaced: bool) -> None:
    image, frame, middle = framed_patch(4.0)
    image = np.maximum(image, 80)
    out = image.copy()
    coarse = frames.sample_patch(out, frame) if replaced else None
    frames.composite(out, frame, coarse, np.full((*frame.size[::-1], 3), -70.0, np.float32))
    x, y = middle.T
    detail = [np.abs(np.diff(i.astype(int), axis=1))[y, x - 1].mean() for i in (image, out)]
    assert (detail[1] < 0.6 * detail[0]) == replaced
    assert replaced or detail[1] == pytest.approx(detail[0], rel=0.01)


def test_the_right_eye_of_a_mirrored_image_is_the_left_one() -> None:
    image = smooth_image()
    mirrored = np.ascontiguousarray(image[:, ::-1])
    mesh = FACE.copy()
    other = mesh.copy()
    other[EYES[1]] = mesh[EYES[0]][np.r_[8:-1:-1, 15:8:-1]]
    other[:, 0] = SIDE - 1 - other[:, 0]
    left = frames.sample_patch(image, frames.eye_frame(mesh, 0))
    right = frames.sample_patch(mirrored, frames.eye_frame(other, 1))
    assert np.abs(left.astype(int) - right).max() <= 2


def test_rims_and_iris_are_drawn_where_they_are() -> None:
    shape = EyeShape(FACE, 0, np.array([0.5, 0.0]), 0.2)
    (above, below, iris), window = inputs.eye_rasters(shape)
    inside = (above > 0) & (below > 0)
    width = inside.shape[1]
    gap = opening.fit_opening(FACE, EYES[0]).gap * width / frames.EYE_SPAN
    assert inside[:, width // 2].sum() == pytest.approx(gap, abs=3)
    assert iris[inside].mean() > 0.2 and iris[0].max() == 0
    assert window[inside].min() > 0.99
    border = np.concatenate([window[0], window[-1], window[:, 0], window[:, -1]])
    assert border.max() == 0


def test_eyes_of_a_blurred_picture_are_not_painted_by_networks() -> None:
    painter = PatchPainter(red_network(EYE_CHANNELS), None)
    source = faces.make_source(512, 512)
    assert prepare(source.image, source.face, None, painter).painter is not None
    blurred = np.asarray(cv2.GaussianBlur(source.image, (0, 0), 6.0), np.uint8)
    assert prepare(blurred, source.face, None, painter).painter is None


@pytest.mark.parametrize("asked", [True, False])
def test_networks_that_are_asked_for_and_paint_nothing_give_a_warning(asked: bool) -> None:
    painter = PatchPainter(red_network(EYE_CHANNELS), None, is_asked_for=asked)
    engine = MeshEngine(RunOptions(), "off", mouth="synthetic", painter=painter)
    source = faces.make_source(512, 512)
    assert engine.find_warning(engine.encode_source(source.image, source.face)) is None
    blurred = np.asarray(cv2.GaussianBlur(source.image, (0, 0), 6.0), np.uint8)
    warning = engine.find_warning(engine.encode_source(blurred, source.face))
    assert (warning is not None and "--patches" in warning) == asked


def test_a_source_with_shut_eyes_gives_a_warning() -> None:
    engine = MeshEngine(RunOptions(), "off", mouth="synthetic")
    face = faces.make_source().face
    image = faces.make_source().image
    assert engine.find_warning(engine.encode_source(image, face)) is None
    shut = replace(face, mesh=shut_eyes(np.asarray(face.mesh, np.float64)).astype(np.float32))
    warning = engine.find_warning(engine.encode_source(image, shut)) or ""
    assert "eyes are shut: where they open, they are made up" in warning


@pytest.mark.parametrize("mouth", ["driver", "synthetic"])
def test_the_warning_of_shut_eyes_says_whose_open_ones_are(
    mouth: Literal["driver", "synthetic"],
) -> None:
    painter = PatchPainter(red_network(EYE_CHANNELS), None)
    engine = MeshEngine(RunOptions(), "off", mouth=mouth, painter=painter)
    source = faces.make_source(512, 512)
    mesh = shut_eyes(np.asarray(source.face.mesh, np.float64)).astype(np.float32)
    prepared = engine.encode_source(source.image, replace(source.face, mesh=mesh))
    warning = engine.find_warning(prepared)
    assert warning is not None
    assert ("driving video" in warning) == (mouth == "driver")


def test_closed_lids_leave_no_opening() -> None:
    mesh = FACE.copy()
    ring = EYES[0]
    mesh[ring[9:]] = mesh[ring[1:8]][::-1]
    above, below, _ = inputs.eye_rasters(EyeShape(mesh, 0, np.array([0.5, 0.0]), 0.2))[0]
    assert not ((above > 0.05) & (below > 0.05)).any()


def shut_eyes(mesh: Array) -> Array:
    out = mesh.copy()
    for ring in EYES:
        out[ring[9:]] = out[ring[1:8]][::-1]
    return out


def test_frames_do_not_depend_on_each_other_or_on_threads() -> None:
    source = painted_source(PatchPainter(graph_of(random_network(EYE_CHANNELS)), None))
    targets = [faces.make_target(source, lids=m, turn=(2, m, 0)) for m in (0.1, 0.2, 0.3, 0.4)]
    alone = [render_frame(source, target, None) for target in targets]
    with ThreadPoolExecutor(3) as pool:
        together = list(pool.map(lambda t: render_frame(source, t, None), targets[::-1] * 2))
    for i, out in enumerate(together):
        assert np.array_equal(out, alone[::-1][i % 4])


@pytest.mark.parametrize("channels", [EYE_CHANNELS, 4])
@pytest.mark.parametrize("half", [False, True])
def test_the_graph_gives_the_numbers_of_the_trained_network(channels: int, *, half: bool) -> None:
    network = random_network(channels)
    state = {key: value.numpy() for key, value in network.state_dict().items()}
    if half:  # as weights are shipped
        network = network.half().float()
        state = {key: value.astype(np.float16) for key, value in state.items()}
    graph = GraphNetwork(build_graph(state, channels, "mine"), "mine")
    again = pickle.loads(pickle.dumps(graph))
    for count, height, width in ((1, 48, 64), (2, 72, 96), (3, 8, 16)):
        patches = torch.randn(count, channels, height, width)
        with torch.inference_mode():
            expected = network(patches).numpy()
        np.testing.assert_allclose(graph(patches.numpy()), expected, rtol=1e-4, atol=1e-4)
        np.testing.assert_array_equal(again(patches.numpy()), graph(patches.numpy()))


def noted_network(channels: int) -> PatchNet:
    """Return a network that has noted the limits of some patches."""
    network = random_network(channels).train()
    with torch.no_grad():
        for _ in range(3):
            network(torch.randn(2, channels, 48, 64))
    return network.eval()


@pytest.mark.parametrize("channels", [EYE_CHANNELS, 4])
def test_a_network_with_limits_is_computed_in_eight_bits(channels: int) -> None:
    network = noted_network(channels)
    graph = graph_of(network)
    patches = torch.randn(2, channels, 72, 96)
    with torch.inference_mode():
        expected = network(patches).numpy()
    found = graph(patches.numpy())
    off = np.abs(found - expected).mean() / expected.std()
    assert 1e-4 < off < 0.05
    assert np.abs(found).max() <= 1.02 * np.abs(network.out.limits[1].numpy()).max()
    once, together = graph(patches.numpy()[:1]), pickle.loads(pickle.dumps(graph))(patches.numpy())
    np.testing.assert_array_equal(found[:1], once)
    np.testing.assert_array_equal(found, together)


def test_limits_widen_at_once_and_narrow_slowly() -> None:
    conv = NotingConv(1, 1, 1).train()
    values = torch.tensor([-1.0, 0.5]).view(1, 1, 1, 2)
    conv(values)
    assert conv.limits[0].tolist() == [-1.0, 0.5]
    conv(4 * values)
    assert conv.limits[0].tolist() == [-4.0, 2.0]
    conv(values)
    low, high = conv.limits[0].tolist()
    assert -4 < low < -3.9 and 1.9 < high < 2
    kept = conv.limits.clone()
    conv.eval()(9 * values)
    assert torch.equal(conv.limits, kept)


@pytest.mark.parametrize("channels", [EYE_CHANNELS, 4])
def test_weights_of_another_network_are_refused(channels: int) -> None:
    state = {key: value.numpy() for key, value in PatchNet(channels).state_dict().items()}
    lacking = {key: value for key, value in state.items() if key != "up1.bias"}
    for wrong, count, what in (
        (lacking, channels, "it has no up1.bias"),
        (state | {"up3.bias": np.zeros(3)}, channels, "it has up3.bias, too"),
        (state, channels + 1, f"{channels} channels go in"),
    ):
        with pytest.raises(WeightsError, match=f"mine does not fit its network: {what}"):
            build_graph(wrong, count, "mine")


@pytest.mark.parametrize("natural", [0.0, 1.0])
def test_what_is_painted_into_a_grey_picture_is_grey(natural: float) -> None:
    source = painted_source(PatchPainter(red_network(EYE_CHANNELS), None))
    assert source.painter is not None
    patches = source.painter.patches
    patches = replace(patches, natural=natural, tone=np.full(3, 128.0))
    out = np.full_like(source.image, 128)
    source.painter.painter.paint_eyes(out, patches, shut_eyes(source.mesh), np.zeros((2, 2)))
    assert (out != 128).any()
    assert bool((np.ptp(out, axis=-1) > 4).any()) == (natural > 0)


def test_unknown_irises_have_no_disc() -> None:
    found = pack.read_iris(FACE, None)
    assert found.radius.tolist() == [0, 0]
    known = pack.read_iris(FACE, faces.iris_points(FACE))
    assert known.radius == pytest.approx([0.2, 0.2], abs=0.02)
    assert known.centre[:, 0] == pytest.approx([0.5, 0.5], abs=0.05)


def test_free_licences_leave_the_drawn_mouth_and_refuse_required_patches() -> None:
    free = RunOptions(licence="free")
    source = faces.make_source()
    engine = load(free, ReenactOptions(mesh=MeshOptions(matte="off")))
    assert engine.encode_source(source.image, source.face).painter is None
    off = load(RunOptions(), ReenactOptions(mesh=MeshOptions(matte="off", patches="off")))
    assert off.encode_source(source.image, source.face).painter is None
    for patches in ("eyes", "all"):
        with pytest.raises(WeightsError, match="patches-s"):
            load(free, ReenactOptions(mesh=MeshOptions(matte="off", patches=patches)))


@pytest.mark.parametrize(
    ("patches", "eyes", "mouth"),
    [("auto", True, True), ("all", True, True), ("eyes", True, False), ("off", False, False)],
)
def test_bundled_weights_paint_the_eyes_and_a_drawn_mouth(
    patches: Patches, eyes: bool, mouth: bool
) -> None:
    engine = load(RunOptions(), ReenactOptions(mesh=MeshOptions(matte="off", patches=patches)))
    source = engine.encode_source(faces.make_source().image, faces.make_source().face)
    target = faces.make_target(source, mouth=0.4, lids=0.3)
    plain = render_frame(replace(source, painter=None, mouth_painter=None), target, None)
    changed = (render_frame(source, target, None) != plain).any(-1)
    middle = int(target.points[1, 1])
    assert bool(changed[:middle].any()) == eyes and bool(changed[middle:].any()) == mouth

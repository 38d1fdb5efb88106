"""What every crop engine keeps: the same pictures whatever the batch, one encoding a source, a still driver gives a still result."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch

from thcli.core import protocols
from thcli.core.errors import DeviceError, MediaError, NoFaceError, UsageError, WeightsError
from thcli.core.options import LivePortraitOptions, MotionOptions, RunOptions, ViewOptions
from thcli.core.types import Face, Frame, Image, Motion
from thcli.engines import backends
from thcli.engines.facevid2vid.engine import FaceVid2VidEngine, Networks
from thcli.engines.facevid2vid.estimator import HeadEstimator
from thcli.engines.facevid2vid.estimator import KeypointDetector as CanonicalDetector
from thcli.engines.facevid2vid.networks import OriginalGenerator, SpadeGenerator
from thcli.engines.fomm import networks as fomm
from thcli.engines.fomm.engine import FommEngine
from thcli.engines.liveportrait import networks as liveportrait
from thcli.engines.liveportrait.engine import LivePortraitEngine
from thcli.engines.monkeynet import networks as monkeynet
from thcli.engines.monkeynet.engine import MonkeyNetEngine
from thcli.engines.shared.networks.engine import CropEngine, CropSource
from thcli.engines.x2face.engine import X2FaceEngine
from thcli.engines.x2face.networks import X2Face
from thcli.motion.file import MotionBuffer

RUN = RunOptions(device="cpu", threads=1)
PLAIN = MotionOptions(smooth=0)
NARROW = 8


def trained(network: Any) -> Any:
    """As if trained: norms that do something, keypoints that depend on the picture, jacobians that can be inverted."""
    generator = torch.Generator().manual_seed(3)
    for name, tensor in network.state_dict().items():
        noise = (
            torch.randn(tensor.shape, generator=generator) if tensor.is_floating_point() else tensor
        )
        if name.endswith("running_var"):
            tensor.copy_(0.5 + 0.5 * noise.abs())
        elif tensor.is_floating_point() and tensor.dim() <= 1:
            tensor.copy_(1 + 0.1 * noise if name.endswith("weight") else 0.05 * noise)
        elif tensor.is_floating_point() and not name.endswith("down.weight"):
            tensor.copy_(noise / np.sqrt(np.prod(tensor.shape[1:])))
        if name == "jacobian.bias":
            tensor.add_(torch.tensor([1.0, 0.0, 0.0, 1.0]).repeat(len(tensor) // 4))
        if name == "kp.weight":  # keypoints that stand apart
            tensor.mul_(20)
        if name.removeprefix("detector.") in (
            "jacobian.weight",
            "fc_exp.weight",
            "fc_t.weight",
            "fc_scale.weight",
        ):
            tensor.mul_(0.05)
        if name.endswith("fc_scale.bias"):
            tensor.add_(1)
    return network.eval().requires_grad_(False)


def make_fomm(run: RunOptions) -> CropEngine:
    return FommEngine(
        trained(fomm.KeypointDetector(narrow=NARROW)), trained(fomm.Generator(narrow=NARROW)), run
    )


def make_monkeynet(run: RunOptions) -> CropEngine:
    parts = monkeynet.KeypointDetector(narrow=NARROW), monkeynet.Generator(narrow=NARROW)
    return MonkeyNetEngine(trained(parts[0]), trained(parts[1]), run)


def make_x2face(run: RunOptions) -> CropEngine:
    return X2FaceEngine(trained(X2Face(narrow=NARROW)), run)


def make_facevid2vid(run: RunOptions, view: ViewOptions | None = None) -> FaceVid2VidEngine:
    parts = CanonicalDetector(narrow=32), HeadEstimator(narrow=32), OriginalGenerator(narrow=32)
    return FaceVid2VidEngine(
        Networks(trained(parts[0]), trained(parts[1]), trained(parts[2])), run, view
    )


def make_spade(run: RunOptions) -> CropEngine:
    parts = (
        CanonicalDetector(narrow=32, reduced=False),
        HeadEstimator(narrow=32),
        SpadeGenerator(narrow=32),
    )
    return FaceVid2VidEngine(
        Networks(trained(parts[0]), trained(parts[1]), trained(parts[2]), beta=True), run
    )


def make_liveportrait(run: RunOptions) -> CropEngine:
    """Without stitching, whose network knows no still face until it is trained."""
    networks = liveportrait.Networks._make(
        trained(part) for part in liveportrait.Networks.new(narrow=32)
    )
    return LivePortraitEngine(networks, run, LivePortraitOptions(stitching=False))


ENGINES: dict[str, Callable[[RunOptions], CropEngine]] = {
    "fomm": make_fomm,
    "monkeynet": make_monkeynet,
    "x2face": make_x2face,
    "facevid2vid": make_facevid2vid,
    "liveportrait": make_liveportrait,
}
SIDES = {"liveportrait": 512}  # of the others: 256


@pytest.fixture(scope="module", params=sorted(ENGINES))
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def engine(kind: str) -> CropEngine:
    return ENGINES[kind](RUN)


def picture(seed: int) -> Image:
    """(256, 256, 3), soft colours."""
    small = np.random.default_rng(seed).random((8, 8, 3)).astype(np.float32)
    large = torch.nn.functional.interpolate(
        torch.from_numpy(small).permute(2, 0, 1)[None], (256, 256), mode="bilinear"
    )
    return np.asarray((large[0].permute(1, 2, 0) * 255).round().to(torch.uint8).numpy())


FACE = Face(np.array([60, 60, 190, 190], np.float32), 0.9)


def clip(count: int, still: bool = False) -> list[Frame]:
    return [
        Frame(picture(10 if still else 10 + i), 40 * i, Fraction(1, 1000), i) for i in range(count)
    ]


@pytest.fixture(scope="module")
def source(engine: CropEngine) -> CropSource:
    return engine.encode_source(picture(1), FACE)


def seen(engine: CropEngine, frames: list[Frame], lost: tuple[int, ...] = ()) -> Motion:
    return engine.observe(frames, [None if i in lost else FACE for i in range(len(frames))])


def rendered(
    engine: CropEngine, source: CropSource, motion: Motion, options: MotionOptions = PLAIN
) -> list[Image]:
    store = engine.retarget(source, MotionBuffer(motion), options)
    return engine.render(source, store.window(0, len(store)), None)


def test_is_an_engine(engine: CropEngine) -> None:
    checked: protocols.CropEngine = engine
    assert isinstance(checked, protocols.CropEngine)
    assert checked.crop_size == SIDES.get(engine.motion_kind, 256)
    assert not checked.uses_driving_frames and not checked.parallel


def test_pictures_are_the_crops_size_and_move_with_the_driver(
    engine: CropEngine, source: CropSource
) -> None:
    pictures = rendered(engine, source, seen(engine, clip(2)))
    side = SIDES.get(engine.motion_kind, 256)
    assert [(p.shape, p.dtype) for p in pictures] == [((side, side, 3), np.dtype(np.uint8))] * 2
    assert source.size == (side, side)
    assert not np.array_equal(pictures[0], pictures[1])


def test_batch_size_changes_nothing(kind: str, engine: CropEngine, source: CropSource) -> None:
    other = ENGINES[kind](replace(RUN, batch_size=2))
    frames = clip(2)
    motion, again = seen(engine, frames), seen(other, frames)
    for name, rows in motion.arrays.items():
        assert np.array_equal(rows, again.arrays[name]), name
    twice = rendered(other, other.encode_source(picture(1), FACE), again)
    assert all(
        np.array_equal(a, b) for a, b in zip(rendered(engine, source, motion), twice, strict=True)
    )


def test_larger_batches_compute_the_same(engine: CropEngine, source: CropSource) -> None:
    """What a GPU does: several frames at once, equal but for rounding."""
    rows = engine.retarget(source, MotionBuffer(seen(engine, clip(2))), PLAIN).window(0, 2)
    tensors = {name: torch.from_numpy(np.asarray(a, np.float32)) for name, a in rows.arrays.items()}
    with torch.inference_mode():
        whole = engine.paint(source.encoded, tensors)
        each = [
            engine.paint(source.encoded, {n: t[i : i + 1] for n, t in tensors.items()})
            for i in range(2)
        ]
    assert torch.allclose(whole, torch.cat(each), atol=2e-4)


def test_windows_change_nothing(engine: CropEngine, source: CropSource) -> None:
    motion = seen(engine, clip(5), lost=(2,))
    store = engine.retarget(source, MotionBuffer(motion), MotionOptions(smooth=1))
    whole, parts = store.window(0, 5), [store.window(i, i + 1) for i in range(5)]
    for name, rows in whole.arrays.items():
        assert np.allclose(rows, np.concatenate([p.arrays[name] for p in parts]), atol=1e-5), name
    assert len(store.window(4, 9)) == 1 and store.kind == f"{engine.motion_kind}-target"


def test_the_source_is_encoded_once(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = ENGINES[kind](RUN)
    calls: list[str] = []
    encode = engine.encode

    def counted(pixels: torch.Tensor, rows: dict[str, torch.Tensor]) -> Any:
        calls.append("encode")
        return encode(pixels, rows)

    monkeypatch.setattr(engine, "encode", counted)
    source = engine.encode_source(picture(1), FACE)
    motion = seen(engine, clip(1))
    rendered(engine, source, motion)
    rendered(engine, source, motion)
    assert calls == ["encode"]


def test_a_still_driver_gives_a_still_result(engine: CropEngine, source: CropSource) -> None:
    pictures = rendered(engine, source, seen(engine, clip(2, still=True)))
    assert np.array_equal(pictures[0], pictures[1])


def test_without_strength_the_source_keeps_its_own_motion(
    engine: CropEngine, source: CropSource
) -> None:
    store = engine.retarget(
        source, MotionBuffer(seen(engine, clip(2))), MotionOptions(smooth=0, strength=0)
    )
    rows = store.window(0, 2).arrays
    three = engine.motion_kind in ("facevid2vid", "liveportrait")
    own = {"keypoints": source.encoded.keypoints} if three else source.rows
    for name, values in rows.items():
        assert np.allclose(np.asarray(values, np.float64), own[name], atol=1e-5), name


def test_absolute_motion_is_the_drivers_own(engine: CropEngine, source: CropSource) -> None:
    """Driven by its own picture, absolutely, a source gets its own motion."""
    own = seen(engine, [Frame(picture(1), i, Fraction(1, 25), i) for i in range(2)])
    absolute = rendered(engine, source, own, MotionOptions(smooth=0, mode="absolute"))
    relative = rendered(engine, source, own)
    assert np.abs(absolute[0].astype(int) - relative[0]).max() <= 1


def test_frames_without_a_face_are_filled_from_both_sides(
    engine: CropEngine, source: CropSource
) -> None:
    motion = seen(engine, clip(4), lost=(0, 2))
    assert motion.valid.tolist() == [False, True, False, True]
    store = engine.retarget(source, MotionBuffer(motion), PLAIN)
    rows = store.window(0, 4)
    assert rows.valid.tolist() == motion.valid.tolist()
    for values in rows.arrays.values():
        v = np.asarray(values, np.float64)
        assert np.isfinite(v).all() and np.array_equal(v[0], v[1])
        assert np.abs(v[2] - (v[1] + v[3]) / 2).max() <= 0.1 + np.abs(v[3] - v[1]).max() / 4


def test_a_clip_without_a_face_is_refused(engine: CropEngine, source: CropSource) -> None:
    with pytest.raises(NoFaceError):
        engine.retarget(source, MotionBuffer(seen(engine, clip(2), lost=(0, 1))), PLAIN)


def test_another_engines_motion_is_refused(engine: CropEngine, source: CropSource) -> None:
    motion = replace(seen(engine, clip(1)), kind="mesh")
    with pytest.raises(MediaError, match="mesh"):
        engine.retarget(source, MotionBuffer(motion), PLAIN)


def test_options_that_it_cannot_follow_are_refused(engine: CropEngine, source: CropSource) -> None:
    motion = MotionBuffer(seen(engine, clip(1)))
    if engine.motion_kind == "liveportrait":  # it follows them all
        assert len(engine.retarget(source, motion, MotionOptions(region="lips", pose=0.5))) == 1
        return
    with pytest.raises(UsageError, match="lips"):
        engine.retarget(source, motion, MotionOptions(region="lips"))
    if engine.motion_kind != "facevid2vid":
        with pytest.raises(UsageError, match="cannot tell pose"):
            engine.retarget(source, motion, MotionOptions(pose=0.5))


def test_half_precision_is_close(kind: str, engine: CropEngine, source: CropSource) -> None:
    half = ENGINES[kind](replace(RUN, precision="bf16"))
    motion = seen(engine, clip(1))
    ours = rendered(half, half.encode_source(picture(1), FACE), motion)[0]
    assert np.abs(ours.astype(int) - rendered(engine, source, motion)[0]).mean() < 8


def test_a_device_that_is_not_there_is_named(kind: str) -> None:
    with pytest.raises(DeviceError, match="cuda:7"):
        ENGINES[kind](replace(RUN, device="cuda:7"))


@pytest.mark.parametrize(
    "name", sorted(n for n in backends.ENGINES.rows if n.split("-")[0] in ENGINES)
)
def test_without_weights_the_command_is_told(
    name: str, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("THCLI_WEIGHTS", str(tmp_path))
    with pytest.raises(WeightsError) as caught:
        backends.ENGINES.backend(name).load(RUN)
    assert caught.value.exit_code == 5
    assert "thcli weights" in caught.value.hint


def test_free_view_turns_the_driving_head() -> None:
    """By its own angles: a rotation of the source's canonical keypoints, nothing else."""
    plain, turned = make_facevid2vid(RUN), make_facevid2vid(RUN, ViewOptions(yaw=25))
    source = plain.encode_source(picture(1), FACE)
    motion = MotionBuffer(seen(plain, clip(2)))
    absolute = MotionOptions(smooth=0, mode="absolute")
    straight, side = (
        np.asarray(
            e.retarget(source, motion, absolute).window(0, 2).arrays["keypoints"], np.float32
        )
        for e in (plain, turned)
    )
    rows = {name: np.asarray(row, np.float32) for name, row in motion.motion.arrays.items()}
    rows["angles"] = rows["angles"] + np.array([25, 0, 0], np.float32)
    assert np.allclose(side, plain.keypoints(source.encoded.canonical, rows), atol=1e-5)
    assert np.abs(side - straight).max() > 0.01


def test_regions_of_face_vid2vid_part_head_and_face() -> None:
    engine = make_facevid2vid(RUN)
    source = engine.encode_source(picture(1), FACE)
    motion = seen(engine, clip(3))
    store = MotionBuffer(motion)
    only_pose = engine.retarget(source, store, MotionOptions(smooth=0, region="pose")).window(0, 3)
    same_face = replace(
        motion,
        arrays={**motion.arrays, "expression": np.repeat(motion.arrays["expression"][:1], 3, 0)},
    )
    wanted = engine.retarget(source, MotionBuffer(same_face), PLAIN).window(0, 3)
    assert np.allclose(
        np.asarray(only_pose.arrays["keypoints"]), np.asarray(wanted.arrays["keypoints"]), atol=1e-5
    )


def test_the_older_face_vid2vid_renders_with_its_own_axes() -> None:
    """And with the SPADE generator, whose guide is enlarged two and four times."""
    engine = make_spade(RUN)
    source = engine.encode_source(picture(1), FACE)
    pictures = rendered(engine, source, seen(engine, clip(2)))
    assert pictures[1].shape == (256, 256, 3) and not np.array_equal(pictures[0], pictures[1])
    plain = make_facevid2vid(RUN)
    other_axes = plain.keypoints(source.encoded.canonical, source.rows)
    assert np.abs(other_axes - source.encoded.keypoints).max() > 1e-3

"""Contract of every crop engine, with narrow random networks.

Images do not depend on the batch, a source is encoded once, and a still driver gives a still
result.
"""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch
from torch.overrides import TorchFunctionMode

from tests.engines.narrow import (
    ENGINES,
    FACE,
    PLAIN,
    RUN,
    SIDES,
    clip,
    image,
    make_facevid2vid,
    make_spade,
    observe,
)
from thcli.core import protocols
from thcli.core.errors import DeviceError, MediaError, NoFaceError, UsageError, WeightsError
from thcli.core.options import MotionOptions, ViewOptions
from thcli.core.types import Frame, Image, Motion
from thcli.engines import backends
from thcli.engines.shared.motion_rows import LANDMARKS
from thcli.engines.shared.networks.engine import CropSource, TorchCropEngine
from thcli.motion.file.buffer import MotionBuffer


@pytest.fixture(scope="module", params=sorted(ENGINES))
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def engine(kind: str) -> TorchCropEngine:
    return ENGINES[kind](RUN)


@pytest.fixture(scope="module")
def source(engine: TorchCropEngine) -> CropSource:
    return engine.encode_source(image(1), FACE)


def rendered(
    engine: TorchCropEngine, source: CropSource, motion: Motion, options: MotionOptions = PLAIN
) -> list[Image]:
    store = engine.retarget(source, MotionBuffer(motion), options)
    return engine.render(source, store.window(0, len(store)), None)


@pytest.fixture(scope="module")
def motion(engine: TorchCropEngine) -> Motion:
    """Return the motion of two frames."""
    return observe(engine, clip(2))


@pytest.fixture(scope="module")
def images(engine: TorchCropEngine, source: CropSource, motion: Motion) -> list[Image]:
    """Return the source, moved by it."""
    return rendered(engine, source, motion)


def test_is_an_engine(engine: TorchCropEngine) -> None:
    checked: protocols.CropEngine = engine
    assert isinstance(checked, protocols.CropEngine)
    assert checked.crop_size == SIDES.get(engine.motion_kind, 256)
    assert not checked.parallel


def test_images_are_the_crops_size_and_move_with_the_driver(
    engine: TorchCropEngine, source: CropSource, images: list[Image]
) -> None:
    side = SIDES.get(engine.motion_kind, 256)
    assert [(p.shape, p.dtype) for p in images] == [((side, side, 3), np.dtype(np.uint8))] * 2
    assert source.size == (side, side)
    assert not np.array_equal(images[0], images[1])


def test_batch_size_changes_nothing(kind: str, motion: Motion, images: list[Image]) -> None:
    other = ENGINES[kind](replace(RUN, batch_size=2))
    again = observe(other, clip(2))
    for name, rows in motion.arrays.items():
        assert np.array_equal(rows, again.arrays[name]), name
    twice = rendered(other, other.encode_source(image(1), FACE), again)
    assert all(np.array_equal(a, b) for a, b in zip(images, twice, strict=True))


def test_larger_batches_compute_the_same(
    engine: TorchCropEngine, source: CropSource, motion: Motion
) -> None:
    """Several frames at once, as on a GPU, are equal up to rounding."""
    rows = engine.retarget(source, MotionBuffer(motion), PLAIN).window(0, 2)
    tensors = {name: torch.from_numpy(np.asarray(a, np.float32)) for name, a in rows.arrays.items()}
    with torch.inference_mode():
        whole = engine.synthesize(source.encoded, tensors)
        each = [
            engine.synthesize(source.encoded, {n: t[i : i + 1] for n, t in tensors.items()})
            for i in range(2)
        ]
    assert torch.allclose(whole, torch.cat(each), atol=2e-4)


def test_windows_change_nothing(engine: TorchCropEngine, source: CropSource) -> None:
    motion = observe(engine, clip(5), lost=(2,))
    store = engine.retarget(source, MotionBuffer(motion), MotionOptions(smooth=1))
    whole, parts = store.window(0, 5), [store.window(i, i + 1) for i in range(5)]
    for name, rows in whole.arrays.items():
        assert np.allclose(rows, np.concatenate([p.arrays[name] for p in parts]), atol=1e-5), name
    assert not engine.reads_driver(source, store)
    assert len(store.window(4, 9)) == 1 and store.kind == f"{engine.motion_kind}-target"


def test_the_source_is_encoded_once(
    engine: TorchCropEngine, motion: Motion, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    encode = engine.encode

    def counted(pixels: torch.Tensor, rows: dict[str, torch.Tensor]) -> Any:
        calls.append("encode")
        return encode(pixels, rows)

    monkeypatch.setattr(engine, "encode", counted)
    source = engine.encode_source(image(1), FACE)
    engine.render(source, engine.retarget(source, MotionBuffer(motion), PLAIN).window(0, 1), None)
    assert calls == ["encode"]


def test_a_still_driver_gives_a_still_result(engine: TorchCropEngine, source: CropSource) -> None:
    images = rendered(engine, source, observe(engine, clip(2, still=True)))
    assert np.array_equal(images[0], images[1])


def test_without_strength_the_source_keeps_its_own_motion(
    engine: TorchCropEngine, source: CropSource, motion: Motion
) -> None:
    options = MotionOptions(smooth=0, strength=0)
    store = engine.retarget(source, MotionBuffer(motion), options)
    rows = store.window(0, 2).arrays
    three_d = engine.motion_kind in ("facevid2vid", "liveportrait")
    own = {"keypoints": source.encoded.keypoints} if three_d else source.rows
    for name, values in rows.items():
        assert np.allclose(np.asarray(values, np.float64), own[name], atol=1e-5), name


def test_relative_motion_starts_at_the_best_frame(
    engine: TorchCropEngine, source: CropSource
) -> None:
    """In the driving frame whose landmarks have the source's shape, the source does not move."""
    landmarks = np.random.default_rng(0).random((4, 68, 2)).astype(np.float32) * 100
    motion = observe(engine, clip(4))
    motion = replace(motion, arrays={**motion.arrays, LANDMARKS: landmarks})
    like_frame_2 = replace(source, landmarks=landmarks[2] * 2 + 10)
    rows = engine.retarget(like_frame_2, MotionBuffer(motion), PLAIN).window(0, 4).arrays
    three_d = engine.motion_kind in ("facevid2vid", "liveportrait")
    own = {"keypoints": source.encoded.keypoints} if three_d else dict(source.rows)
    if engine.motion_kind == "monkeynet":
        del own["var"]  # the driver's own
    for name, values in own.items():
        found = np.asarray(rows[name], np.float64)
        assert np.allclose(found[2:3], values, atol=1e-5), name
        assert np.abs(found[0] - found[2]).max() > 1e-4, name


def test_absolute_motion_is_the_drivers_own(engine: TorchCropEngine, source: CropSource) -> None:
    """Driven by its own image, absolutely, a source keeps its own motion."""
    own = observe(engine, [Frame(image(1), i, Fraction(1, 25), i) for i in range(2)])
    absolute = rendered(engine, source, own, MotionOptions(smooth=0, mode="absolute"))
    relative = rendered(engine, source, own)
    assert np.abs(absolute[0].astype(int) - relative[0]).max() <= 1


def test_frames_without_a_face_are_filled_from_both_sides(
    engine: TorchCropEngine, source: CropSource
) -> None:
    motion = observe(engine, clip(4), lost=(0, 2))
    assert motion.valid.tolist() == [False, True, False, True]
    store = engine.retarget(source, MotionBuffer(motion), PLAIN)
    rows = store.window(0, 4)
    assert rows.valid.tolist() == motion.valid.tolist()
    for values in rows.arrays.values():
        v = np.asarray(values, np.float64)
        assert np.isfinite(v).all() and np.array_equal(v[0], v[1])
        assert np.abs(v[2] - (v[1] + v[3]) / 2).max() <= 0.1 + np.abs(v[3] - v[1]).max() / 4


def test_a_clip_without_a_face_is_refused(engine: TorchCropEngine, source: CropSource) -> None:
    with pytest.raises(NoFaceError):
        engine.retarget(source, MotionBuffer(observe(engine, clip(2), lost=(0, 1))), PLAIN)


def test_another_engines_motion_is_refused(
    engine: TorchCropEngine, source: CropSource, motion: Motion
) -> None:
    with pytest.raises(MediaError, match="mesh"):
        engine.retarget(source, MotionBuffer(replace(motion, kind="mesh")), PLAIN)


def test_options_that_it_cannot_follow_are_refused(
    engine: TorchCropEngine, source: CropSource, motion: Motion
) -> None:
    seen = MotionBuffer(motion)
    if engine.motion_kind == "liveportrait":  # it supports all of them
        assert len(engine.retarget(source, seen, MotionOptions(region="lips", pose=0.5))) == 2
        return
    with pytest.raises(UsageError, match="lips"):
        engine.retarget(source, seen, MotionOptions(region="lips"))
    if engine.motion_kind != "facevid2vid":
        with pytest.raises(UsageError, match="cannot separate pose"):
            engine.retarget(source, seen, MotionOptions(pose=0.5))


class RoundedVolumes(TorchFunctionMode):
    """Context in which convolutions of volumes round to bf16 what they read and give.

    Their sums are of float32, as in hardware of bf16. On a CPU without it they take hours.
    """

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        given = kwargs or {}
        if func is not torch.conv3d:
            return func(*args, **given)
        volume, kernel, *rest = (
            a.bfloat16().float() if isinstance(a, torch.Tensor) else a for a in args
        )
        with torch.autocast("cpu", enabled=False):
            return torch.conv3d(volume, kernel, *rest, **given).bfloat16()


def test_half_precision_is_close(kind: str, motion: Motion, images: list[Image]) -> None:
    half = ENGINES[kind](replace(RUN, precision="bf16"))
    with RoundedVolumes():
        source = half.encode_source(image(1), FACE)
        store = half.retarget(source, MotionBuffer(motion), PLAIN)
        (ours,) = half.render(source, store.window(0, 1), None)
    assert np.abs(ours.astype(int) - images[0]).mean() < 8


def test_a_missing_device_is_named(kind: str) -> None:
    with pytest.raises(DeviceError, match="cuda:7"):
        ENGINES[kind](replace(RUN, device="cuda:7"))


@pytest.mark.parametrize(
    "name", sorted(n for n in backends.ENGINES.rows if n.split("-")[0] in ENGINES)
)
def test_missing_weights_name_the_command(
    name: str, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("THCLI_WEIGHTS", str(tmp_path))
    with pytest.raises(WeightsError) as caught:
        backends.ENGINES.backend(name).load(RUN)
    assert caught.value.exit_code == 5
    assert "thcli weights" in caught.value.hint


def test_free_view_turns_the_driving_head() -> None:
    """The turn is a rotation of the source's canonical keypoints by its own angles."""
    plain, turned = make_facevid2vid(RUN), make_facevid2vid(RUN, ViewOptions(yaw=25))
    source = plain.encode_source(image(1), FACE)
    motion = MotionBuffer(observe(plain, clip(2)))
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
    source = engine.encode_source(image(1), FACE)
    motion = observe(engine, clip(3))
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
    """It uses the SPADE generator, whose guide is upsampled two and four times."""
    engine = make_spade(RUN)
    source = engine.encode_source(image(1), FACE)
    images = rendered(engine, source, observe(engine, clip(2)))
    assert images[1].shape == (256, 256, 3) and not np.array_equal(images[0], images[1])
    plain = make_facevid2vid(RUN)
    other_axes = plain.keypoints(source.encoded.canonical, source.rows)
    assert np.abs(other_axes - source.encoded.keypoints).max() > 1e-3

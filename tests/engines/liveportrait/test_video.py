"""LivePortrait with a video as its source, with narrow random networks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch

from tests.golden import fill
from thcli.core.errors import MediaError, NoFaceError
from thcli.core.options import LivePortraitOptions, MotionOptions, RunOptions, ViewOptions
from thcli.core.protocols import VideoSourceEngine
from thcli.core.types import Array32, Face, Frame, Image, Motion
from thcli.engines.liveportrait.engine import LivePortraitEngine
from thcli.engines.liveportrait.networks import LivePortraitNetworks
from thcli.engines.liveportrait.transfer import HeadMotion, TransferGains
from thcli.engines.liveportrait.video import OPEN_EYES, transfer_to_video
from thcli.engines.shared.motion_rows import SmoothedMotion
from thcli.motion.file.buffer import MotionBuffer

NARROW = 32
CPU = RunOptions(device="cpu", threads=1)
RAW = MotionOptions(smooth=0)
Make = Callable[..., LivePortraitEngine]


@pytest.fixture(scope="module")
def make() -> Make:
    """make(options, view) creates an engine without stitching.

    The untrained stitching network moves a still face.
    """
    states = [
        fill.state(dict(network.state_dict()), 0)
        for network in LivePortraitNetworks.new(width_divisor=NARROW)
    ]

    def create(
        options: LivePortraitOptions | None = None, view: ViewOptions | None = None
    ) -> LivePortraitEngine:
        networks = LivePortraitNetworks.new(width_divisor=NARROW)
        for network, state in zip(networks, states, strict=True):
            network.load_state_dict(state)
            network.eval().requires_grad_(False)
        return LivePortraitEngine(
            networks, CPU, options or LivePortraitOptions(stitching=False), view
        )

    return create


@pytest.fixture(scope="module")
def engine(make: Make) -> LivePortraitEngine:
    return make()


def motion(seed: int, frames: int, rate: int = 25, valid: list[bool] | None = None) -> Motion:
    """Create the motion of a random head."""
    rng = np.random.default_rng(seed)
    arrays = {
        "angles": np.cumsum(rng.standard_normal((frames, 3)), 0),
        "shift": 0.02 * np.cumsum(rng.standard_normal((frames, 3)), 0),
        "scale": 1 + 0.02 * rng.standard_normal((frames, 1)),
        "expression": 0.01 * np.cumsum(rng.standard_normal((frames, 21, 3)), 0),
        "canonical": rng.standard_normal((1, 21, 3)) / 3
        + 0.001 * rng.standard_normal((frames, 21, 3)),
        "openings": rng.uniform(0.05, 0.4, (frames, 3)),
    }
    seen = np.array(valid if valid is not None else [True] * frames)
    found = {
        name: np.where(seen.reshape(-1, *(1,) * (a.ndim - 1)), a, 0).astype(np.float32)
        for name, a in arrays.items()
    }
    return Motion("liveportrait", np.arange(frames), Fraction(1, rate), seen, found)


def points(
    engine: LivePortraitEngine, own: Motion, driving: Motion, options: MotionOptions = RAW
) -> dict[str, Array32]:
    store = engine.transfer_motion(MotionBuffer(own), MotionBuffer(driving), options)
    moved = store.window(0, len(store))
    return {name: rows(moved, name) for name in moved.arrays}


def rows(motion: Motion, name: str) -> Array32:
    return np.asarray(motion.arrays[name], np.float32)


def held(one: Motion, frames: int) -> Motion:
    """Repeat the first frame of a motion."""
    same = {name: np.repeat(a[:1], frames, 0) for name, a in one.arrays.items()}
    return replace(one, pts=np.arange(frames), valid=np.ones(frames, bool), arrays=same)


def test_is_an_engine_for_clips(engine: LivePortraitEngine) -> None:
    checked: VideoSourceEngine = engine
    assert isinstance(checked, VideoSourceEngine)


@pytest.mark.parametrize("smooth", [0.0, 1.0, 4.0])
def test_a_driver_that_does_not_move_leaves_the_source_its_own_motion(
    engine: LivePortraitEngine, smooth: float
) -> None:
    """The smoother, which LivePortrait applies to the source's motion too, may change it."""
    own = motion(1, 12)
    out = points(engine, own, held(own, 12), MotionOptions(smooth=smooth))
    assert np.ptp(out["own"], axis=0).max() > 0.05
    assert np.abs(out["keypoints"] - out["own"]).max() < (1e-6 if smooth == 0 else 0.02 * smooth)


def test_smoothed_rows_are_those_of_the_whole_clip(engine: LivePortraitEngine) -> None:
    own, driving = motion(1, 70), motion(2, 70)
    store = engine.transfer_motion(
        MotionBuffer(own), MotionBuffer(driving), MotionOptions(smooth=1)
    )
    whole = rows(store.window(0, 70), "keypoints")
    parts = np.concatenate([rows(store.window(i, i + 7), "keypoints") for i in range(0, 70, 7)])
    np.testing.assert_allclose(parts, whole, atol=1e-6)
    driven = SmoothedMotion(MotionBuffer(driving), "liveportrait", 1).rows(0, 70)
    mine = {name: rows(own, name) for name in own.arrays}
    wanted = transfer_to_video(
        HeadMotion.from_rows(mine), HeadMotion.from_rows(driven), TransferGains(), relative=True
    ).keypoints(mine["canonical"])
    np.testing.assert_allclose(whole, wanted, atol=1e-5)


def test_the_drivers_change_at_the_same_time_is_added(engine: LivePortraitEngine) -> None:
    """Drivers of 50 and 12.5 frames/s under a source of 25; the slow one is interpolated."""
    own = motion(1, 8)
    fast = motion(2, 15, rate=50)
    half = {name: a[::2] for name, a in fast.arrays.items()}
    same = replace(
        fast, pts=np.arange(8), time_base=Fraction(1, 25), valid=np.ones(8, bool), arrays=half
    )
    wanted = points(engine, own, same)["keypoints"]
    np.testing.assert_allclose(points(engine, own, fast)["keypoints"], wanted, atol=1e-6)
    slow = motion(3, 4)
    slower = replace(slow, pts=2 * slow.pts)
    odd = points(engine, own, slower, MotionOptions(smooth=0, region="lips"))
    around = [
        points(
            engine,
            own,
            held(slow[slice(i, i + 1)], 8),
            MotionOptions(smooth=0, mode="absolute", region="lips"),
        )
        for i in (0, 1)
    ]
    assert not np.allclose(odd["keypoints"][1], odd["own"][1])
    half_way = (around[1]["keypoints"][1] - around[0]["keypoints"][1]) / 2
    np.testing.assert_allclose(odd["keypoints"][1] - odd["own"][1], half_way, atol=1e-5)


def test_a_driver_that_ended_is_held(engine: LivePortraitEngine) -> None:
    own, driving = motion(1, 10), motion(2, 4)
    longer = {
        name: np.concatenate([a, np.repeat(a[-1:], 6, 0)]) for name, a in driving.arrays.items()
    }
    held_on = replace(driving, pts=np.arange(10), valid=np.ones(10, bool), arrays=longer)
    short, long = (points(engine, own, d)["keypoints"] for d in (driving, held_on))
    np.testing.assert_array_equal(short, long)


def test_without_strength_nothing_moves(engine: LivePortraitEngine) -> None:
    out = points(engine, motion(1, 5), motion(2, 5), MotionOptions(strength=0))
    np.testing.assert_array_equal(out["keypoints"], out["own"])
    out = points(engine, motion(1, 5), motion(2, 5), MotionOptions(smooth=0, pose=0, expression=0))
    np.testing.assert_allclose(out["keypoints"], out["own"], atol=1e-6)


@pytest.mark.parametrize("mode", ["relative", "absolute"])
def test_a_single_image_drives_every_frame_alike(engine: LivePortraitEngine, mode: Any) -> None:
    own, driving = motion(1, 6), motion(2, 1)
    out = points(engine, own, driving, MotionOptions(mode=mode))
    assert out["keypoints"].shape == (6, 21, 3)
    assert not np.allclose(out["keypoints"], out["own"])


def test_free_view_turns_the_source(make: Make) -> None:
    own, driving = motion(1, 3), motion(2, 3)
    straight, turned = (
        points(e, own, driving, MotionOptions(smooth=0, mode="absolute"))["keypoints"]
        for e in (make(), make(view=ViewOptions(yaw=15)))
    )
    yawed = {
        **driving.arrays,
        "angles": np.asarray(driving.arrays["angles"]) + np.array([0, 15, 0], np.float32),
    }
    wanted = points(
        make(), own, replace(driving, arrays=yawed), MotionOptions(smooth=0, mode="absolute")
    )["keypoints"]
    np.testing.assert_allclose(turned, wanted, atol=1e-5)
    assert np.abs(turned - straight).max() > 0.05


def test_eyes_are_kept_as_open_as_in_the_first_frame(make: Make) -> None:
    own, driving = motion(1, 40), motion(2, 40)
    kept = make(LivePortraitOptions(stitching=False, keep_eyes=True))
    store = kept.transfer_motion(MotionBuffer(own), MotionBuffer(driving), RAW)
    plain = points(make(), own, driving)
    openings = rows(own, "openings")
    target = float(openings[0, :2].mean())
    wanted = kept.retargeting.eye_offsets(
        plain["own"],
        openings[:, :2],
        np.full((40, 1), OPEN_EYES if target < 0.18 else target, np.float32),
    )
    late = rows(store.window(38, 40), "keypoints")  # far from the reference frame
    np.testing.assert_allclose(late - plain["keypoints"][38:], wanted[38:], atol=1e-5)


def test_faces_that_are_missing(engine: LivePortraitEngine, make: Make) -> None:
    own = motion(1, 6, valid=[True, True, False, True, True, True])
    store = engine.transfer_motion(MotionBuffer(own), MotionBuffer(motion(2, 6)), RAW)
    assert store.window(1, 4).valid.tolist() == [True, False, True]
    lost = motion(1, 3, valid=[False] * 3)
    for pair in ((lost, motion(2, 3)), (motion(2, 3), lost)):
        with pytest.raises(NoFaceError):
            engine.transfer_motion(MotionBuffer(pair[0]), MotionBuffer(pair[1]), RAW)
    with pytest.raises(MediaError, match="mesh"):
        engine.transfer_motion(
            MotionBuffer(motion(1, 3)), MotionBuffer(replace(motion(2, 3), kind="mesh")), RAW
        )
    blind = motion(1, 3)
    arrays = {**blind.arrays, "openings": np.full((3, 3), -1, np.float32)}
    with pytest.raises(NoFaceError, match="landmarks"):
        make(LivePortraitOptions(keep_eyes=True)).transfer_motion(
            MotionBuffer(replace(blind, arrays=arrays)), MotionBuffer(motion(2, 3)), RAW
        )


def image(seed: int) -> Image:
    small = np.random.default_rng(seed).random((1, 3, 8, 8)).astype(np.float32)
    large = torch.nn.functional.interpolate(torch.from_numpy(small), (256, 256), mode="bilinear")[0]
    return np.asarray((large.permute(1, 2, 0) * 255).round().to(torch.uint8).numpy())


FACE = Face(np.array([60, 60, 190, 190], np.float32), 0.9)


Rendered = tuple[list[Image], Motion, list[Image]]


@pytest.fixture(scope="module")
def rendered(engine: LivePortraitEngine) -> Rendered:
    """Render two crops with their motion: crops, motion, images."""
    crops = [image(1), image(2)]
    own = engine.observe(
        [Frame(c, i, Fraction(1, 25), i) for i, c in enumerate(crops)], [FACE, FACE]
    )
    moved = engine.transfer_motion(MotionBuffer(own), MotionBuffer(motion(3, 2)), RAW).window(0, 2)
    return crops, moved, engine.render_frames(None, crops, moved)


def test_a_frame_is_rendered_as_a_source_of_its_own(
    engine: LivePortraitEngine, rendered: Rendered
) -> None:
    """A rendered frame of a clip equals the engine's result for that frame as a source image."""
    crops, moved, together = rendered
    assert [(p.shape, p.dtype) for p in together] == [((512, 512, 3), np.dtype(np.uint8))] * 2
    assert engine.render_frames(None, [], moved[slice(0, 0)]) == []
    source = engine.encode_source(crops[1], FACE)
    np.testing.assert_allclose(source.encoded.keypoints.numpy(), rows(moved, "own")[1:], atol=1e-5)
    alone = engine.render(source, moved[slice(1, 2)], None)[0]
    assert np.abs(alone.astype(int) - together[1]).max() <= 1
    assert not np.array_equal(together[0], together[1])


def test_larger_batches_render_the_same(make: Make, rendered: Rendered) -> None:
    """Several sources at once, as on a GPU."""
    crops, moved, single = rendered
    engine = make()
    engine.batch = 2
    both = engine.render_frames(None, crops, moved)
    assert max(np.abs(a.astype(int) - b).max() for a, b in zip(single, both, strict=True)) <= 1

"""LivePortrait as an engine, with narrow random networks: its files, still drivers, its options.

tests/engines/test_contract.py covers the rest.
"""

from __future__ import annotations

import json
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.golden import fill
from thcli.core.errors import NoFaceError, WeightsError
from thcli.core.options import LivePortraitOptions, MotionOptions, RunOptions, ViewOptions
from thcli.core.types import Array32, Face, Frame, Image, Motion
from thcli.engines.liveportrait.engine import FILES, LivePortraitEngine, assemble, load
from thcli.engines.liveportrait.networks import LivePortraitNetworks
from thcli.engines.liveportrait.transfer import HeadMotion, resting_lips
from thcli.weights.tensors import load_tensors

NARROW = 16
CPU = RunOptions(device="cpu", batch_size=2)
PARTS = (
    "appearance_feature_extractor",
    "motion_extractor",
    "warping_module",
    "spade_generator",
    "stitching",
    "lip",
    "eye",
)


def published(networks: LivePortraitNetworks) -> list[dict[str, Tensor]]:
    """Create states in the layout of the published files, spectral norm included."""
    out = []
    for network in networks:
        like: dict[str, Tensor] = {}
        for key, tensor in network.state_dict().items():
            normed = key.endswith(("conv_0.weight", "conv_1.weight", "conv_s.weight"))
            like[f"{key}_orig" if normed else key] = tensor
            if normed:
                like[f"{key}_u"], like[f"{key}_v"] = tensor.flatten(1)[:, 0], tensor[0].flatten()
        out.append(like)
    return out


@pytest.fixture(scope="module")
def states() -> list[dict[str, Tensor]]:
    return [
        fill.state(like, 0) for like in published(LivePortraitNetworks.new(width_divisor=NARROW))
    ]


@pytest.fixture(scope="module")
def engine(states: list[dict[str, Tensor]]) -> LivePortraitEngine:
    return LivePortraitEngine(assemble(states, width_divisor=NARROW), CPU)


def image(seed: int, size: int = 512) -> Image:
    small = np.random.default_rng(seed).integers(0, 256, (8, 8, 3)).astype(np.uint8)
    return np.repeat(np.repeat(small, size // 8, 0), size // 8, 1)


def face(opened: float = 0.3) -> Face:
    """Create a face of 203 points whose eyes and lips are open by a share of their width."""
    points = np.random.default_rng(0).uniform(100, 400, (203, 2)).astype(np.float32)
    for upper, lower, left, right in ((6, 18, 0, 12), (30, 42, 24, 36), (90, 102, 48, 66)):
        points[left], points[right] = (200, 200), (300, 200)
        points[upper], points[lower] = (250, 200), (250, 200 + 100 * opened)
    return Face(np.array([100, 100, 400, 400], np.float32), 1.0, points=points)


def rows(motion: Motion, name: str) -> Array32:
    return np.asarray(motion.arrays[name], np.float32)


class MemoryMotion:
    """A motion in memory."""

    def __init__(self, motion: Motion):
        self.motion, self.kind = motion, motion.kind

    def __len__(self) -> int:
        return len(self.motion)

    def window(self, start: int, stop: int) -> Motion:
        return self.motion[slice(max(start, 0), stop)]


@pytest.fixture(scope="module")
def driver(engine: LivePortraitEngine) -> MemoryMotion:
    """Observe four frames, one of them without a face."""
    frames = [Frame(image(10 + i), i, Fraction(1, 25), i) for i in range(4)]
    return MemoryMotion(engine.observe(frames, [face(0.1), face(0.3), None, face(0.5)]))


def test_keys_and_shapes_are_the_published_ones(shared: Path) -> None:
    with torch.device("meta"):
        ours = published(LivePortraitNetworks.new())
    reference = json.loads((shared / "specs" / "LIVEPORTRAIT.keys.json").read_text())
    for part, like in zip(PARTS, ours, strict=True):
        assert {key: list(t.shape) for key, t in like.items()} == {
            key: shape for key, (shape, _) in reference[part].items()
        }


def test_small_networks_come_out_of_one_file(
    states: list[dict[str, Tensor]], tmp_path: Path
) -> None:
    """The keys retarget_shoulder, retarget_mouth and retarget_eye each hold `module.` keys."""
    path = tmp_path / "stitching_retargeting_module.pth"
    stems = [prefix.removesuffix(".") for _, prefix in FILES[4:]]
    torch.save(
        {
            s: {f"module.{k}": t for k, t in state.items()}
            for s, state in zip(stems, states[4:], strict=True)
        },
        path,
    )
    read = [load_tensors(path, prefix=prefix) for _, prefix in FILES[4:]]
    nets = assemble([*states[:4], *read], width_divisor=NARROW)
    assert torch.equal(nets.lips.state_dict()["mlp.0.weight"], states[5]["mlp.0.weight"])


@pytest.mark.parametrize(
    ("part", "key"),
    [(0, "first.conv.weight"), (1, "detector.fc_kp.bias"), (3, "up_0.conv_s.weight_u")],
)
def test_a_missing_tensor_is_named(states: list[dict[str, Tensor]], part: int, key: str) -> None:
    broken = [dict(state) for state in states]
    del broken[part][key]
    with pytest.raises(WeightsError, match=key.replace(".", r"\.")) as caught:
        assemble(broken, width_divisor=NARROW)
    assert FILES[part][0] in str(caught.value)


def test_absent_weights_are_named_with_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("THCLI_WEIGHTS", str(tmp_path))
    with pytest.raises(WeightsError, match="thcli weights pull liveportrait-appearance") as caught:
        load(RunOptions(device="cpu", offline=True))
    assert caught.value.exit_code == 5


def test_motion_rows(driver: MemoryMotion) -> None:
    arrays, valid = driver.motion.arrays, driver.motion.valid
    assert valid.tolist() == [True, True, False, True]
    assert {name: a.shape[1:] for name, a in arrays.items()} == {
        "angles": (3,),
        "shift": (3,),
        "scale": (1,),
        "expression": (21, 3),
        "canonical": (21, 3),
        "openings": (3,),
        "landmarks": (68, 2),
    }
    assert all(not np.any(a[2]) for a in arrays.values())
    np.testing.assert_allclose(rows(driver.motion, "openings")[:, 0], [0.1, 0.3, 0, 0.5], atol=1e-6)


@pytest.mark.parametrize("mode", ["relative", "absolute"])
def test_a_still_driver_gives_a_still_face(
    engine: LivePortraitEngine, driver: MemoryMotion, mode: Literal["relative", "absolute"]
) -> None:
    still = MemoryMotion(driver.motion[slice(0, 1)])
    same = {name: np.repeat(a, 6, 0) for name, a in still.motion.arrays.items()}
    still.motion = Motion("liveportrait", np.arange(6), Fraction(1, 25), np.ones(6, bool), same)
    source = engine.encode_source(image(1), face())
    target = engine.retarget(source, still, MotionOptions(mode=mode))
    points = rows(target.window(0, 6), "keypoints")
    assert np.ptp(points, axis=0).max() < 1e-6
    own = source.encoded.keypoints.numpy()
    stitched = engine.retargeting.stitch(own, own)
    assert (np.abs(points[0] - stitched).max() < 1e-6) == (mode == "relative")


def test_strength_zero_and_no_stitching_leave_the_source_as_it_is(
    states: list[dict[str, Tensor]], engine: LivePortraitEngine, driver: MemoryMotion
) -> None:
    source = engine.encode_source(image(1), face())
    own = source.encoded.keypoints.numpy()
    still = engine.retarget(source, driver, MotionOptions(strength=0))
    np.testing.assert_array_equal(still.window(0, 4).arrays["keypoints"], np.repeat(own, 4, 0))
    loose = LivePortraitEngine(
        assemble(states, width_divisor=NARROW), CPU, LivePortraitOptions(stitching=False)
    )
    target = loose.retarget(source, driver, MotionOptions(smooth=0))
    np.testing.assert_allclose(rows(target.window(0, 1), "keypoints"), own, atol=1e-6)


def test_retargeted_eyes_follow_the_drivers_left_one_alone(
    states: list[dict[str, Tensor]], driver: MemoryMotion
) -> None:
    eyes = LivePortraitEngine(
        assemble(states, width_divisor=NARROW),
        CPU,
        LivePortraitOptions(stitching=False, retarget_eyes=True),
    )
    source = eyes.encode_source(image(1), face())
    own = source.encoded.keypoints.numpy()
    target = eyes.retarget(source, driver, MotionOptions(smooth=0)).window(0, 2)
    wanted = own + eyes.retargeting.eye_offsets(
        own, np.array([[0.3, 0.3]]), np.array([[0.1], [0.3]])
    )
    np.testing.assert_allclose(rows(target, "keypoints"), wanted, atol=1e-5)
    with pytest.raises(NoFaceError, match="landmarks"):
        eyes.retarget(
            eyes.encode_source(image(1), replace(face(), points=None)), driver, MotionOptions()
        )


@pytest.mark.parametrize("frames", [1, 2])
def test_free_view_turns_the_head_by_its_own_angles(
    states: list[dict[str, Tensor]], frames: int
) -> None:
    """Driven by its own image. A single image moves the face alone, but the head is turned too."""
    view, loose = ViewOptions(yaw=20, pitch=-5), LivePortraitOptions(stitching=False)
    turned = LivePortraitEngine(assemble(states, width_divisor=NARROW), CPU, loose, view)
    source = turned.encode_source(image(1), face())
    own = MemoryMotion(
        turned.observe(
            [Frame(image(1), i, Fraction(1, 25), i) for i in range(frames)], [face()] * frames
        )
    )
    given = {**source.rows, "angles": source.rows["angles"] + np.array([-5, 20, 0], np.float32)}
    if frames == 1:
        given["expression"] = 2 * given["expression"] - resting_lips()
    points = rows(turned.retarget(source, own, MotionOptions(smooth=0)).window(0, 1), "keypoints")
    np.testing.assert_allclose(
        points, HeadMotion.from_rows(given).keypoints(source.rows["canonical"]), atol=1e-5
    )

"""Training of Diffused Heads: batches, the lip loss and smoke runs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from thcli.core.errors import MediaError
from thcli.core.options import DiffusedHeadsTrainOptions, TrainOptions
from thcli.train.core.run import create_task, train
from thcli.train.diffused_heads.data import MARGIN, TalkingFaceBatches, jitter_light, widen_crop
from thcli.train.diffused_heads.train import DiffusedHeadsTask, mean_at_lips
from thcli.voices.diffused_heads.published import build_unet
from thcli.weights.tensors import load_tensors

OPTIONS = TrainOptions(size=48, device="cpu", threads=1)


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clips")
    DiffusedHeadsTask.write_synthetic_data(folder, OPTIONS)
    return folder


def test_batches_follow_from_seed_and_step(clips: Path) -> None:
    data, again = (TalkingFaceBatches(clips, OPTIONS, 4, 2) for _ in range(2))
    one, same, other = data.batch(3), again.batch(3), data.batch(4)
    assert {k: tuple(v.shape) for k, v in one.items()} == {
        "target": (4, 3, 48, 48),
        "identity": (4, 3, 48, 48),
        "motion": (4, 6, 48, 48),
        "codes": (4, 5, 12),
        "lips": (4, 4),
    }
    assert all(torch.equal(one[k], same[k]) for k in one)
    assert not torch.equal(one["target"], other["target"])
    assert (
        float(one["target"].abs().max()) <= 1
        and float(one["lips"].min()) > 0
        and float(one["lips"].max()) < 48
    )


def test_the_dataset_is_cropped_once(clips: Path) -> None:
    TalkingFaceBatches(clips, OPTIONS, 2, 2)
    frames = clips / ".talking-48" / "frames.npy"
    before = frames.stat().st_mtime_ns
    data = TalkingFaceBatches(clips, OPTIONS, 2, 2)
    assert frames.stat().st_mtime_ns == before and data.clips.frames.shape == (
        24,
        48 + 2 * MARGIN,
        48 + 2 * MARGIN,
        3,
    )


def test_clips_without_a_tracked_face_are_refused(clips: Path, tmp_path: Path) -> None:
    (tmp_path / "one.mp4").write_bytes((clips / "one.mp4").read_bytes())
    with pytest.raises(MediaError, match="tracked face"):
        TalkingFaceBatches(tmp_path, OPTIONS, 2, 2)


@given(box=st.tuples(*[st.integers(0, 30)] * 2), side=st.integers(0, 8))
@settings(deadline=None, max_examples=30)
def test_the_lip_loss_is_the_mean_over_the_lip_box(box: tuple[int, int], side: int) -> None:
    x, y = box
    error = torch.rand(1, 40, 40, generator=torch.Generator().manual_seed(x))
    boxes = torch.tensor([[x, y, x + side, y + side]], dtype=torch.float32)
    wanted = error[0, max(0, y - 2) : y + side + 3, max(0, x - 2) : x + side + 3].mean()
    assert float(mean_at_lips(error, boxes, 2)) == pytest.approx(float(wanted), rel=1e-5)


def test_all_images_of_an_item_have_the_same_lighting() -> None:
    flat = np.stack([np.full((3, 4, 4), v, np.float32) for v in (0.0, 0.2)])
    jittered = jitter_light(flat, np.random.default_rng(0), 0.1)
    assert not np.allclose(jittered, flat)
    assert np.ptp((jittered[1] - jittered[0]).reshape(3, -1), axis=1).max() < 1e-6


def test_widening_a_crop_keeps_its_centre() -> None:
    from thcli.core.types import Crop

    grown = widen_crop(Crop(np.eye(3), (10, 10)), 3)
    assert grown.size == (16, 16)
    np.testing.assert_allclose(grown.crop_from_frame @ [4.5, 4.5, 1], [7.5, 7.5, 1])


@pytest.mark.slow
def test_a_smoke_run_trains_and_exports(tmp_path: Path) -> None:
    task = create_task("diffused-heads", replace(OPTIONS, narrow=16), None)
    assert isinstance(task, DiffusedHeadsTask) and task.unet.config.base_channels == 32
    report = train(
        "diffused-heads",
        None,
        tmp_path / "run",
        TrainOptions(smoke=True, steps=2, device="cpu", threads=1),
    )
    assert (
        report["steps"] == 2
        and Path(report["output"]).name == "dh-s.safetensors"
        and set(report["losses"]) == {"simple", "lips"}
    )
    from safetensors.numpy import load_file

    keys = load_file(report["output"])
    assert all(key.startswith("unet.") for key in keys) and "unet.input_blocks.0.0.weight" in keys


@pytest.mark.slow
@pytest.mark.parametrize("grey", [False, True])
def test_the_published_network_learns_variances(tmp_path: Path, grey: bool) -> None:
    options = TrainOptions(smoke=True, steps=1, batch=2, samples=0, device="cpu", threads=1)
    report = train(
        "diffused-heads-published",
        None,
        tmp_path / "run",
        options,
        DiffusedHeadsTrainOptions(grey=grey, lip_loss=not grey),
    )
    assert set(report["losses"]) == {"simple", "vlb", *(() if grey else ("lips",))} and all(
        np.isfinite(v) for v in report["losses"].values()
    )
    found = build_unet(load_tensors(Path(report["output"]), prefix="state_dict."), "x")
    assert found.config.motion_channels == (
        1 if grey else 3
    ) and found.config.attention_factors == (4,)

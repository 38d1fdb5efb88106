"""Training of the voice: features and motion of clips, batches and a smoke run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from thcli.audio.features import ENERGY, MEL
from thcli.core.errors import MediaError
from thcli.core.events import Finished, silent
from thcli.core.options import A2mTrainOptions, RunOptions, TrainOptions
from thcli.evaluate.datasets import talking_clips
from thcli.motion import canonical
from thcli.train.a2m import clips, synthetic
from thcli.train.a2m.batches import SpeechMotionBatches, augment, cut_window, target_at
from thcli.train.a2m.train import A2mTask, insert_midpoints
from thcli.train.core.run import create_task, train
from thcli.voices.a2m import voice
from thcli.voices.a2m.features import INPUT_COLUMNS
from thcli.weights.tensors import load_tensors

OWN = A2mTrainOptions(shapes=3)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("clips")
    synthetic.write_talking_clips(made)
    return made


@pytest.fixture(scope="module")
def data(folder: Path) -> SpeechMotionBatches:
    return SpeechMotionBatches(folder, TrainOptions(size=128), OWN, 4)


def test_a_smoke_run_exports_a_usable_voice(tmp_path: Path) -> None:
    options = TrainOptions(smoke=True, steps=3, samples=3, threads=1)
    report = train("a2m", None, tmp_path / "run", options, OWN)
    assert report["clips"] == 2 and np.isfinite(report["losses"]["likeliest"])
    assert list((tmp_path / "run" / "samples").glob("*.png"))
    tensors = load_tensors(tmp_path / "run" / "a2m.safetensors")
    assert {value.dtype for value in tensors.values()} == {torch.float16}
    network = voice.build_network(tensors, "trial")
    assert (
        network.basis.abs().max() > 0
        and 0 < float(network.unit) < 0.1
        and 1 <= float(network.gain) <= 1.5
    )
    assert voice.AudioToMotionVoice([network], RunOptions(device="cpu")).motion_kind == "mesh"


def test_learning_lowers_the_loss(data: SpeechMotionBatches) -> None:
    torch.manual_seed(0)
    task = create_task("a2m", TrainOptions(size=128, narrow=4), OWN)
    assert isinstance(task, A2mTask)
    task.speaker.basis.copy_(torch.from_numpy(data.basis))
    optimiser = task.optimiser(task.phases[0], task.speaker.parameters(), 3e-3)
    batch, found = data.batch(0), []
    for _ in range(30):
        loss = task.losses("speaker", batch, torch.Generator().manual_seed(0), {})["likeliest"]
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]  # torch's own
        optimiser.step()
        found.append(float(loss.detach()))
    assert found[-1] < 0.6 * found[0]


def test_batches_follow_from_their_step(folder: Path, data: SpeechMotionBatches) -> None:
    again = SpeechMotionBatches(folder, TrainOptions(size=128), OWN, 4)
    for name, value in data.batch(5).items():
        assert torch.equal(value, again.batch(5)[name])
        assert not torch.equal(value, data.batch(6)[name]) or name == "weight"
    batch = data.batch(0)
    assert (
        batch["heard"].shape == (4, 128, INPUT_COLUMNS)
        and batch["target"].shape == (4, 32, 4)
        and batch["weight"].shape == (4, 32)
    )
    assert all(torch.isfinite(value).all() for value in batch.values())
    assert data.fingerprint == again.fingerprint and len(data) == 2


def test_targets_reproduce_the_motion_and_the_lip_opening(data: SpeechMotionBatches) -> None:
    for clip in data.clips:
        rebuilt = np.tensordot(clip.target[:, :-1] * clip.size, data.basis, 1)
        gap = (
            canonical.lip_gaps(canonical.neutral() + rebuilt).mean(-1)
            - canonical.lip_gaps(canonical.neutral()).mean()
        )
        assert np.corrcoef(gap, clip.opening)[0, 1] > 0.99
        assert np.allclose(clip.target[:, -1] * clip.size * data.unit, clip.opening, atol=1e-6)
        loud = np.interp(
            clip.seconds,
            np.arange(len(clip.rows[1.0])) / 100,
            clip.rows[1.0][:, ENERGY].astype(float),
        )
        assert np.corrcoef(loud, clip.opening)[0, 1] > 0.6


def test_truth_is_closed_far_outside_and_unknown_near_a_clip(data: SpeechMotionBatches) -> None:
    clip = data.clips[0]
    rows, weight = target_at(clip, np.array([-1.0, -0.2, 0.5, 1.0, 3.1, 4.0]))
    assert weight.tolist() == [0.5, 0, 1, 1, 0, 0.5]
    assert not rows[[0, 1, 4, 5]].any() and rows[2:4].any()
    there, _ = target_at(clip, clip.seconds)
    assert np.allclose(there, clip.target, atol=1e-5)


def test_a_faster_clip_is_higher_and_shorter(data: SpeechMotionBatches) -> None:
    rows = data.clips[0].rows
    assert len(rows[1.16]) == pytest.approx(len(rows[1.0]) / 1.16, abs=2)
    assert len(rows[0.87]) == pytest.approx(len(rows[1.0]) / 0.87, abs=2)


def test_room_noise_continues_outside_of_a_clip(data: SpeechMotionBatches) -> None:
    rows = data.clips[0].rows[1.0]
    item = cut_window(rows, -50, 128, np.random.default_rng(1))
    assert np.array_equal(item[50:, MEL], rows[:78, MEL].astype(np.float32))
    assert item[:50, MEL].max() < rows[:, MEL].max() - 3
    worse = augment(item, rows, np.random.default_rng(2))
    assert (
        worse.shape == item.shape and np.isfinite(worse).all() and not np.array_equal(worse, item)
    )


def test_clips_are_found_and_selected_by_speaker(folder: Path, tmp_path: Path) -> None:
    assert [speaker for _, speaker in talking_clips.find_clips(folder)] == ["speaker0", "speaker1"]
    found = talking_clips.find_clips(folder)
    assert talking_clips.select_clips(found, "speaker", ["speaker0"]) == found[1:]
    with pytest.raises(MediaError, match="left"):
        talking_clips.select_clips(found, "nobody", [])
    with pytest.raises(MediaError, match="holds no clips"):
        talking_clips.find_clips(tmp_path)
    (tmp_path / "index.csv").write_text("file,speaker\nlost.mp4,x\n", "utf-8")
    with pytest.raises(MediaError, match=r"lost\.mp4"):
        talking_clips.find_clips(tmp_path)


def test_held_out_speakers_are_not_trained_on(folder: Path) -> None:
    own = A2mTrainOptions(shapes=3, hold_out="speaker0")
    data = SpeechMotionBatches(folder, TrainOptions(size=128), own, 2)
    assert {clip.speaker for clip in data.clips} == {"speaker1"}


def test_the_gain_is_the_ratio_of_true_and_predicted_deviations() -> None:
    task = create_task("a2m", TrainOptions(size=128, narrow=8), OWN)
    assert isinstance(task, A2mTask)
    target = torch.randn(2, 32, 4, generator=torch.Generator().manual_seed(0))
    task._update_gain(0.8 * target, target, torch.ones(2, 32))
    assert float(task.speaker.gain) == pytest.approx(1.25, rel=1e-3)


def test_the_latent_loss_is_the_divergence_of_posterior_and_prior(
    data: SpeechMotionBatches,
) -> None:
    task = create_task("a2m", TrainOptions(size=128, narrow=8), A2mTrainOptions(shapes=3, drop=0))
    assert isinstance(task, A2mTask)
    batch = data.batch(0)
    parts: dict[str, torch.Tensor] = {}
    task.posterior.register_forward_hook(lambda _, __, out: parts.update(mean=out[0], log=out[1]))
    task.speaker.flow.register_forward_hook(lambda _, inputs, out: parts.update(z=inputs[0], u=out))
    loss = task.losses("speaker", batch, torch.Generator().manual_seed(0), {})["latent"]
    standardised = (parts["z"] - parts["mean"]) / parts["log"].exp()
    log_posterior, log_prior = -parts["log"] - standardised**2 / 2, -(parts["u"] ** 2) / 2
    expected = (log_posterior - log_prior).mean()
    torch.testing.assert_close(loss, 0.02 * expected, rtol=1e-3, atol=1e-5)


def test_a_clip_without_a_face_is_left_out(folder: Path, tmp_path: Path) -> None:
    warned: list[object] = []
    (tmp_path / "broken.wav").write_bytes(b"nothing")
    found = [*talking_clips.find_clips(folder), (tmp_path / "broken.wav", "x")]
    assert len(clips.load_clips(found, None, (1.0,), warned.append)) == 2
    assert any("broken.wav" in str(event) for event in warned)
    (finished,) = [event for event in warned if isinstance(event, Finished)]
    assert finished.done == 2 and finished.seconds > 0
    with pytest.raises(MediaError, match="None of the clips"):
        clips.load_clips(found[2:], None, (1.0,), silent)


def test_midpoints_are_inserted_between_rows() -> None:
    rows = torch.tensor([[[0.0], [2.0], [6.0]]])
    assert insert_midpoints(rows).flatten().tolist() == [0, 1, 2, 4, 6, 6]

"""Training of the voice: features and motion of clips, batches and a smoke run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from thcli.audio.features import ENERGY, MEL
from thcli.core.errors import MediaError
from thcli.core.events import Finished, silent
from thcli.core.options import A2mTrainOptions, RunOptions, TrainOptions
from thcli.core.types import Array
from thcli.evaluate.datasets import talking_clips
from thcli.motion import canonical
from thcli.train.a2m import clips, fitting, offsets, synthetic
from thcli.train.a2m.batches import (
    SpeechMotionBatches,
    augment,
    blur_phones,
    cut_window,
    target_at,
)
from thcli.train.a2m.train import A2mTask
from thcli.train.core.run import create_task, train
from thcli.voices.a2m import articulation, voice
from thcli.voices.a2m.features import INPUT_COLUMNS, PHONE_COLUMNS
from thcli.voices.a2m.networks import CLOSURES, TemporalNetwork
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
    assert report["clips"] == 2 and np.isfinite(report["losses"]["phones"])
    assert list((tmp_path / "run" / "samples").glob("*.png"))
    tensors = load_tensors(tmp_path / "run" / "a2m.safetensors")
    assert {value.dtype for value in tensors.values()} == {torch.float16}
    network = voice.build_network(tensors, "trial")
    assert (
        network.basis.abs().max() > 0
        and 0 < float(network.unit) < 0.1
        and 1 <= float(network.gain.min()) <= float(network.gain.max()) <= fitting.MOST_GAIN
        and network.linear.weight.abs().max() > 0
    )
    assert voice.AudioToMotionVoice(network, RunOptions(device="cpu")).motion_kind == "mesh"


def test_learning_lowers_the_loss(data: SpeechMotionBatches) -> None:
    torch.manual_seed(0)
    task = create_task("a2m", TrainOptions(size=128, narrow=4), OWN)
    assert isinstance(task, A2mTask)
    task.speaker.basis.copy_(torch.from_numpy(data.basis))
    optimiser = task.optimiser(task.phases[0], task.speaker.parameters(), 3e-3)
    batch, found = data.batch(0), []
    for _ in range(30):
        terms = task.losses("speaker", batch, torch.Generator().manual_seed(0), {})
        loss = torch.stack(list(terms.values())).sum()
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
        and batch["target"].shape == (4, 32, 4 + CLOSURES)
        and batch["weight"].shape == (4, 32)
    )
    assert all(torch.isfinite(value).all() for value in batch.values())
    assert data.fingerprint == again.fingerprint and len(data) == 2


def test_targets_reproduce_the_motion_and_the_lip_opening(data: SpeechMotionBatches) -> None:
    for clip in data.clips:
        shapes, opening = clip.target[:, :-3], clip.target[:, -3]
        rebuilt = np.tensordot(shapes * clip.size, data.basis, 1)
        gap = (
            canonical.lip_gaps(canonical.neutral() + rebuilt).mean(-1)
            - canonical.lip_gaps(canonical.neutral()).mean()
        )
        assert np.corrcoef(gap, clip.opening)[0, 1] > 0.99
        assert np.allclose(opening * clip.size * data.unit, clip.opening, atol=1e-6)
        assert np.array_equal(clip.target[:, -2] > 0, clip.opening < clips.CLOSED)
        loud = np.interp(
            clip.seconds, np.arange(len(clip.rows)) / 100, clip.rows[:, ENERGY].astype(float)
        )
        assert np.corrcoef(loud, clip.opening)[0, 1] > 0.6


def test_truth_is_closed_far_outside_and_unknown_near_a_clip(data: SpeechMotionBatches) -> None:
    clip = data.clips[0]
    begin = clip.seconds[0]
    rows, weight = target_at(clip, begin + np.array([-1.0, -0.2, 0.5, 1.0, 3.1, 4.0]))
    assert weight.tolist() == [0.5, 0, 1, 1, 0, 0.5]
    assert not rows[[0, 1, 4, 5], :-CLOSURES].any() and rows[2:4].any()
    assert rows[[0, 1, 4, 5], -CLOSURES].tolist() == [1, 1, 1, 1]
    there, _ = target_at(clip, clip.seconds)
    assert np.allclose(there, clip.target, atol=1e-5)


def test_room_noise_and_silence_continue_outside_of_a_clip(data: SpeechMotionBatches) -> None:
    clip = data.clips[0]
    item, phones = cut_window(clip, np.arange(-50, 78), np.random.default_rng(1))
    assert np.array_equal(item[50:, MEL], clip.rows[:78, MEL].astype(np.float32))
    assert item[:50, MEL].max() < clip.rows[:, MEL].max() - 3
    assert phones.shape == (128, PHONE_COLUMNS) and len(set(phones[:50].argmax(1))) == 1
    worse = augment(item, clip.rows, np.random.default_rng(2))
    assert (
        worse.shape == item.shape and np.isfinite(worse).all() and not np.array_equal(worse, item)
    )
    blurred = blur_phones(phones, np.random.default_rng(3))
    assert np.allclose(np.exp(blurred).sum(1), 1, atol=1e-4)
    assert not np.array_equal(blurred, phones)


def talking(name: str, late: float, related: bool = True) -> clips.TalkingClip:
    """Return 12 s of a person whose lips open and shut with the phones, `late` seconds later."""
    generator = np.random.default_rng(sum(map(ord, name)))
    steps = generator.integers(0, PHONE_COLUMNS, 100)
    phones = np.full((1200, PHONE_COLUMNS), -6.0, np.float32)
    phones[np.arange(1200), np.repeat(steps, 12)] = 0
    openness = (np.arange(PHONE_COLUMNS) % 7) / 7 + 0.1
    openness[clips.BILABIAL] = 0
    truth = np.repeat(openness[steps], 12) if related else generator.random(1200)
    truth = np.convolve(truth, np.hanning(9) / 4, "same")
    seconds = np.arange(300) / 25
    opening = np.interp(seconds - late, np.arange(1200) / 100, truth).astype(np.float32) * 0.1
    opening[opening < 0.012] = 0
    return clips.TalkingClip(
        name,
        name,
        np.zeros((1200, 82), np.float16),
        phones.astype(np.float16),
        seconds,
        np.zeros((300, 1404), np.float32),
        opening,
        np.ones(300, bool),
    )


def test_sound_and_picture_are_put_in_step() -> None:
    """Also of speakers who are late together, by 0.1 s of their camera."""
    camera = 0.1
    late = {"a": 0.0, "b": 0.1, "c": -0.06, "d": 0.0, "e": 0.04, "f": 0.0, "g": 0.0}
    people = [talking(name, seconds + camera) for name, seconds in late.items()]
    warned: list[object] = []
    kept = offsets.correct_offsets([*people, talking("x", 0, related=False)], warned.append)
    assert [clip.name for clip in kept] == list(late)
    assert any("x is left out" in str(event) for event in warned)
    moved = {clip.name: -clip.seconds[0] for clip in kept}
    constant = np.median([moved[name] - seconds for name, seconds in late.items()])
    for name, seconds in late.items():
        assert moved[name] - constant == pytest.approx(seconds, abs=0.021)
    assert constant == pytest.approx(camera + articulation.LEAD * offsets.STEP, abs=0.021)


def test_speakers_are_not_moved_together_by_what_is_no_peak() -> None:
    """A value at the far end, noise, a peak at the border, or one too far away."""

    def common(curve: Array, offset: int) -> int:
        return offsets._common_offset([(300, curve, offset)] * 3)

    def bell(lag: int) -> Array:
        return np.asarray(0.5 * np.exp(-(((offsets.LAGS - lag) / 3) ** 2)))

    assert common(bell(-1), 0) == articulation.LEAD - 1
    assert common(bell(11), 12) == articulation.LEAD - 1
    far_end = np.where(offsets.LAGS == -13, 0.9, 0.1)
    for curve, offset in ((far_end, 12), (np.full(31, 0.21), 0), (bell(15), 0), (bell(12), 0)):
        assert common(curve, offset) == 0


def test_one_speaker_alone_is_left_as_it_is() -> None:
    alone = talking("a", 0.1)
    assert offsets.correct_offsets([alone]) == [alone] and alone.seconds[0] == 0


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


def test_tuned_speakers_set_amplitudes_and_are_not_drawn(folder: Path) -> None:
    own = A2mTrainOptions(shapes=3, tune="speaker1")
    task = create_task("a2m", TrainOptions(size=128, narrow=8), own)
    assert isinstance(task, A2mTask)
    data = task.load_data(folder, 2, silent)
    assert isinstance(data, SpeechMotionBatches)
    assert {clip.speaker for clip in data.clips} == {"speaker0"}
    assert {clip.speaker for clip in data.tuning} == {"speaker1"}
    exported = task.export_tensors({"speaker": task.speaker.state_dict()})
    truth = [clip.target[clip.seen, :-CLOSURES].std(0) for clip in data.tuning]
    assert np.allclose(exported["deviation"].numpy(), np.median(truth, 0), rtol=2e-3)
    with pytest.raises(MediaError, match="left"):
        SpeechMotionBatches(
            folder, TrainOptions(size=128), A2mTrainOptions(tune="speaker0,speaker1"), 2
        )


def test_motion_in_step_has_no_mismatch() -> None:
    task = create_task("a2m", TrainOptions(size=128, narrow=8), OWN)
    assert isinstance(task, A2mTask)
    truth = torch.randn(2, 40, 4, generator=torch.Generator().manual_seed(0))
    seen = torch.ones(2, 40)
    seen[1] = 0.5  # an item whose face was not seen does not count
    motion = torch.stack([3 * truth[0] + 1, -truth[1]])
    assert float(task.mismatch(motion, truth, seen)) == pytest.approx(0, abs=1e-3)
    assert float(task.mismatch(-motion, truth, seen)) == pytest.approx(2, abs=1e-3)


def test_amplitudes_are_those_of_the_truth(data: SpeechMotionBatches) -> None:
    task = create_task("a2m", TrainOptions(size=128, narrow=8), OWN)
    assert isinstance(task, A2mTask)
    fitting.fit_linear(task.speaker, data.clips)
    task.speaker.eval()
    with torch.no_grad():
        for member in task.speaker.networks:
            assert isinstance(member, TemporalNetwork) and member.out.bias is not None
            member.out.weight.zero_()
            member.out.bias.zero_()
        task.speaker.linear.weight.mul_(4)
    fitting.set_amplitudes(task.speaker, data.clips, 0.8)
    ratios = []
    for clip in data.clips:
        with torch.inference_mode():
            found = task.speaker(fitting.clip_inputs(clip))[0, :, :-CLOSURES]
            found = task.speaker.with_amplitude(found, torch.zeros_like(found), 0.0)
        rows = fitting.rows_at_frames(clip, found.numpy())
        ratios.append(clip.target[clip.seen, :-CLOSURES].std(0) / rows.std(0))
    ratio, gain = np.median(ratios, 0), task.speaker.gain.numpy()
    ratio[-1] *= fitting.OPENING_SHARE
    free = (gain > 1 + 1e-3) & (gain < fitting.MOST_GAIN - 1e-3)
    assert free.any() and np.allclose(ratio[free], 1, atol=1e-3)


def test_lips_are_not_wider_than_those_of_people() -> None:
    """Two shapes widen the lips: independent in people, alike in the outputs."""
    generator = np.random.default_rng(0)
    truths = [generator.standard_normal((400, 3)) for _ in range(5)]
    outputs = [np.stack([rows[:, 0], rows[:, 0], rows[:, 2]], 1) / 2.5 for rows in truths]
    features = np.array([[1.0, 1.0, 0.0], [0.2, -0.2, 1.0]])
    gain = fitting.limit_width(np.full(4, 2.0), outputs, truths, features, 0.8)
    changed = gain != 2.0
    assert changed.sum() == 1 and changed[:2].any()
    moved = [((rows * gain[:-1]) @ features[0]).std() for rows in outputs]
    true = [(rows @ features[0]).std() for rows in truths]
    assert np.median(np.divide(moved, true)) == pytest.approx(0.8, abs=0.08)
    narrow = np.full(4, 1.0)
    assert (fitting.limit_width(narrow, outputs, truths, features, 0.8) == narrow).all()


def test_the_option_of_width_reaches_the_amplitudes(monkeypatch: pytest.MonkeyPatch) -> None:
    widths: list[float] = []
    monkeypatch.setattr(
        "thcli.train.a2m.train.set_amplitudes", lambda _network, _clips, width: widths.append(width)
    )
    for width in (0.4, 0.8):
        options = TrainOptions(size=128, narrow=8)
        task = create_task("a2m", options, replace(OWN, width=width))
        assert isinstance(task, A2mTask)
        task.export_tensors({"speaker": task.speaker.state_dict()})
    assert widths == [0.4, 0.8]


def test_the_linear_filter_predicts_what_it_was_solved_for(data: SpeechMotionBatches) -> None:
    task = create_task("a2m", TrainOptions(size=128, narrow=8), OWN)
    assert isinstance(task, A2mTask)
    fitting.fit_linear(task.speaker, data.clips)
    assert not any(value.requires_grad for value in task.speaker.linear.parameters())
    for clip in data.clips:
        with torch.inference_mode():
            rows = task.speaker.members(fitting.clip_inputs(clip))[0, 0].numpy()
        found = fitting.rows_at_frames(clip, rows)[:, -1 - CLOSURES]
        assert np.corrcoef(found, clip.target[clip.seen, -1 - CLOSURES])[0, 1] > 0.8


def test_a_clip_without_a_face_is_left_out(folder: Path, tmp_path: Path) -> None:
    warned: list[object] = []
    (tmp_path / "broken.wav").write_bytes(b"nothing")
    found = [*talking_clips.find_clips(folder), (tmp_path / "broken.wav", "x")]
    assert len(clips.load_clips(found, None, warned.append)) == 2
    assert any("broken.wav" in str(event) for event in warned)
    (finished,) = [event for event in warned if isinstance(event, Finished)]
    assert finished.done == 2 and finished.seconds > 0
    with pytest.raises(MediaError, match="None of the clips"):
        clips.load_clips(found[2:], None, silent)

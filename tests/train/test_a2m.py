"""Training of the voice: what clips become, what batches hold, and a trial from beginning to end."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from thcli.audio.features import ENERGY, MEL
from thcli.core.errors import MediaError
from thcli.core.events import silent
from thcli.core.options import A2mTrainOptions, RunOptions, TrainOptions
from thcli.evaluate.datasets import talking_clips
from thcli.motion import canonical
from thcli.train.a2m import clips, synthetic
from thcli.train.a2m.batches import Talks, disturbed, placed, truth
from thcli.train.a2m.train import A2m, between
from thcli.train.core.run import recipe_of, train
from thcli.voices.a2m import voice
from thcli.voices.a2m.features import COLUMNS
from thcli.weights.tensors import load_tensors

OWN = A2mTrainOptions(shapes=3)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("talks")
    synthetic.talking_clips(made)
    return made


@pytest.fixture(scope="module")
def talks(folder: Path) -> Talks:
    return Talks(folder, TrainOptions(size=128), OWN, 4)


def test_trial_teaches_and_its_weights_make_a_voice(tmp_path: Path) -> None:
    options = TrainOptions(smoke=True, steps=3, samples=3, threads=1)
    report = train("a2m", None, tmp_path / "run", options, OWN)
    assert report["clips"] == 2 and np.isfinite(report["losses"]["likeliest"])
    assert list((tmp_path / "run" / "samples").glob("*.png"))
    tensors = load_tensors(tmp_path / "run" / "a2m.safetensors")
    assert {value.dtype for value in tensors.values()} == {torch.float16}
    network = voice.filled(tensors, "trial")
    assert (
        network.basis.abs().max() > 0
        and 0 < float(network.unit) < 0.1
        and 1 <= float(network.gain) <= 1.5
    )
    assert voice.A2M([network], RunOptions(device="cpu")).motion_kind == "mesh"


def test_learning_lowers_the_loss(talks: Talks) -> None:
    torch.manual_seed(0)
    recipe = recipe_of("a2m", TrainOptions(size=128, narrow=4), OWN)
    assert isinstance(recipe, A2m)
    recipe.speaker.basis.copy_(torch.from_numpy(talks.basis))
    optimiser = recipe.optimiser(recipe.phases[0], recipe.speaker.parameters(), 3e-3)
    batch, found = talks.batch(0), []
    for _ in range(30):
        loss = recipe.losses("speaker", batch, torch.Generator().manual_seed(0), {})["likeliest"]
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]  # torch's own
        optimiser.step()
        found.append(float(loss.detach()))
    assert found[-1] < 0.6 * found[0]


def test_batches_follow_from_their_number(folder: Path, talks: Talks) -> None:
    again = Talks(folder, TrainOptions(size=128), OWN, 4)
    for name, value in talks.batch(5).items():
        assert torch.equal(value, again.batch(5)[name])
        assert not torch.equal(value, talks.batch(6)[name]) or name == "weight"
    batch = talks.batch(0)
    assert (
        batch["heard"].shape == (4, 128, COLUMNS)
        and batch["target"].shape == (4, 32, 4)
        and batch["weight"].shape == (4, 32)
    )
    assert all(torch.isfinite(value).all() for value in batch.values())
    assert talks.fingerprint == again.fingerprint and len(talks) == 2


def test_targets_are_what_the_face_did(talks: Talks) -> None:
    """The basis gives the movement back, and openings are those of the lips, in their own unit."""
    for talk in talks.talks:
        rebuilt = np.tensordot(talk.target[:, :-1] * talk.size, talks.basis, 1)
        gap = (
            canonical.lip_gaps(canonical.neutral() + rebuilt).mean(-1)
            - canonical.lip_gaps(canonical.neutral()).mean()
        )
        assert np.corrcoef(gap, talk.opening)[0, 1] > 0.99
        assert np.allclose(talk.target[:, -1] * talk.size * talks.unit, talk.opening, atol=1e-6)
        loud = np.interp(
            talk.seconds,
            np.arange(len(talk.rows[1.0])) / 100,
            talk.rows[1.0][:, ENERGY].astype(float),
        )
        assert np.corrcoef(loud, talk.opening)[0, 1] > 0.6


def test_truth_is_closed_far_outside_and_unknown_near_a_clip(talks: Talks) -> None:
    talk = talks.talks[0]
    rows, weight = truth(talk, np.array([-1.0, -0.2, 0.5, 1.0, 3.1, 4.0]))
    assert weight.tolist() == [0.5, 0, 1, 1, 0, 0.5]
    assert not rows[[0, 1, 4, 5]].any() and rows[2:4].any()
    there, _ = truth(talk, talk.seconds)
    assert np.allclose(there, talk.target, atol=1e-5)


def test_a_faster_clip_is_higher_and_shorter(talks: Talks) -> None:
    rows = talks.talks[0].rows
    assert len(rows[1.16]) == pytest.approx(len(rows[1.0]) / 1.16, abs=2)
    assert len(rows[0.87]) == pytest.approx(len(rows[1.0]) / 0.87, abs=2)


def test_outside_of_a_clip_its_room_goes_on(talks: Talks) -> None:
    rows = talks.talks[0].rows[1.0]
    item = placed(rows, -50, 128, np.random.default_rng(1))
    assert np.array_equal(item[50:, MEL], rows[:78, MEL].astype(np.float32))
    assert item[:50, MEL].max() < rows[:, MEL].max() - 3
    worse = disturbed(item, rows, np.random.default_rng(2))
    assert (
        worse.shape == item.shape and np.isfinite(worse).all() and not np.array_equal(worse, item)
    )


def test_clips_are_found_chosen_and_named(folder: Path, tmp_path: Path) -> None:
    assert [who for _, who in talking_clips.find(folder)] == ["speaker0", "speaker1"]
    found = talking_clips.find(folder)
    assert talking_clips.chosen(found, "speaker", ["speaker0"]) == found[1:]
    with pytest.raises(MediaError, match="left"):
        talking_clips.chosen(found, "nobody", [])
    with pytest.raises(MediaError, match="holds no clips"):
        talking_clips.find(tmp_path)
    (tmp_path / "index.csv").write_text("file,speaker\nlost.mp4,x\n", "utf-8")
    with pytest.raises(MediaError, match=r"lost\.mp4"):
        talking_clips.find(tmp_path)


def test_a_clip_without_a_face_is_left_out(folder: Path, tmp_path: Path) -> None:
    warned: list[object] = []
    (tmp_path / "broken.wav").write_bytes(b"nothing")
    found = [*talking_clips.find(folder), (tmp_path / "broken.wav", "x")]
    assert len(clips.load(found, None, (1.0,), warned.append)) == 2
    assert any("broken.wav" in str(event) for event in warned)
    with pytest.raises(MediaError, match="None of the clips"):
        clips.load(found[2:], None, (1.0,), silent)


def test_between_puts_middles_between_rows() -> None:
    rows = torch.tensor([[[0.0], [2.0], [6.0]]])
    assert between(rows).flatten().tolist() == [0, 1, 2, 4, 6, 6]

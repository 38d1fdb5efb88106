"""Training of patches-s: picked frames, pairs, augmentation, losses, a run and its resumption."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image as Pillow

from tests.train.learning import require_learning
from thcli.core.errors import MediaError, UsageError
from thcli.core.options import PatchTrainOptions, RunOptions, TrainOptions
from thcli.engines.mesh.patches.inputs import EYE_CHANNELS
from thcli.engines.mesh.patches.network import PatchNet
from thcli.evaluate.datasets.sample_clip import astronaut_clip
from thcli.motion import canonical
from thcli.train.core.painting import gradient_loss
from thcli.train.core.run import create_task, train
from thcli.train.patches.augment import Photometry
from thcli.train.patches.data import PatchBatches, load_pairs
from thcli.train.patches.pairs import PatchPairRenderer, change_opening, pick_frames
from thcli.train.patches.train import PatchTask, changed_pairs
from thcli.weights.tensors import load_tensors

OPTIONS = TrainOptions(size=96, device="cpu", threads=1, narrow=8)
OWN = PatchTrainOptions(sources=1, drivers=3)


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photographs")
    frame = next(iter(astronaut_clip(1, 192)))
    Pillow.fromarray(np.asarray(frame.pixels)).save(folder / "one.png")
    return folder


@pytest.fixture(scope="module")
def batches(talking: Path) -> PatchBatches:
    return PatchBatches(talking, OPTIONS, OWN, 2)


def test_blinks_and_raised_brows_are_picked() -> None:
    eyes, high = np.full(40, 0.25), np.full(40, 0.5)
    eyes[7], high[21] = 0.05, 0.9
    free = np.delete(np.arange(40), [3])
    picked = pick_frames(free, eyes, high, 8, np.random.default_rng(0))
    assert len(picked) == len(set(picked)) == 8 and 3 not in picked
    assert {7, 21} <= set(picked)


def test_a_photograph_becomes_a_pair_whose_source_differs(photographs: Path) -> None:
    renderer = PatchPairRenderer(RunOptions(device="cpu"))
    pair = renderer.render_photograph(photographs / "one.png", np.random.default_rng(0))
    assert pair.true_eyes.shape == (2, 2, 48, 64, 3)
    assert np.array_equal(pair.true_eyes[0], pair.true_eyes[1])
    made = np.abs(pair.coarse_eyes[0].astype(int) - pair.true_eyes[0]).mean()
    assert 0 < made < 40


def test_lids_of_a_changed_mesh_open_and_close() -> None:
    mesh = canonical.neutral() * 100 + (200, 200, 0)
    changed = [change_opening(mesh, np.random.default_rng(seed)) for seed in range(8)]
    lids = [canonical.eye_openings(canonical.decompose(m).shape).mean() for m in changed]
    own = canonical.eye_openings(canonical.neutral()).mean()
    assert min(lids) < 0.9 * own and max(lids) > 1.05 * own


def test_batches_follow_from_seed_and_step_and_are_rendered_once(
    batches: PatchBatches, talking: Path
) -> None:
    written = talking / ".patches" / "tone.npy"
    before = written.stat().st_mtime_ns
    again = PatchBatches(talking, OPTIONS, OWN, 2)
    assert written.stat().st_mtime_ns == before and len(again) == len(batches) > 0
    one, same, other = batches.batch(3), again.batch(3), batches.batch(4)
    assert {k: tuple(v.shape) for k, v in one.items()} == {
        "eyes": (8, EYE_CHANNELS, 48, 64),
        "true_eyes": (8, 3, 48, 64),
        "eye_window": (8, 1, 48, 64),
    }
    assert all(torch.equal(one[k], same[k]) for k in one)
    assert not torch.equal(one["eyes"], other["eyes"])


def test_photographs_and_other_options_render_new_pairs(
    talking: Path, photographs: Path, tmp_path: Path
) -> None:
    own = replace(
        OWN, drivers=2, clips=1, only="one", pairs=str(tmp_path), photographs=str(photographs)
    )
    pairs = load_pairs(talking, own, 0)
    assert 2 <= len(pairs["tone"]) <= 3 and (tmp_path / ".patches" / "facts.json").is_file()
    with pytest.raises(MediaError):
        load_pairs(talking, replace(own, only="nobody"), 0)


def test_a_grey_photometry_removes_colour_and_a_neutral_one_changes_nothing() -> None:
    image = np.random.default_rng(0).integers(0, 256, (8, 9, 3), np.uint8)
    neutral = Photometry(np.ones(3, np.float32), 1.0, 0.0, 0.0)
    assert np.array_equal(neutral.apply(image), image)
    grey = replace(neutral, grey=1.0).apply(image)
    assert int(np.ptp(grey, axis=-1).max()) == 0
    dark = replace(neutral, gain=np.full(3, 0.5, np.float32)).apply(image)
    assert dark.mean() == pytest.approx(image.mean() / 2, abs=1)


def test_every_parameter_learns_from_the_losses(batches: PatchBatches) -> None:
    task = create_task("patches", OPTIONS, PatchTrainOptions(sources=1, drivers=3))
    assert isinstance(task, PatchTask)
    require_learning(task, batches.batch(0))
    rows = task.sample_images(batches.sample_batch())
    assert {tuple(value.shape[1:]) for value in rows.values()} == {(3, 96, 96)}
    assert set(rows) == {"source", "coarse", "painted", "truth"}


def test_without_an_adversarial_weight_there_is_no_discriminator() -> None:
    task = create_task("patches", OPTIONS, replace(OWN, adversarial=0.0))
    assert [phase.name for phase in task.phases] == ["paint"]


def test_patches_that_change_in_neither_frame_are_left_out() -> None:
    window = torch.zeros(8, 1, 4, 4)  # two items of two frames of two eyes
    window[5, 0, 2, 2] = 0.5
    assert changed_pairs(window, 2).tolist() == [[5, 7]]
    assert changed_pairs(window, 1).tolist() == [[4, 5]]
    assert changed_pairs(torch.zeros(4, 1, 4, 4), 2).tolist() == [[0, 2]]


def test_gradient_loss_ignores_a_constant_error() -> None:
    weight = torch.ones(1, 1, 6, 6)
    assert float(gradient_loss(torch.full((1, 3, 6, 6), 0.3), weight)) == 0
    assert float(gradient_loss(torch.eye(6)[None, None].repeat(1, 3, 1, 1), weight)) > 0


@pytest.mark.parametrize(
    "wrong", [{"steady": -1.0}, {"adversarial": 2.0}, {"drivers": 0}, {"sources": 0}]
)
def test_options_out_of_range_are_named(wrong: dict[str, float]) -> None:
    with pytest.raises(UsageError, match=f"--{next(iter(wrong))}"):
        PatchTrainOptions(**wrong)  # type: ignore[arg-type]  # wrong on purpose


@pytest.mark.slow
def test_a_smoke_run_resumes_and_exports_half_precision(tmp_path: Path, talking: Path) -> None:
    own = replace(OWN, drivers=2)
    short = replace(OPTIONS, steps=2, batch=1, every=1, save=1, samples=0)
    train("patches", talking, tmp_path / "run", short, own)
    longer = replace(short, steps=3, resume=True)
    report = train("patches", talking, tmp_path / "run", longer, own)
    whole = train("patches", talking, tmp_path / "whole", replace(short, steps=3), own)
    assert report["steps"] == 3
    log = [json.loads(row) for row in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert [row["step"] for row in log] == [1, 2, 3] and "pixels" in log[0]["losses"]
    made, other = (load_tensors(Path(r["output"])) for r in (report, whole))
    assert Path(report["output"]).name == "patches-s.safetensors"
    assert all(value.dtype == torch.float16 for value in made.values())
    assert set(made) == set(other)
    state = {k.removeprefix("eyes."): v.float() for k, v in made.items() if k.startswith("eyes.")}
    PatchNet(EYE_CHANNELS, 8).load_state_dict(state)

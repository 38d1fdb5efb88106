"""Training of mouths-s: labelled lips, drawn pairs, augmentation, losses, a run, its resumption."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image as Pillow

from tests.train.learning import require_learning
from thcli.core.errors import MediaError, UsageError
from thcli.core.options import MouthTrainOptions, RunOptions, TrainOptions
from thcli.engines.mesh import opening
from thcli.engines.mesh.anatomy import LIPS
from thcli.engines.mesh.patches import inside
from thcli.engines.mesh.patches.network import MOUTH_WIDTHS, PatchNet
from thcli.evaluate.datasets.parse_pairs import list_pairs
from thcli.motion import canonical
from thcli.train.core.run import create_task, train
from thcli.train.core.task import step_generator
from thcli.train.mouths.batches import MouthBatches
from thcli.train.mouths.pairs import MouthPairRenderer, move_lips
from thcli.train.mouths.synthetic import COUNT, write_labelled_photographs
from thcli.train.mouths.train import MouthTask, prepare_batch
from thcli.weights.tensors import load_tensors

OPTIONS = TrainOptions(size=128, device="cpu", threads=1, narrow=8)
OWN = MouthTrainOptions()


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("labelled")
    write_labelled_photographs(folder)
    return folder


@pytest.fixture(scope="module")
def batches(labelled: Path) -> MouthBatches:
    return MouthBatches(labelled, OPTIONS, OWN, 2)


def test_lips_move_to_the_edges_of_what_is_labelled() -> None:
    mesh = canonical.neutral() * 100 + (200, 200, 0)
    lips = opening.fit_opening(mesh, LIPS)
    middle = lips.corner + lips.axes[0] / 2
    shown = np.zeros((400, 400), np.uint8)
    half = lips.width * np.array([0.4, 0.15])
    cv2.ellipse(
        shown,
        np.rint(middle).astype(int).tolist(),
        np.rint(half).astype(int).tolist(),
        0,
        0,
        360,
        1,
        -1,
    )
    moved = opening.fit_opening(move_lips(mesh, shown.astype(bool)), LIPS)
    (upper,), (lower,) = moved.rims(np.array([0.5]))
    assert [upper, lower] == pytest.approx([-0.15, 0.15], abs=0.03)
    (upper,), (lower,) = moved.rims(np.array([0.04]))
    assert lower - upper < 0.05
    with pytest.raises(MediaError, match="do not fit"):
        move_lips(mesh + np.array([150, 0, 0]), shown.astype(bool))


def test_a_photograph_is_drawn_inside_alone_and_alike(labelled: Path) -> None:
    renderer = MouthPairRenderer(RunOptions(device="cpu"))
    pair = renderer.render(list_pairs(labelled)[0], np.random.default_rng(0))
    assert pair.coarse.shape == pair.truth.shape == (*inside.SIZE[::-1], 3)
    change = np.abs(pair.coarse.astype(int) - pair.truth).max(-1)
    within = pair.mask > 250
    assert within.sum() > 300 and (change[within] > 4).mean() > 0.5
    around = cv2.dilate((pair.mask > 0).astype(np.uint8), np.ones((9, 9), np.uint8)) == 0
    assert around.any() and change[around].max() == 0
    brightness = [image[within].mean() for image in (pair.coarse, pair.truth)]
    assert brightness[0] == pytest.approx(brightness[1], abs=40)


def test_photographs_of_closed_lips_are_left_out(labelled: Path, tmp_path: Path) -> None:
    for name in ("images", "masks"):
        (tmp_path / name).mkdir()
        pixels = np.asarray(Pillow.open(labelled / name / "1.png"))
        blank = pixels if name == "images" else np.zeros_like(pixels)
        Pillow.fromarray(blank).save(tmp_path / name / "1.png")
    with pytest.raises(MediaError, match="None of the photographs can be used"):
        MouthBatches(tmp_path, OPTIONS, OWN, 2)


def test_batches_follow_from_seed_and_step_and_are_drawn_once(
    batches: MouthBatches, labelled: Path
) -> None:
    written = labelled / ".mouths" / "tone.npy"
    before = written.stat().st_mtime_ns
    again = MouthBatches(labelled, OPTIONS, OWN, 2)
    assert written.stat().st_mtime_ns == before and len(again) == len(batches) == COUNT
    one, same, other = batches.batch(3), again.batch(3), batches.batch(4)
    height, width = inside.SIZE[::-1]
    assert {name: tuple(value.shape) for name, value in one.items()} == {
        "coarse": (2, height, width, 3),
        "truth": (2, height, width, 3),
        "mask": (2, height, width),
        "gain": (2,),
    }
    assert all(torch.equal(one[name], same[name]) for name in one)
    drawn = [prepare_batch(one, 0.1, step_generator(0, step))[0] for step in (3, 3, 4)]
    assert torch.equal(drawn[0], drawn[1]) and not torch.equal(drawn[0], drawn[2])
    assert other.keys() == one.keys()


def test_photographs_that_are_added_are_drawn(labelled: Path, tmp_path: Path) -> None:
    for count in (1, 2):
        for name in ("images", "masks"):
            (tmp_path / name).mkdir(exist_ok=True)
            shutil.copy(labelled / name / f"{count}.png", tmp_path / name)
        assert len(MouthBatches(tmp_path, OPTIONS, OWN, 2)) == count


def test_light_and_place_change_alike_in_drawing_and_photograph(batches: MouthBatches) -> None:
    batch = batches.batch(0)
    plain = prepare_batch(batch, 0.1, None)
    coarse, truth, mask = prepare_batch(
        {**batch, "truth": batch["coarse"]}, 0.1, step_generator(0, 1)
    )
    assert torch.allclose(coarse, truth, atol=1e-6)
    assert not torch.allclose(coarse, plain[0], atol=0.05)
    assert float(mask.min()) >= 0 and float(mask.max()) <= 1
    outside = plain[2].expand_as(plain[0]) == 0
    assert torch.equal(plain[0][outside], plain[1][outside])


def test_every_parameter_learns_from_the_losses(batches: MouthBatches) -> None:
    task = create_task("mouths", OPTIONS, OWN)
    assert isinstance(task, MouthTask)
    require_learning(task, batches.batch(0))
    rows = task.sample_images(batches.sample_batch())
    assert set(rows) == {"drawn", "painted", "truth"}
    assert {tuple(value.shape[1:]) for value in rows.values()} == {(3, 128, 128)}


@pytest.mark.parametrize("wrong", [-0.1, 1.1])
def test_options_out_of_range_are_named(wrong: float) -> None:
    with pytest.raises(UsageError, match="--adversarial"):
        MouthTrainOptions(adversarial=wrong)


@pytest.mark.slow
def test_a_run_resumes_and_exports_half_precision(tmp_path: Path, labelled: Path) -> None:
    short = replace(OPTIONS, steps=2, batch=1, every=1, save=1, samples=0)
    train("mouths", labelled, tmp_path / "run", short, OWN)
    longer = replace(short, steps=3, resume=True)
    report = train("mouths", labelled, tmp_path / "run", longer, OWN)
    whole = train("mouths", labelled, tmp_path / "whole", replace(short, steps=3), OWN)
    log = [json.loads(row) for row in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert [row["step"] for row in log] == [1, 2, 3]
    made, other = (load_tensors(Path(r["output"])) for r in (report, whole))
    assert Path(report["output"]).name == "mouths-s.safetensors"
    assert all(value.dtype == torch.float16 for value in made.values()) and set(made) == set(other)
    state = {key.removeprefix("mouth."): value.float() for key, value in made.items()}
    PatchNet(inside.CHANNELS, 8, MOUTH_WIDTHS).load_state_dict(state)

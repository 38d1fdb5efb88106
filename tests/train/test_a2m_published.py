"""Training of Real3D-Portrait's audio-to-motion as published: losses, ablations, resume, export."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.faces.model3d.bfm.made_model import made_model
from thcli.core.errors import MediaError, UsageError
from thcli.core.events import silent
from thcli.core.options import A2mPublishedTrainOptions, TrainOptions
from thcli.core.protocols import Speech
from thcli.core.types import Array32
from thcli.faces.landmarks.topology import LIPS_INNER
from thcli.motion.file.format import SUFFIX
from thcli.train.a2m.expressions import SpokenClips, find_blinks, measure_clip, mesh_basis
from thcli.train.a2m.published import (
    PublishedA2mTask,
    annealing,
    config_text,
    laplacian,
    mesh_weights,
)
from thcli.train.a2m.stored_clips import FOLDER, stored_path
from thcli.train.a2m.synthetic import write_talking_clips
from thcli.train.core.run import create_task, train
from thcli.train.core.task import step_generator
from thcli.voices.real3d.config import read_flags
from thcli.voices.real3d.networks import AudioToMotion, CheckpointFlags
from thcli.voices.real3d.voice import CHECKPOINT, CONFIG

TINY = TrainOptions(
    smoke=True, steps=2, batch=2, size=64, samples=0, device="cpu", threads=1, ema=0
)


def made_task(**own: Any) -> PublishedA2mTask:
    torch.manual_seed(0)
    task = create_task("a2m-published", TINY, A2mPublishedTrainOptions(**own))
    assert isinstance(task, PublishedA2mTask)
    return task


def made_batch(task: PublishedA2mTask, folder: Path) -> dict[str, Tensor]:
    task.write_synthetic_data(folder, TINY)
    return dict(task.load_data(folder, 2, silent).batch(0))


class Rows:
    """Stand-in for HuBERT: 50 rows per second that count."""

    def encode(self, speech: Speech) -> Iterator[Array32]:
        count = speech.length // 320
        yield np.arange(count, dtype=np.float32)[:, None].repeat(4, 1)


def test_clips_are_measured_at_25_frames_per_second(tmp_path: Path) -> None:
    path = write_talking_clips(tmp_path)[0]
    clip = measure_clip(path, None, made_model(), Rows())  # type: ignore[arg-type]
    assert clip.hubert.shape == (150, 4) and clip.pitch.shape == (150,)
    assert clip.expression.shape == (75, 64) and np.isfinite(clip.expression).all()
    assert clip.hubert[:, 0].tolist() == list(range(150))
    assert np.median(clip.pitch[clip.pitch > 0]) == pytest.approx(110, rel=0.05)
    assert clip.blink.shape == (75,) and clip.mouth.shape == (1,) and clip.mouth[0] > 0
    assert float(clip.expression.std(0).max()) > 0.01  # the jaw moves


def test_the_settings_are_the_published_ones() -> None:
    task = made_task()
    assert (task.hyperparameters.lr, task.hyperparameters.batch) == (5e-4, 100)
    assert max(task.sizes) * task.hyperparameters.batch == 20_000  # rows of sound
    task.options = replace(TINY, steps=None)
    assert task.count_updates(10, 2) == (5, 400_000)
    rates = [task.learning_rate(5e-4, step, 0, 0) for step in (0, 500, 1000, 250_000, 10**7)]
    assert rates == pytest.approx([1e-7, 2.5e-4, 5e-4, 5e-5, 1e-6])
    assert [annealing(step) for step in (0, 1000, 2000, 3999, 4000)] == [0, 0.5, 1, 1, 0]


def test_two_clips_are_learned_by_heart(tmp_path: Path) -> None:
    task = made_task()
    batch = made_batch(task, tmp_path)
    optimiser = task.optimiser(task.phases[0], task.model.parameters(), 1e-3)
    values = []
    for step in range(18):
        terms = task.losses("speak", batch, step_generator(0, step % 2, 2), {})
        assert set(terms) == {"expression", "mesh", "size", "kl", "laplacian"}
        optimiser.zero_grad()
        torch.autograd.backward(torch.stack(list(terms.values())).sum())
        optimiser.step()
        values.append(float(terms["expression"].detach()))
    assert sum(values[-3:]) < 0.4 * sum(values[:3])


def test_gradients_are_limited() -> None:
    task = made_task()
    parameter = nn.Parameter(torch.zeros(4))
    optimiser = task.optimiser(task.phases[0], [parameter], 1e-3)
    parameter.grad = torch.full((4,), 50.0)
    optimiser.step()
    assert float(parameter.grad.norm()) == pytest.approx(1, rel=1e-4)


def test_ablations_leave_their_terms_out(tmp_path: Path) -> None:
    task = made_task(laplacian=False, lip_loss=False)
    terms = task.losses("speak", made_batch(task, tmp_path), step_generator(0, 0, 2), {})
    assert set(terms) == {"expression", "mesh", "size", "kl"}
    lips = 3 * int(LIPS_INNER[0])
    assert float(mesh_weights(lips=True)[lips]) == 5 and float(mesh_weights(lips=False)[lips]) == 1


def test_the_laplacian_is_zero_on_a_line() -> None:
    rows = torch.arange(6.0)[None, :, None]
    assert laplacian(rows)[0, 1:-1].abs().max() == 0
    bent = torch.tensor([0.0, 0, 1, 0, 0])[None, :, None]
    assert laplacian(bent)[0, :, 0].tolist() == [0, -0.5, 1, -0.5, 0]


def test_blinks_are_the_middles_of_shut_eyes() -> None:
    openings = np.ones(20)
    openings[[4, 5, 6]], openings[[11, 12]], openings[18:] = 0.2, 0.5, 0.1
    assert np.flatnonzero(find_blinks(openings)).tolist() == [5, 12]


def test_windows_longer_than_their_clip_are_padded(tmp_path: Path) -> None:
    task = made_task()
    task.write_synthetic_data(tmp_path, TINY)
    options = replace(TINY, size=200)
    data = SpokenClips(tmp_path, options, A2mPublishedTrainOptions(), 2, silent)
    batch = data.batch(3)
    assert {name: tuple(value.shape) for name, value in batch.items()} == {
        "hubert": (2, 200, 16),
        "pitch": (2, 200),
        "expression": (2, 100, 64),
        "blink": (2, 200),
        "mouth": (2, 1),
        "weight": (2, 100),
        "step": (1,),
    }
    assert batch["weight"].sum(1).tolist() == [40, 40]
    assert not batch["expression"][:, 40:].any() and batch["expression"][:, :40].any()


def test_clips_of_one_name_are_stored_apart(tmp_path: Path) -> None:
    paths = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        paths.append(write_talking_clips(tmp_path / name)[0])
    first, second = (stored_path(path, tmp_path, None) for path in paths)
    assert first != second and stored_path(paths[0], tmp_path, None) == first
    motion, other = (paths[0].with_name(f"speaker{i}{SUFFIX}") for i in (0, 1))
    other.replace(motion)
    assert stored_path(paths[0], tmp_path, None) != first
    options = A2mPublishedTrainOptions(motions=str(tmp_path / "motions"))
    with pytest.raises(MediaError, match="would share"):
        SpokenClips(tmp_path, TINY, options, 2, silent)


@pytest.mark.parametrize("ending", ["npz", "npy"])
def test_a_damaged_measurement_is_named(tmp_path: Path, ending: str) -> None:
    made_task().write_synthetic_data(tmp_path, TINY)
    path = min((tmp_path / FOLDER).glob(f"speaker*.{ending}"))
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(MediaError, match=path.name):
        SpokenClips(tmp_path, TINY, A2mPublishedTrainOptions(), 2, silent)


def test_another_width_is_refused() -> None:
    options = replace(TINY, smoke=False, narrow=2)
    with pytest.raises(UsageError, match="one width"):
        create_task("a2m-published", options, A2mPublishedTrainOptions())


def test_the_basis_is_ten_times_the_models_displacement() -> None:
    model = made_model()
    expression = np.random.default_rng(0).normal(0, 1, (2, 64)).astype(np.float32)
    moved = model.idexp_lm3d(np.zeros(80), expression).reshape(2, -1)
    np.testing.assert_allclose(expression @ mesh_basis(model), moved, rtol=1e-4, atol=1e-4)


def test_a_run_resumes_and_the_voice_reads_its_archive(tmp_path: Path) -> None:
    own = A2mPublishedTrainOptions()
    whole = train("a2m-published", None, tmp_path / "whole", TINY, own)
    train("a2m-published", None, tmp_path / "run", replace(TINY, steps=1), own)
    report = train("a2m-published", None, tmp_path / "run", replace(TINY, resume=True), own)
    assert report["steps"] == 2 and report["losses"] == whole["losses"]
    with zipfile.ZipFile(report["output"]) as archive:
        assert archive.namelist() == [CONFIG, CHECKPOINT]
        flags = read_flags(archive.read(CONFIG).decode(), "x")
        with archive.open(CHECKPOINT) as file:
            state = torch.load(file, weights_only=True)["state_dict"]["model"]
    assert flags == CheckpointFlags() and config_text(flags).count("\n") == 6
    AudioToMotion(replace(flags, inputs=16)).load_state_dict(state)

"""Tests of identities moved by texts and along directions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.editors.dva.shallow import shallow_encoder
from thcli.core.errors import UsageError, WeightsError
from thcli.core.events import Event, Finished, Started, Step
from thcli.core.options import PUBLISHED_TEXT, EditorOptions, RunOptions, TextOptions
from thcli.core.types import Array32, Face, Image
from thcli.editors.dva.attributes import (
    IdentityDirections,
    load_for_editor,
    normalize,
    pack_directions,
)
from thcli.editors.dva.attributes import _unpack as trained
from thcli.editors.dva.editor import Dva
from thcli.editors.dva.network import NoiseEstimator, NoiseEstimatorShape
from thcli.editors.dva.text_edit import EditFrame, apply_step, learn_step, normalize_parts
from thcli.editors.shared.celeba import CELEBA
from thcli.editors.shared.trajectory import Mask, SteerableEditor, Trajectory

OPTIONS = TextOptions(iterations=60, lr=0.02, identity_weight=0.3)
FACE = Face(np.array([0, 0, 32, 32], np.float32), 1.0)
CROP: Image = np.random.default_rng(0).integers(0, 255, (32, 32, 3)).astype(np.uint8)
FRAME = EditFrame(CROP, FACE)


class FlatColourEditor:
    """Editor of flat images; their colour is the first part (3 of 5 numbers) of the identity."""

    crop_size, fingerprint, part_lengths = 32, "0" * 16, (3, 2)

    def trajectory(self, crop: Image, face: Face, mask: Mask | None, steps: int) -> Trajectory:
        start = torch.tensor([[0.6, 0.0, 0.8, 1.0, 0.0]])

        def render(identity: Tensor) -> Tensor:
            return identity[:, :3, None, None].expand(steps, 3, 8, 8) * 1.0

        return Trajectory(start, render(start), torch.ones(1, 1, 8, 8), render)


class ColourTextModel:
    """Text model of three words, which are colour directions; images embed as mean colours."""

    name, templates = "colours", ("{}",)

    def encode_text(self, texts: Sequence[str]) -> Tensor:
        rows = {"red": (1.0, 0.0, 0.0), "green": (0.0, 1.0, 0.0), "nothing": (0.0, 0.0, 0.0)}
        return torch.tensor([rows[text] for text in texts])

    def encode_image(self, images: Tensor) -> Tensor:
        return torch.nn.functional.normalize(images.mean((2, 3)), dim=1)


def test_a_step_follows_the_text_and_keeps_the_rest() -> None:
    seen: list[Event] = []
    step = learn_step(
        FlatColourEditor(), FRAME, "nothing", "green", ColourTextModel(), OPTIONS, seen.append
    )
    assert step.shape == (5,) and step.dtype == np.float32
    assert step[1] > 0.05 and step[1] > 2 * abs(step[0]) and abs(step[3:]).max() < 1e-6
    assert isinstance(seen[0], Started) and seen[0].total == 60 and isinstance(seen[-1], Finished)
    assert sum(isinstance(event, Step) for event in seen) == 60
    again = learn_step(FlatColourEditor(), FRAME, "nothing", "green", ColourTextModel(), OPTIONS)
    np.testing.assert_array_equal(step, again)


def test_the_identity_loss_limits_the_step() -> None:
    def green(weight: float) -> float:
        options = TextOptions(iterations=60, lr=0.02, identity_weight=weight, pixels_weight=0.0)
        return float(
            learn_step(FlatColourEditor(), FRAME, "nothing", "green", ColourTextModel(), options)[1]
        )

    assert 0 < green(50.0) < 0.3 * green(0.0)


def test_a_clip_is_moved_by_a_step() -> None:
    identity = np.array([0.5, 0.0, 0.0, 0.9, 0.0], np.float32)
    np.testing.assert_allclose(
        apply_step(identity, np.zeros(5, np.float32), 1.0, (3, 2)), [1, 0, 0, 1, 0], atol=1e-6
    )
    moved = apply_step(identity, np.array([0, 0.5, 0, 0, 0], np.float32), 1.0, (3, 2))
    np.testing.assert_allclose(moved[:3], np.array([1, 1, 0]) / 2**0.5, atol=1e-6)
    rows = normalize_parts(torch.randn(4, 5), (3, 2))
    torch.testing.assert_close(rows[:, 3:].norm(dim=1), torch.ones(4))


@pytest.fixture(scope="module")
def tiny_dva() -> Dva:
    """Return a tiny editor of the published layout with random weights."""
    torch.manual_seed(0)
    network = NoiseEstimator(
        NoiseEstimatorShape(size=32, width=8, times=(1, 2), blocks=1, attention=(2,))
    )
    for parameter in network.parameters():
        if parameter.dim() > 1:
            torch.nn.init.normal_(parameter, std=float(parameter[0].numel()) ** -0.5)
    frozen = network.eval().requires_grad_(False), shallow_encoder().eval().requires_grad_(False)
    return Dva(*frozen, RunOptions(), EditorOptions(steps=4))


def test_dva_has_a_differentiable_trajectory(tiny_dva: Dva) -> None:
    assert isinstance(tiny_dva, SteerableEditor) and len(tiny_dva.fingerprint) == 16
    lower: Mask = np.zeros((32, 32), np.uint8)
    lower[16:] = 255
    trajectory = tiny_dva.trajectory(CROP, FACE, lower, 3)
    assert (
        trajectory.images.shape == (3, 3, 32, 32)
        and trajectory.identity.shape == (1, 512)
        and trajectory.mask.shape == (1, 1, 32, 32)
    )
    assert (
        float(trajectory.mask[:, :, :16].max()) == 0
        and float(trajectory.mask[:, :, 16:].min()) == 1
    )
    torch.testing.assert_close(
        trajectory.render(trajectory.identity), trajectory.images, atol=1e-4, rtol=1e-4
    )
    moved = trajectory.identity.clone().requires_grad_(True)
    loss = trajectory.render(moved).square().mean()
    loss.backward()  # type: ignore[no-untyped-call]  # torch's own
    assert moved.grad is not None and float(moved.grad.abs().max()) > 0


def test_the_published_options_are_the_published_programs() -> None:
    assert TextOptions(5, 2000, 0.002, 3.0, 5.0, 5.0) == PUBLISHED_TEXT
    for wrong in (dict(steps=1), dict(iterations=0), dict(lr=0.0), dict(words_weight=-1.0)):
        with pytest.raises(UsageError):
            TextOptions(**wrong)


def make_directions(part_lengths: tuple[int, ...] = (6, 4)) -> IdentityDirections:
    draw = np.random.default_rng(2)
    width = sum(part_lengths)
    rows, spread = draw.normal(size=(40, width)), draw.uniform(0.5, 2, width)
    return IdentityDirections(
        rows.astype(np.float32),
        draw.normal(size=width).astype(np.float32),
        spread.astype(np.float32),
        CELEBA,
        np.full(40, 2, np.float32),
        part_lengths,
        "ab" * 8,
    )


def test_directions_add_up_and_come_back_along_themselves() -> None:
    directions = make_directions()
    identity: Array32 = np.concatenate(
        [normalize(np.ones(6, np.float32)), normalize(np.arange(1, 5).astype(np.float32))]
    )
    more = directions.move_identity(identity, {"Smiling": 0.5, "Young": -0.5})
    for part in np.split(more, [6]):
        assert np.linalg.norm(part) == pytest.approx(1, abs=1e-5)
    np.testing.assert_allclose(directions.move_identity(identity, {}), identity, atol=1e-6)
    wholly, less = (
        IdentityDirections(directions.rows, directions.mean, directions.spread),
        {"Smiling": 0.25},
    )
    np.testing.assert_allclose(
        wholly.move_identity(identity, {"Smiling": 1.0}),
        wholly.move_published(identity, less),
        atol=1e-5,
    )
    gained = directions.scores(more[None])[0] - directions.scores(identity[None])[0]
    assert gained[CELEBA.index("Smiling")] > 0 > gained[CELEBA.index("Young")]
    with pytest.raises(UsageError, match="Smilling") as error:
        directions.move_identity(identity, {"Smilling": 1.0})
    assert "smiling" in error.value.hint


def test_attributes_shift_landmarks_by_their_strengths() -> None:
    motion = np.arange(80, dtype=np.float32).reshape(40, 2)
    directions = replace(make_directions(), motion=motion)
    shift = directions.shift_landmarks({"smiling": 2.0, "Young": -1.0})
    assert shift is not None
    wanted = 2 * motion[CELEBA.index("Smiling")] - motion[CELEBA.index("Young")]
    np.testing.assert_array_equal(shift, wanted)
    assert directions.shift_landmarks({}) is None


def test_directions_are_kept_and_checked() -> None:
    directions = make_directions()
    back = trained(pack_directions(directions), "x")
    assert back.part_lengths == (6, 4) and back.fingerprint == "ab" * 8 and back.lengths is not None
    np.testing.assert_allclose(back.rows, directions.rows, atol=2e-3)
    assert back.motion is None and back.shift_landmarks({"Smiling": 1.0}) is None
    moving = replace(directions, motion=np.eye(40, 6, dtype=np.float32))
    again = trained(pack_directions(moving), "x")
    before = {key: rows for key, rows in pack_directions(moving).items() if key != "motion"}
    assert trained(before, "x").motion is None  # a file of an earlier layout
    np.testing.assert_array_equal(again.motion, moving.motion)
    with pytest.raises(WeightsError, match="of another shape"):
        trained({**pack_directions(directions), "mean": np.zeros(3)}, "x")
    with pytest.raises(WeightsError, match="not valid directions"):
        trained({**pack_directions(directions), "spread": np.zeros(10, np.float32)}, "x")
    with pytest.raises(UsageError, match="no directions of attributes"):
        load_for_editor("nobody", RunOptions())

"""Identities moved by words and along directions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from torch import Tensor

from thcli.core.errors import UsageError, WeightsError
from thcli.core.events import Event, Finished, Started, Step
from thcli.core.options import PUBLISHED_TEXT, EditorOptions, RunOptions, TextOptions
from thcli.core.types import Array32, Face, Image
from thcli.editors.dva.attributes import Directions, load_of, packed, unit
from thcli.editors.dva.attributes import _trained as trained
from thcli.editors.dva.editor import Dva
from thcli.editors.dva.encoder import Encoder
from thcli.editors.dva.network import NoiseEstimator, Shape
from thcli.editors.dva.text_edit import learn, parts_of_unit_length, stepped
from thcli.editors.shared.celeba import CELEBA
from thcli.editors.shared.trajectory import Mask, Steerable, Trail

USUAL = TextOptions(iterations=60, lr=0.02, identity_weight=0.3)
FACE = Face(np.array([0, 0, 32, 32], np.float32), 1.0)
CROP: Image = np.random.default_rng(0).integers(0, 255, (32, 32, 3)).astype(np.uint8)


class Flat:
    """An editor whose pictures are of one colour: the first three numbers of an identity of two parts, three numbers and two."""

    crop_size, fingerprint, units = 32, "0" * 16, (3, 2)

    def trail(self, crop: Image, face: Face, mask: Mask | None, steps: int) -> Trail:
        start = torch.tensor([[0.6, 0.0, 0.8, 1.0, 0.0]])

        def after(identity: Tensor) -> Tensor:
            return identity[:, :3, None, None].expand(steps, 3, 8, 8) * 1.0

        return Trail(start, after(start), torch.ones(1, 1, 8, 8), after)


class Colours:
    """Knows three words, which are the directions of the three colours, and pictures by their mean colour."""

    name, templates = "colours", ("{}",)

    def encode_text(self, texts: Sequence[str]) -> Tensor:
        rows = {"red": (1.0, 0.0, 0.0), "green": (0.0, 1.0, 0.0), "nothing": (0.0, 0.0, 0.0)}
        return torch.tensor([rows[text] for text in texts])

    def encode_image(self, pictures: Tensor) -> Tensor:
        return torch.nn.functional.normalize(pictures.mean((2, 3)), dim=1)


def test_a_step_leads_where_the_words_do_and_keeps_what_they_do_not_say() -> None:
    seen: list[Event] = []
    step = learn(Flat(), CROP, FACE, None, "nothing", "green", Colours(), USUAL, seen.append)
    assert step.shape == (5,) and step.dtype == np.float32
    assert step[1] > 0.05 and step[1] > 2 * abs(step[0]) and abs(step[3:]).max() < 1e-6
    assert isinstance(seen[0], Started) and seen[0].total == 60 and isinstance(seen[-1], Finished)
    assert sum(isinstance(event, Step) for event in seen) == 60
    again = learn(Flat(), CROP, FACE, None, "nothing", "green", Colours(), USUAL)
    np.testing.assert_array_equal(step, again)


def test_the_identity_holds_back() -> None:
    def green(weight: float) -> float:
        options = TextOptions(iterations=60, lr=0.02, identity_weight=weight, pixels_weight=0.0)
        return float(learn(Flat(), CROP, FACE, None, "nothing", "green", Colours(), options)[1])

    assert 0 < green(50.0) < 0.3 * green(0.0)


def test_a_clip_is_moved_by_a_step() -> None:
    identity = np.array([0.5, 0.0, 0.0, 0.9, 0.0], np.float32)
    np.testing.assert_allclose(
        stepped(identity, np.zeros(5, np.float32), 1.0, (3, 2)), [1, 0, 0, 1, 0], atol=1e-6
    )
    moved = stepped(identity, np.array([0, 0.5, 0, 0, 0], np.float32), 1.0, (3, 2))
    np.testing.assert_allclose(moved[:3], np.array([1, 1, 0]) / 2**0.5, atol=1e-6)
    rows = parts_of_unit_length(torch.randn(4, 5), (3, 2))
    torch.testing.assert_close(rows[:, 3:].norm(dim=1), torch.ones(4))


@pytest.fixture(scope="module")
def small() -> Dva:
    """A tiny published-layout editor with random weights."""
    torch.manual_seed(0)
    network = NoiseEstimator(Shape(size=32, width=8, times=(1, 2), blocks=1, attention=(2,)))
    for parameter in network.parameters():
        if parameter.dim() > 1:
            torch.nn.init.normal_(parameter, std=float(parameter[0].numel()) ** -0.5)
    frozen = network.eval().requires_grad_(False), Encoder().eval().requires_grad_(False)
    return Dva(*frozen, RunOptions(), EditorOptions(steps=4))


def test_dva_is_steered_on_its_own_trail(small: Dva) -> None:
    assert isinstance(small, Steerable) and len(small.fingerprint) == 16
    lower: Mask = np.zeros((32, 32), np.uint8)
    lower[16:] = 255
    trail = small.trail(CROP, FACE, lower, 3)
    assert (
        trail.before.shape == (3, 3, 32, 32)
        and trail.start.shape == (1, 512)
        and trail.mask.shape == (1, 1, 32, 32)
    )
    assert float(trail.mask[:, :, :16].max()) == 0 and float(trail.mask[:, :, 16:].min()) == 1
    torch.testing.assert_close(trail.after(trail.start), trail.before, atol=1e-4, rtol=1e-4)
    moved = trail.start.clone().requires_grad_(True)
    trail.after(moved).square().mean().backward()  # type: ignore[no-untyped-call]  # torch's own
    assert moved.grad is not None and float(moved.grad.abs().max()) > 0


def test_the_published_options_are_the_published_programs() -> None:
    assert TextOptions(5, 2000, 0.002, 3.0, 5.0, 5.0) == PUBLISHED_TEXT
    for wrong in (dict(steps=1), dict(iterations=0), dict(lr=0.0), dict(words_weight=-1.0)):
        with pytest.raises(UsageError):
            TextOptions(**wrong)


def made(units: tuple[int, ...] = (6, 4)) -> Directions:
    draw = np.random.default_rng(2)
    width = sum(units)
    rows, spread = draw.normal(size=(40, width)), draw.uniform(0.5, 2, width)
    return Directions(
        rows.astype(np.float32),
        draw.normal(size=width).astype(np.float32),
        spread.astype(np.float32),
        CELEBA,
        np.full(40, 2, np.float32),
        units,
        "ab" * 8,
    )


def test_directions_add_up_and_come_back_along_themselves() -> None:
    directions = made()
    identity: Array32 = np.concatenate(
        [unit(np.ones(6, np.float32)), unit(np.arange(1, 5).astype(np.float32))]
    )
    more = directions.changed(identity, {"Smiling": 0.5, "Young": -0.5})
    for part in np.split(more, [6]):
        assert np.linalg.norm(part) == pytest.approx(1, abs=1e-5)
    np.testing.assert_allclose(directions.changed(identity, {}), identity, atol=1e-6)
    wholly, less = (
        Directions(directions.rows, directions.mean, directions.spread),
        {"Smiling": 0.25},
    )
    np.testing.assert_allclose(
        wholly.changed(identity, {"Smiling": 1.0}), wholly.edited(identity, less), atol=1e-5
    )
    gained = directions.scores(more[None])[0] - directions.scores(identity[None])[0]
    assert gained[CELEBA.index("Smiling")] > 0 > gained[CELEBA.index("Young")]
    with pytest.raises(UsageError, match="Smilling") as told:
        directions.changed(identity, {"Smilling": 1.0})
    assert "smiling" in told.value.hint


def test_directions_are_kept_and_checked() -> None:
    directions = made()
    back = trained(packed(directions), "x")
    assert back.units == (6, 4) and back.fingerprint == "ab" * 8 and back.lengths is not None
    np.testing.assert_allclose(back.rows, directions.rows, atol=2e-3)
    with pytest.raises(WeightsError, match="of another shape"):
        trained({**packed(directions), "mean": np.zeros(3)}, "x")
    with pytest.raises(WeightsError, match="no directions"):
        trained({**packed(directions), "spread": np.zeros(10, np.float32)}, "x")
    with pytest.raises(UsageError, match="no directions of attributes"):
        load_of("nobody", RunOptions())

"""Tests of DVA's schedule, losses, guidance and published crop."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from thcli.core.errors import UsageError
from thcli.core.types import Array
from thcli.diffusion.samplers import Denoiser, ddim_step
from thcli.diffusion.schedule import linear_schedule
from thcli.editors.dva import align, text_losses
from thcli.editors.dva.losses import compute_losses
from thcli.editors.dva.network import NoiseEstimator, NoiseEstimatorShape
from thcli.editors.dva.parsing import BACKGROUND, VIDEO_BACKGROUND, foreground
from thcli.editors.dva.sampling import schedule, step_each, trajectory
from thcli.faces.crops.align import ffhq

TINY = NoiseEstimatorShape(size=32, width=8, times=(1, 2), blocks=1, attention=(2,))


@pytest.mark.parametrize(
    ("steps", "kept"), [(5, [0, 200, 400, 600, 800]), (3, [0, 334, 668]), (20, range(0, 1000, 50))]
)
def test_steps_are_the_published_ones(steps: int, kept: list[int]) -> None:
    assert schedule(steps).timesteps.tolist() == list(kept)


def test_a_number_of_steps_without_a_stride() -> None:
    with pytest.raises(UsageError, match="600"):
        schedule(600)


def test_single_steps_match_the_trajectory() -> None:
    """One step from each image of a trajectory gives the next one when nothing changes."""
    denoiser = Denoiser(lambda x, t: 0.3 * x + t.float()[:, None, None, None] / 1e4, schedule(5))
    kept = torch.cat(trajectory(denoiser, torch.randn(1, 3, 8, 8)))
    assert kept.shape == (6, 3, 8, 8)
    torch.testing.assert_close(step_each(denoiser, kept[:-1]), kept[1:], atol=1e-4, rtol=1e-4)
    single = ddim_step(denoiser.schedule, 2, kept[2:3], denoiser(kept[2:3], 2))
    torch.testing.assert_close(step_each(denoiser, kept[:-1])[2:3], single, atol=1e-4, rtol=1e-4)


class OracleEstimator(NoiseEstimator):
    """Estimator that returns the exact noise, off by `wrong` in the upper half."""

    image: Tensor
    wrong = 0.0

    def forward(self, x: Tensor, timesteps: Tensor, face: Tensor) -> Tensor:
        alpha_bar = torch.from_numpy(linear_schedule(1000).alpha_bar)[timesteps].float()[
            :, None, None, None
        ]
        noise = (x - alpha_bar.sqrt() * self.image) / (1 - alpha_bar).sqrt()
        noise[:, :, :16] += self.wrong * noise[:, :, :16].sign()
        return noise


def test_losses_vanish_for_exact_noise_and_ignore_the_background() -> None:
    network = OracleEstimator(TINY)
    network.image = torch.rand(2, 3, 32, 32) * 2 - 1
    index, face = torch.tensor([100, 700]), torch.zeros(2, 512)
    noises = torch.randn(2, 3, 32, 32), torch.randn(2, 3, 32, 32)
    lower = torch.zeros(2, 1, 32, 32)
    lower[:, :, 16:] = 1

    def found(mask: Tensor) -> tuple[float, float]:
        got = compute_losses(
            network, linear_schedule(1000), network.image, face, mask, index, noises
        )
        assert float(got.total) == pytest.approx(
            float(got.simple.mean() + got.regularization.mean())
        )
        return float(got.simple.mean()), float(got.regularization.mean())

    assert max(found(torch.ones(2, 1, 32, 32))) < 1e-4
    network.wrong = 0.1
    simple, regularization = found(lower)
    # Half of the image, two noises.
    assert simple == pytest.approx(0.1, abs=1e-3) and regularization < 1e-4
    assert found(1 - lower)[1] > 0.01


def test_the_face_moves_the_estimate_and_time_another_norm() -> None:
    torch.manual_seed(0)
    network = NoiseEstimator(TINY).eval()
    for parameter in network.parameters():
        if parameter.dim() > 1:
            torch.nn.init.normal_(parameter, std=float(parameter[0].numel()) ** -0.5)
    x, face = torch.randn(1, 3, 32, 32), torch.randn(1, 512)
    with torch.inference_mode():
        plain = network(x, torch.tensor([10]), face)
        assert (network(x, torch.tensor([10]), -face) - plain).abs().max() > 1e-2
        assert (network(x, torch.tensor([900]), face) - plain).abs().max() > 1e-2


def test_regions_that_are_background() -> None:
    logits = torch.zeros(1, 19, 512, 512)
    for number in range(19):
        logits[:, number, :, number * 26 : number * 26 + 26] = 1

    def column(number: int) -> int:
        """Return the middle column of that region in the mask."""
        return (number * 26 + 12) // 2

    for background in (BACKGROUND, VIDEO_BACKGROUND):
        mask = foreground(logits, background)
        assert mask.shape == (1, 1, 256, 256)
        assert {n for n in range(19) if mask[0, 0, 100, column(n)] == 0} == set(background)


def test_guidance_is_least_when_images_follow_the_texts() -> None:
    before = torch.nn.functional.normalize(
        torch.randn(3, 8, generator=torch.Generator().manual_seed(1)), dim=-1
    )
    direction = text_losses.text_direction(torch.eye(8)[:2], torch.eye(8)[2:4])
    along, against = (
        text_losses.directional_distance(before, before + 0.1 * direction, direction),
        text_losses.directional_distance(before, before - 0.1 * direction, direction),
    )
    assert float(along) == pytest.approx(0, abs=1e-4) and float(against) == pytest.approx(
        2, abs=1e-4
    )
    assert float(text_losses.clip_loss(along)) < float(text_losses.clip_loss(torch.tensor(1.0)))
    still = text_losses.directional_distance(before, before, direction)
    torch.testing.assert_close(still, (1 - before @ direction[0]).mean())
    assert float(text_losses.identity_loss(before[:1], before[:1])) == pytest.approx(0, abs=1e-6)


def make_landmarks(count: int) -> Array:
    rows = np.full((count, 68, 2), (100.0, 110.0))
    rows[:, 36:42], rows[:, 42:48], rows[:, 48], rows[:, 54] = (
        (80, 90),
        (120, 92),
        (85, 130),
        (115, 131),
    )
    return rows


def test_the_published_square_is_ffhqs() -> None:
    quad = align.crop_quads(make_landmarks(1))[0]
    ours = ffhq(make_landmarks(1)[0], 256).crop_from_frame
    corners = np.column_stack([quad, np.ones(4)]) @ ours.T
    np.testing.assert_allclose(
        corners[:, :2], [[-0.5, -0.5], [-0.5, 255.5], [255.5, 255.5], [255.5, -0.5]], atol=0.5
    )


def test_trembling_is_smoothed_and_a_still_face_stays() -> None:
    still = align.crop_quads(make_landmarks(9))
    np.testing.assert_allclose(still, np.broadcast_to(still[:1], still.shape), atol=1e-9)
    trembling = make_landmarks(9) + np.random.default_rng(0).normal(0, 1, (9, 1, 2))
    own = np.stack([align.crop_quads(row[None])[0] for row in trembling])
    assert np.diff(align.crop_quads(trembling), axis=0).std() < 0.6 * np.diff(own, axis=0).std()


@pytest.mark.parametrize("large", [1, 8])
def test_a_crop_goes_back_where_it_was(large: int) -> None:
    """A soft image is nearly unchanged in the crop, and unchanged to the bit outside."""
    y, x = np.mgrid[: 220 * large, : 200 * large] / large
    image = np.stack([x, y, 100 + 0 * x], 2).astype(np.uint8)
    quad = align.crop_quads(make_landmarks(1))[0] * large
    crop = align.extract_crop(image, quad, 64)
    assert crop.shape == (64, 64, 3)
    back = align.paste_crop(image, crop, align.perspective_coefficients(quad, 64))
    assert np.abs(back.astype(int) - image).max() <= 6
    assert np.array_equal(back[-20 * large :], image[-20 * large :])

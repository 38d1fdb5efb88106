"""Conditioning of Monkey-Net's warp: rounding in the last place of float32 shows in gen/deformed.

Positions in [-1, 1] are pixels times 128 on an image of 256 pixels, and the warp is zero outside:
at the edge an error of a position is multiplied by up to 128 levels per unit. Two correct programs
whose sums run in another order therefore differ in gen/deformed by up to 128 times the error of
gen/deformation. docs/figures has the published code in float64 and float32.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from tests.golden import fill, monkeynet
from thcli.engines.monkeynet.networks import (
    EncodedSource,
    Generator,
    KeypointDetector,
    Keypoints,
    downsample,
    heatmaps,
)
from thcli.engines.shared.fast_conv.few_outputs import FewOutputConv
from thcli.engines.shared.fast_conv.fft_conv import FftConv
from thcli.engines.shared.fast_conv.winograd import WinogradConv

OFFSET, SEEDS = 1, 4
HALF_ULP = 2.0**-24
AMPLIFICATION = 128  # half the side of the image


@pytest.fixture(scope="module")
def networks() -> Iterator[tuple[KeypointDetector, Generator]]:
    with torch.inference_mode():
        detector = fill.network(KeypointDetector(), monkeynet.detector_state(OFFSET))
        fill.release_memory()
        with fill.Unfilled():
            generator = Generator()
        yield detector, fill.prepare(generator, fill.by_value(OFFSET))


def warp(
    networks: tuple[KeypointDetector, Generator],
    noise: torch.Generator | None,
    precision: torch.dtype = torch.float32,
) -> tuple[Tensor, Tensor]:
    """Return the stages deformation and deformed, with noise on the images that set the motion."""
    detector, generator = networks
    motion = generator.dense_motion_module
    if precision is not torch.float32:
        detector = copy.deepcopy(detector).to(precision)
        motion = copy.deepcopy(motion).to(precision)
    images = [fill.image("monkeynet", number, OFFSET).to(precision) for number in range(3)]
    source = images[0]
    if noise is not None:
        images = [
            image * (1 + HALF_ULP * torch.randint(-1, 2, image.shape, generator=noise))
            for image in images
        ]
    own, first, second = (detector(image) for image in images)
    mean = second.mean - first.mean + own.mean
    small = downsample(images[0])
    encoded = EncodedSource(small, [], own, heatmaps(own, (small.shape[2], small.shape[3])))
    field = motion(encoded, Keypoints(mean, second.var))
    return field.deformation, generator.warp(source, field)


@torch.inference_mode()
def test_half_a_unit_in_the_last_place_of_the_input_shows_in_the_warped_image(
    networks: tuple[KeypointDetector, Generator],
) -> None:
    deformation, deformed = warp(networks, None)
    positions, pixels = [], []
    for seed in range(SEEDS):
        other, image = warp(networks, torch.Generator().manual_seed(seed))
        positions.append(float((other - deformation).abs().max()))
        pixels.append(float((image - deformed).abs().max()))
        assert pixels[-1] <= 1.1 * AMPLIFICATION * positions[-1]
    assert max(positions) < 4e-6
    assert max(pixels) > 500 * HALF_ULP


@torch.inference_mode()
def test_float32_lies_as_near_to_float64_as_float32_can(
    networks: tuple[KeypointDetector, Generator], monkeypatch: pytest.MonkeyPatch
) -> None:
    deformation, deformed = warp(networks, None)
    monkeypatch.setattr(Tensor, "float", Tensor.double)  # which the networks call after half types
    exact_deformation, exact = warp(networks, None, torch.float64)
    position = float((deformation - exact_deformation).abs().max())
    assert position < 2e-6  # the largest position is 1.2: 17 units in its last place
    pixel = float((deformed - exact).abs().max())
    assert pixel <= AMPLIFICATION * (position + 2 * HALF_ULP)


def test_no_fast_convolution_computes_the_motion(
    networks: tuple[KeypointDetector, Generator],
) -> None:
    detector, generator = networks
    fast = (FewOutputConv, FftConv, WinogradConv)
    for network in (detector, generator.dense_motion_module):
        assert not any(isinstance(module, fast) for module in network.modules())
    kinds = {type(module) for module in generator.modules()}
    assert kinds & set(fast), kinds

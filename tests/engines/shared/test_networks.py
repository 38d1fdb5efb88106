"""Blocks of the warping networks: fast forms equal the plain ones, conventions hold."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from thcli.core.errors import WeightsError
from thcli.core.types import Motion
from thcli.engines.shared.fast_conv import fast
from thcli.engines.shared.fast_conv.enlarged import UpsampleConv
from thcli.engines.shared.fast_conv.few_outputs import FewOutputConv
from thcli.engines.shared.fast_conv.fft_conv import FftConv
from thcli.engines.shared.fast_conv.winograd import WinogradConv
from thcli.engines.shared.motion_rows import LANDMARKS, SmoothedMotion, landmark_shape
from thcli.engines.shared.networks import checkpoint, grid
from thcli.engines.shared.networks.keypoints import (
    movement_scale,
    relative_jacobians,
    relative_points,
)
from thcli.engines.shared.networks.layers import (
    AntiAlias,
    Hourglass,
    PyramidSize,
    ResidualBlock,
    SameBlock,
    UpBlock,
)
from thcli.engines.shared.networks.spade import SpadeBlock
from thcli.motion.file.buffer import MotionBuffer

SIDES = st.integers(1, 21)
CPU = torch.device("cpu")


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def seeded(module: nn.Module) -> nn.Module:
    """Fill parameters independently of what ran before; norms do not act as the identity."""
    for i, tensor in enumerate(module.state_dict().values()):
        if tensor.is_floating_point():
            fan = max(1.0, float(np.prod(tensor.shape[1:]))) ** 0.5 if tensor.dim() > 1 else 1.0
            tensor.copy_(
                noise(*tensor.shape, seed=i).abs() + 0.3
                if tensor.dim() == 1
                else noise(*tensor.shape, seed=i) / fan
            )
    return module.eval().requires_grad_(False)


@given(SIDES, SIDES, st.integers(1, 2), st.booleans())
@settings(max_examples=20, deadline=None)
def test_winograd_is_the_convolution(height: int, width: int, batch: int, deep: bool) -> None:
    conv = seeded(nn.Conv3d(5, 7, 3, padding=1) if deep else nn.Conv2d(5, 7, 3, padding=1))
    x = noise(batch, 5, *([3] if deep else []), height, width)
    assert isinstance(conv, nn.Conv2d | nn.Conv3d)
    assert torch.allclose(WinogradConv(conv)(x), conv(x), atol=5e-5)


@pytest.mark.parametrize("factor", [2, 3, 4])
@pytest.mark.parametrize("deep", [False, True])
def test_upsample_conv_is_nearest_upsampling_and_the_convolution(factor: int, deep: bool) -> None:
    conv = seeded(nn.Conv3d(3, 4, 3, padding=1) if deep else nn.Conv2d(3, 4, 3, padding=1))
    x = noise(2, 3, *([4] if deep else []), 5, 7)
    assert isinstance(conv, nn.Conv2d | nn.Conv3d)
    scale = (1, factor, factor) if deep else (factor, factor)
    large = nn.Upsample(scale_factor=tuple(float(s) for s in scale))(x)
    assert torch.allclose(UpsampleConv(conv, factor)(x), conv(large), atol=1e-5)


@given(st.integers(1, 12), st.integers(1, 30))
@settings(max_examples=10, deadline=None)
def test_fft_conv_is_the_convolution(height: int, width: int) -> None:
    conv = seeded(nn.Conv3d(3, 2, 7, padding=3))
    assert isinstance(conv, nn.Conv3d)
    quick = FftConv(conv)
    for w in (width, width + 1):  # it prepares itself anew
        x = noise(2, 3, 4, height, w)
        assert torch.allclose(quick(x), conv(x), atol=2e-5)


@pytest.mark.parametrize("outputs", [1, 3])
def test_few_output_conv_is_the_convolution(outputs: int) -> None:
    conv = seeded(nn.Conv2d(6, outputs, 7, padding=3))
    assert isinstance(conv, nn.Conv2d)
    x = noise(2, 6, 9, 12)
    assert torch.allclose(FewOutputConv(conv)(x), conv(x), atol=1e-5)


def test_a_prepared_network_gives_the_same_output() -> None:
    """All forms at once: folding, Winograd, merged upsampling, SPADE's joint convolution."""
    size = PyramidSize(64, 6, 2, 128)
    networks: list[tuple[nn.Module, tuple[Tensor, ...]]] = [
        (
            nn.Sequential(SameBlock(3, 128, 7), ResidualBlock(128), UpBlock(128, 128)),
            (noise(1, 3, 16, 16),),
        ),
        (Hourglass(size, dims=3, outputs=64, normed=True), (noise(1, 6, 2, 16, 16),)),
        (SpadeBlock(128, 128, 8, 16, factor=2), (noise(1, 128, 16, 16), noise(1, 8, 8, 8, seed=1))),
    ]
    for network, inputs in networks:
        with torch.inference_mode():
            plain = seeded(network)(*inputs)
            quick = fast.prepare_network(network, CPU)(*inputs)
        assert not any(
            isinstance(m, fast.BATCH_NORMS)
            for m in list(network.modules())[:2]
            if not hasattr(m, "FOLDS")
        )
        assert any(isinstance(m, WinogradConv | UpsampleConv) for m in network.modules())
        assert float((quick - plain).abs().max()) <= 1e-4 * max(1.0, float(plain.abs().max()))


@given(st.booleans(), st.integers(0, 10**6))
@settings(max_examples=15, deadline=None)
def test_shifting_is_sampling(aligned: bool, seed: int) -> None:
    for sizes in ((5, 8), (3, 6, 5)):
        x, offsets = noise(2, 3, *sizes, seed=seed), noise(2, 4, len(sizes), seed=seed + 1) * 0.6
        moved = grid.sample_shifted(x, offsets, aligned=aligned)
        base = grid.identity(sizes, CPU, torch.float32)
        for k in range(4):
            where = base + offsets[:, k].view(2, *(1,) * len(sizes), len(sizes))
            assert torch.allclose(moved[:, k], grid.sample(x, where, aligned=aligned), atol=1e-5)


def test_grids_end_at_the_outer_pixels_and_have_x_first() -> None:
    base = grid.identity((3, 5), CPU, torch.float32)
    assert base.shape == (3, 5, 2)
    assert (
        base[0, 0].tolist() == [-1, -1]
        and base[2, 4].tolist() == [1, 1]
        and base[0, 4].tolist() == [1, -1]
    )
    volume = grid.identity((2, 3, 5), CPU, torch.float32)
    assert volume[1, 0, 0].tolist() == [-1, -1, 1]


def test_gaussians_peak_at_their_point_and_the_mean_finds_it() -> None:
    points = torch.tensor([[[0.5, -0.25], [0.0, 0.75]]])
    heat = grid.gaussians(points, (9, 17), 0.01)
    assert heat.shape == (1, 2, 9, 17)
    # y -0.25 is row 3 of 9, x 0.5 is column 12 of 17
    assert int(heat[0, 0].argmax()) == 3 * 17 + 12
    assert float(heat[0, 0, 3, 12]) == 1.0
    assert torch.allclose(heat[0, 0, 3, 10], torch.exp(torch.tensor(-(0.25**2) / 0.02)))
    mean = grid.expectation(heat / heat.sum((2, 3), keepdim=True))
    assert torch.allclose(mean[0, 0], points[0, 0], atol=5e-3)


def test_antialias_keeps_a_flat_image_and_reads_every_fourth_pixel() -> None:
    layer = AntiAlias(3, 4)
    assert layer.weight.shape == (3, 1, 13, 13)
    flat = layer(torch.ones(1, 3, 64, 64))
    assert flat.shape == (1, 3, 16, 16) and torch.allclose(
        flat[..., 2:-2, 2:-2], torch.ones(1), atol=1e-6
    )
    dot = torch.zeros(1, 3, 64, 64)
    dot[..., 32, 32] = 1
    assert int(layer(dot)[0, 0].argmax()) == 8 * 16 + 8


def test_scale_of_movement() -> None:
    square = np.array([[-0.5, -0.5], [0.5, -0.5], [0.5, 0.5], [-0.5, 0.5]], np.float32)
    assert movement_scale(square * 2, square) == pytest.approx(2)
    assert movement_scale(square, np.zeros((4, 2), np.float32)) == 1  # flat: no size to compare
    cube = np.array([[x, y, z] for x in (0, 1) for y in (0, 1) for z in (0, 1)], np.float32)
    assert movement_scale(cube * 4, cube) == pytest.approx(8)  # the published root of a volume


def test_relative_motion_is_scaled_to_the_source() -> None:
    first, own, change = (noise(1, 5, 2, seed=i).numpy() for i in range(3))
    assert np.allclose(
        relative_points(first + change, first, own, 3.0), own + 3 * change, atol=1e-5
    )


def test_relative_motion_of_the_reference_frame_is_the_source() -> None:
    first, own = noise(1, 5, 2).numpy(), noise(1, 5, 2, seed=1).numpy()
    assert np.allclose(relative_points(first, first, own, 3.0), own)
    maps, mine = noise(1, 5, 2, 2).numpy(), noise(1, 5, 2, 2, seed=1).numpy()
    assert np.allclose(relative_jacobians(maps, maps, mine), mine, atol=1e-4)
    turned = relative_jacobians(2 * maps, maps, mine)
    assert np.allclose(turned, 2 * mine, atol=1e-4)


def motion(values: list[float], valid: list[bool] | None = None, step: int = 40) -> Motion:
    count = len(values)
    rows = np.array(values, np.float32)[:, None] * np.ones((1, 3), np.float32)
    seen = np.ones(count, bool) if valid is None else np.array(valid)
    pts = np.arange(count, dtype=np.int64) * step
    return Motion("fomm", pts, Fraction(1, 1000), seen, {"value": rows * seen[:, None]})


def test_a_clip_is_filled_in_a_straight_line() -> None:
    clip = SmoothedMotion(
        MotionBuffer(motion([0, 1, 2, 3, 4, 5], [False, True, False, False, True, False])),
        "fomm",
        0.0,
    )
    assert np.allclose(clip.rows(0, 6)["value"][:, 0], [1, 1, 2, 3, 4, 4])
    assert np.allclose(clip.rows(3, 4)["value"][:, 0], [3])


@pytest.mark.parametrize("causal", [False, True])
def test_smoothing_reduces_noise_and_keeps_constants(causal: bool) -> None:
    rng = np.random.default_rng(0)
    noisy = rng.standard_normal(60)
    smoothed = SmoothedMotion(MotionBuffer(motion(list(noisy))), "fomm", 1.0, causal=causal)
    values = smoothed.rows(0, 60)["value"][:, 0]
    assert np.abs(np.diff(values)).mean() < 0.7 * np.abs(np.diff(noisy)).mean()
    flat = SmoothedMotion(MotionBuffer(motion([2.0] * 20)), "fomm", 1.0, causal=causal).rows(0, 20)[
        "value"
    ]
    assert np.allclose(flat, 2)


def test_zero_phase_follows_a_line_and_causal_smoothing_never_looks_ahead() -> None:
    line = SmoothedMotion(MotionBuffer(motion(list(range(20)))), "fomm", 1.0).rows(0, 20)["value"][
        :, 0
    ]
    assert np.allclose(line, np.arange(20), atol=1e-4)
    step = [0.0] * 10 + [1.0] * 10
    causal = SmoothedMotion(MotionBuffer(motion(step)), "fomm", 2.0, causal=True).rows(0, 20)[
        "value"
    ][:, 0]
    assert np.all(causal[:10] == 0) and causal[19] == pytest.approx(1)


def test_the_best_frame_has_the_sources_shape() -> None:
    rng = np.random.default_rng(1)
    faces = rng.random((4, 68, 2)).astype(np.float32) * 100
    clip = motion([0, 1, 2, 3], [True, True, True, False])
    clip = replace(clip, arrays={**clip.arrays, LANDMARKS: faces})
    found = SmoothedMotion(MotionBuffer(clip), "fomm", 1.0)
    assert found.best_frame(faces[2] * 3 + 50) == 2  # wherever and however large
    assert found.best_frame(faces[3]) != 3  # never a frame without a face
    assert found.best_frame(None) == 0
    assert "value" in found.row(1) and LANDMARKS not in found.row(1)
    assert np.allclose(landmark_shape(faces[0]), landmark_shape(faces[0] * 2 - 7), atol=1e-5)


def test_wrong_checkpoints_are_named() -> None:
    network = SameBlock(3, 4)
    state = {key: tensor.clone() for key, tensor in network.state_dict().items()}
    for bad, words in (
        ({k: v for k, v in state.items() if k != "conv.bias"}, "1 missing .*conv.bias"),
        ({**state, "extra.weight": torch.zeros(1)}, "1 unexpected .*extra.weight"),
        ({**state, "norm.bias": torch.zeros(9)}, "norm.bias is \\(9,\\) instead of \\(4,\\)"),
    ):
        with pytest.raises(WeightsError, match=words):
            checkpoint.load(SameBlock(3, 4), bad, "file")
    old = {k: v for k, v in state.items() if not k.endswith("num_batches_tracked")}
    assert not checkpoint.load(SameBlock(3, 4), old, "file").training


def test_kernels_with_a_time_axis_fit() -> None:
    network = nn.Conv2d(2, 3, 3)
    state = {"weight": noise(3, 2, 1, 3, 3), "bias": noise(3)}
    assert torch.equal(checkpoint.load(network, state, "file").weight, state["weight"][:, :, 0])


def test_spectral_norm_is_merged_as_torch_computes_it() -> None:
    layer = torch.nn.utils.spectral_norm(nn.Conv2d(3, 5, 3))
    layer(noise(1, 3, 8, 8))
    layer.eval()
    x = noise(1, 3, 8, 8, seed=2)
    wanted = layer(x)
    plain = checkpoint.without_spectral_norm(
        {f"c.{k}": v for k, v in layer.state_dict().items()}, "file"
    )
    assert set(plain) == {"c.weight", "c.bias"}
    assert torch.allclose(F.conv2d(x, plain["c.weight"], plain["c.bias"]), wanted, atol=1e-5)
    with pytest.raises(WeightsError, match=r"lacks c\.weight_u"):
        checkpoint.without_spectral_norm(
            {"c.weight_orig": noise(5, 3), "c.weight_v": noise(3)}, "file"
        )

"""Loss terms: their minima, their growth and their gradients."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import Tensor

from thcli.core.errors import WeightsError
from thcli.core.events import Event, Warned, silent
from thcli.engines.facevid2vid import pose
from thcli.engines.facevid2vid.estimator import HeadPose
from thcli.engines.shared.networks import grid
from thcli.train.core import losses
from thcli.train.core.task import step_generator
from thcli.train.keypoint_models.discriminators import Discriminator, SingleScaleDiscriminator
from thcli.train.keypoint_models.facevid2vid import rotation_matrix, transform_keypoints
from thcli.train.keypoint_models.pairs import yaw_pitch_roll
from thcli.train.keypoint_models.perceptual import (
    PixelGradients,
    PyramidLoss,
    Vgg19,
    create_perceptual_loss,
    identity_loss,
)
from thcli.train.keypoint_models.random_warps import RandomWarp
from thcli.weights import import_file

CPU = torch.device("cpu")


def noise(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(*shape, generator=noise(seed))


def strong_warp(batch: int, seed: int = 3) -> RandomWarp:
    return RandomWarp.random(batch, noise(seed), CPU, affine=0.1, spline=0.005)


def invert_warp(warp: RandomWarp, at: Tensor) -> Tensor:
    """Return the points that T maps to `at`, by Newton's method."""
    found = at.clone()
    for _ in range(60):
        step = torch.linalg.solve(warp.jacobians(found), (warp.map_points(found) - at)[..., None])[
            ..., 0
        ]
        found = found - 0.5 * step  # half: the map bends sharply at its control points
    return found


def test_a_warp_without_noise_is_the_identity() -> None:
    warp = RandomWarp.random(2, noise(), CPU, affine=0, spline=0)
    points = random(2, 5, 2) * 2 - 1
    image = random(2, 3, 24, 24)
    assert torch.allclose(warp.map_points(points), points)
    assert torch.allclose(warp.jacobians(points), torch.eye(2).expand(2, 5, 2, 2))
    assert torch.allclose(warp.warp_image(image, aligned=True), image, atol=1e-5)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**31))
def test_the_jacobian_is_the_derivative(seed: int) -> None:
    warp = RandomWarp.random(1, noise(seed), CPU, affine=0.2, spline=0.05)
    warp = RandomWarp(warp.affine.double(), warp.weights.double(), warp.controls.double())
    at = random(1, 1, 2, seed=seed % 1000).double() * 1.9 - 0.95
    numeric = torch.func.jacrev(lambda p: warp.map_points(p[None, None])[0, 0])(at[0, 0])
    assert torch.allclose(warp.jacobians(at)[0, 0], numeric, atol=1e-9)


def test_a_warped_image_is_sampled_at_the_mapped_points() -> None:
    """Check that a bright spot moves as the equivariance loss expects of keypoints."""
    warp = strong_warp(1)
    spot = torch.tensor([[[0.2, -0.3]]])
    image = grid.gaussians(spot, (96, 96), 0.003)
    found = grid.expectation(
        (lambda m: m / m.sum((2, 3), keepdim=True))(warp.warp_image(image, aligned=True) ** 2)
    )
    assert float((warp.map_points(found) - spot).abs().max()) < 0.01
    assert float((found - spot).abs().max()) > 0.02


def test_equivariance_is_zero_for_an_equivariant_detector() -> None:
    warp = strong_warp(2)
    points = random(2, 6, 2) * 1.2 - 0.6
    maps = torch.eye(2) + 0.3 * random(2, 6, 2, 2, seed=5)
    followed = invert_warp(warp, points)
    maps_there = torch.linalg.solve(warp.jacobians(followed), maps)
    assert float(losses.equivariance(points, followed, warp)) < 1e-5
    assert float(losses.equivariance_jacobian(maps, maps_there, followed, warp)) < 1e-4
    assert float(losses.equivariance(points, points, warp)) > 0.01, (
        "a detector that stays is punished"
    )
    assert float(losses.equivariance_jacobian(maps, maps, points, warp)) > 0.01


def test_equivariance_has_gradients_for_both_frames() -> None:
    warp = strong_warp(1)
    mine, theirs = (random(1, 4, 2, seed=s).requires_grad_() for s in (1, 2))
    maps, others = (
        (torch.eye(2).expand(1, 4, 2, 2) + 0.1 * random(1, 4, 2, 2, seed=s)).requires_grad_()
        for s in (3, 4)
    )
    total = losses.equivariance(mine, theirs, warp) + losses.equivariance_jacobian(
        maps, others, theirs, warp
    )
    total.backward()  # type: ignore[no-untyped-call]  # torch's own
    for leaf in (mine, theirs, maps, others):
        assert leaf.grad is not None and float(leaf.grad.abs().sum()) > 0


def test_warps_follow_from_seed_and_step() -> None:
    a, b, c = (RandomWarp.random(2, step_generator(7, step), CPU).affine for step in (5, 5, 6))
    assert torch.equal(a, b) and not torch.equal(a, c)


def test_keypoint_prior_is_least_for_distant_points_at_the_given_depth() -> None:
    far = torch.zeros(2, 3, 3)
    far[:, :, 0] = torch.tensor([-1.0, 0.0, 1.0])
    far[:, :, 2] = 0.33
    assert float(losses.keypoint_prior(far)) == pytest.approx(0.3), "only each point with itself"
    near = far * torch.tensor([0.1, 1, 1])
    assert float(losses.keypoint_prior(near)) == pytest.approx(
        0.3 + 2 * (0.09 + 0.09 + 0.06), abs=1e-5
    )
    assert float(losses.keypoint_prior(far - torch.tensor([0, 0, 0.33]))) == pytest.approx(0.63)


def test_head_pose_error_excludes_unknown_items() -> None:
    angles, truth = (
        torch.tensor([[10.0, 0, 0], [0.0, 50, 0]]),
        torch.tensor([[8.0, 1, 0], [0.0, 0, 0]]),
    )
    assert float(losses.head_pose(angles, truth, torch.tensor([1.0, 0.0]))) == pytest.approx(3.0)
    assert float(losses.head_pose(angles, truth, torch.zeros(2))) == 0.0
    assert float(losses.expression_prior(torch.tensor([[1.0, -2.0], [0.0, 0.0]]))) == pytest.approx(
        1.5
    )


def test_rotations_equal_the_engines_and_angles_invert_them() -> None:
    angles = np.array([[20.0, -15, 8], [-40, 5, 30]])
    theirs = pose.rotation(angles)
    assert np.allclose(rotation_matrix(torch.from_numpy(angles)).numpy(), theirs, atol=1e-6)
    assert np.allclose(yaw_pitch_roll(theirs.astype(np.float64)), angles, atol=1e-4)


def test_transformed_keypoints_equal_the_engines() -> None:
    canonical, shift, expression = random(2, 15, 3), random(2, 3, seed=1), random(2, 45, seed=2)
    bins = [torch.randn(2, 66, generator=noise(i)) * 3 for i in range(3)]
    head = HeadPose(bins[0], bins[1], bins[2], shift, expression)
    wanted = [
        pose.keypoints(
            canonical[i].numpy(),
            head.angles()[i].numpy(),
            shift[i].numpy(),
            expression.view(2, 15, 3)[i].numpy(),
        )
        for i in range(2)
    ]
    assert np.allclose(transform_keypoints(canonical, head).numpy(), np.stack(wanted), atol=1e-5)


def test_adversarial_losses_at_their_optimum() -> None:
    real, fake = torch.ones(2, 1, 3, 3), torch.zeros(2, 1, 3, 3)
    assert (
        float(losses.lsgan_discriminator(fake, real)) == 0
        and float(losses.lsgan_generator(real)) == 0
    )
    assert float(losses.lsgan_generator(fake)) == 1
    assert (
        float(losses.hinge_discriminator(-real, real)) == 0
        and float(losses.hinge_generator(real)) == -1
    )
    assert float(losses.hinge_discriminator(fake, fake)) == 2


def test_feature_matching_has_gradients_for_the_fake_only() -> None:
    made, real = random(1, 4, 8, 8).requires_grad_(), random(1, 4, 8, 8, seed=1).requires_grad_()
    assert float(losses.feature_matching([made.detach()], [made.detach()], (10.0,))) == 0
    total = losses.feature_matching([made], [real], (10.0,))
    total.backward()  # type: ignore[no-untyped-call]  # torch's own
    assert made.grad is not None and real.grad is None


def test_pyramid_is_zero_for_equal_pictures_and_grows_with_the_distance() -> None:
    compare, truth = PyramidLoss(PixelGradients()), random(1, 3, 64, 64)
    assert float(compare(truth, truth)) == 0
    steps = [
        float(compare(truth + d * random(1, 3, 64, 64, seed=1), truth)) for d in (0.05, 0.1, 0.3)
    ]
    assert steps == sorted(steps) and steps[0] > 0
    made = truth.clone().requires_grad_()
    compare(made + 0.1, truth).backward()
    assert made.grad is not None and float(made.grad.abs().sum()) > 0


def test_the_identity_loss_is_independent_of_positions() -> None:
    """Compare an image with itself upside down, and with other colours."""
    person = random(2, 3, 32, 32)
    assert float(identity_loss(PixelGradients(), person.flip(2), person)) == pytest.approx(
        0, abs=0.02
    )
    assert float(identity_loss(PixelGradients(), person * 0.5, person)) > 0.2


def test_vgg_has_the_published_layout() -> None:
    network = Vgg19()
    keys = list(network.state_dict())
    assert len(keys) == 26 and keys[0] == "features.0.weight" and keys[-1] == "features.28.bias"
    shapes = [tuple(f.shape[1:]) for f in network(random(1, 3, 64, 64))]
    assert shapes == [(64, 64, 64), (128, 32, 32), (256, 16, 16), (512, 8, 8), (512, 4, 4)]


def test_published_vgg_weights_are_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Import a file with torchvision's keys, classifier included."""
    monkeypatch.setenv("THCLI_WEIGHTS", str(tmp_path / "cache"))
    weights = {key: torch.full_like(value, 0.001) for key, value in Vgg19().state_dict().items()}
    save_file({**weights, "classifier.0.bias": torch.zeros(3)}, tmp_path / "own.safetensors")
    import_file("vgg19", tmp_path / "own.safetensors", trust=True)
    loaded = create_perceptual_loss("auto", silent)
    assert loaded.name == "vgg19" and not any(p.requires_grad for p in loaded.parameters())
    assert torch.equal(next(loaded.features.parameters()), weights["features.0.weight"])
    save_file({"features.0.weight": torch.zeros(1)}, tmp_path / "other.safetensors")
    import_file("vgg19", tmp_path / "other.safetensors", trust=True)
    with pytest.raises(WeightsError, match="missing"):
        create_perceptual_loss("auto", silent)


def test_without_vgg_weights_the_substitute_is_used_with_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("THCLI_WEIGHTS", str(tmp_path))
    events: list[Event] = []
    assert create_perceptual_loss("auto", events.append).name == "pyramid"
    assert any(isinstance(e, Warned) and "weights pull vgg19" in e.message for e in events)
    assert create_perceptual_loss("pyramid", silent).name == "pyramid"
    with pytest.raises(WeightsError, match="vgg19") as caught:
        create_perceptual_loss("vgg19", silent)
    assert "--perceptual pyramid" in caught.value.hint


DISCRIMINATORS: list[tuple[str, str, Callable[[], torch.nn.Module]]] = [
    (
        "FOMM",
        "discriminator",
        lambda: SingleScaleDiscriminator(3, (64, 128, 256, 512), spectral=True),
    ),
    ("FOMM", "discriminator_adv", lambda: SingleScaleDiscriminator(13, (64, 128, 256, 512))),
    (
        "FACEVID2VID",
        "discriminator",
        lambda: SingleScaleDiscriminator(3, (64, 128, 256, 512), spectral=True),
    ),
    (
        "MONKEYNET",
        "discriminator",
        lambda: Discriminator(13, (64, 128, 256, 256), pool_last=True),
    ),
]


@pytest.mark.parametrize(("file", "part", "build"), DISCRIMINATORS)
def test_discriminators_have_the_published_layout(
    shared: Path, file: str, part: str, build: Callable[[], torch.nn.Module]
) -> None:
    network = build()
    wanted = json.loads((shared / "specs" / f"{file}.keys.json").read_text())[part]
    plain = {
        key: [n for i, n in enumerate(shape) if len(shape) < 5 or i != 2]
        for key, (shape, _) in wanted.items()
    }
    assert {key: list(value.shape) for key, value in network.state_dict().items()} == plain

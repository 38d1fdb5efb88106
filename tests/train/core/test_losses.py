"""What each loss is zero for, what it grows with, and that gradients reach what they should."""

from __future__ import annotations

import json
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
from thcli.train.core.task import noise_of
from thcli.train.keypoint_models.discriminators import Discriminator, OneScale
from thcli.train.keypoint_models.facevid2vid import posed, rotation
from thcli.train.keypoint_models.pairs import angles_from_matrix
from thcli.train.keypoint_models.perceptual import (
    Edges,
    PyramidLoss,
    Vgg19,
    identity_loss,
    perceptual,
)
from thcli.train.keypoint_models.random_warps import Warp
from thcli.weights import import_file

CPU = torch.device("cpu")


def noise(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(*shape, generator=noise(seed))


def strong_warp(batch: int, seed: int = 3) -> Warp:
    return Warp.random(batch, noise(seed), CPU, affine=0.1, spline=0.005)


def solved(warp: Warp, at: Tensor) -> Tensor:
    """Where T sends to `at`: Newton's method."""
    found = at.clone()
    for _ in range(60):
        step = torch.linalg.solve(warp.jacobians(found), (warp.points(found) - at)[..., None])[
            ..., 0
        ]
        found = found - 0.5 * step  # half: the map bends sharply at its control points
    return found


def test_a_warp_without_noise_is_the_identity() -> None:
    warp = Warp.random(2, noise(), CPU, affine=0, spline=0)
    points = random(2, 5, 2) * 2 - 1
    picture = random(2, 3, 24, 24)
    assert torch.allclose(warp.points(points), points)
    assert torch.allclose(warp.jacobians(points), torch.eye(2).expand(2, 5, 2, 2))
    assert torch.allclose(warp.picture(picture, aligned=True), picture, atol=1e-5)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**31))
def test_the_jacobian_is_the_derivative(seed: int) -> None:
    warp = Warp.random(1, noise(seed), CPU, affine=0.2, spline=0.05)
    warp = Warp(warp.affine.double(), warp.weights.double(), warp.controls.double())
    at = random(1, 1, 2, seed=seed % 1000).double() * 1.9 - 0.95
    numeric = torch.func.jacrev(lambda p: warp.points(p[None, None])[0, 0])(at[0, 0])
    assert torch.allclose(warp.jacobians(at)[0, 0], numeric, atol=1e-9)


def test_what_lies_at_p_of_the_warped_picture_lay_at_t_of_p() -> None:
    """A bright spot moves where the equivariance loss says that keypoints move."""
    warp = strong_warp(1)
    spot = torch.tensor([[[0.2, -0.3]]])
    picture = grid.gaussians(spot, (96, 96), 0.003)
    found = grid.expectation(
        (lambda m: m / m.sum((2, 3), keepdim=True))(warp.picture(picture, aligned=True) ** 2)
    )
    assert float((warp.points(found) - spot).abs().max()) < 0.01
    assert float((found - spot).abs().max()) > 0.02


def test_equivariance_is_zero_for_a_detector_that_follows() -> None:
    warp = strong_warp(2)
    points = random(2, 6, 2) * 1.2 - 0.6
    maps = torch.eye(2) + 0.3 * random(2, 6, 2, 2, seed=5)
    followed = solved(warp, points)
    maps_there = torch.linalg.solve(warp.jacobians(followed), maps)
    assert float(losses.equivariance(points, followed, warp)) < 1e-5
    assert float(losses.equivariance_jacobian(maps, maps_there, followed, warp)) < 1e-4
    assert float(losses.equivariance(points, points, warp)) > 0.01, (
        "a detector that stays is punished"
    )
    assert float(losses.equivariance_jacobian(maps, maps, points, warp)) > 0.01


def test_equivariance_reaches_both_frames() -> None:
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
    a, b, c = (Warp.random(2, noise_of(7, step), CPU).affine for step in (5, 5, 6))
    assert torch.equal(a, b) and not torch.equal(a, c)


def test_keypoint_prior_wants_points_apart_at_their_depth() -> None:
    far = torch.zeros(2, 3, 3)
    far[:, :, 0] = torch.tensor([-1.0, 0.0, 1.0])
    far[:, :, 2] = 0.33
    assert float(losses.keypoint_prior(far)) == pytest.approx(0.3), "only each point with itself"
    near = far * torch.tensor([0.1, 1, 1])
    assert float(losses.keypoint_prior(near)) == pytest.approx(
        0.3 + 2 * (0.09 + 0.09 + 0.06), abs=1e-5
    )
    assert float(losses.keypoint_prior(far - torch.tensor([0, 0, 0.33]))) == pytest.approx(0.63)


def test_head_pose_counts_known_items_in_degrees() -> None:
    angles, truth = (
        torch.tensor([[10.0, 0, 0], [0.0, 50, 0]]),
        torch.tensor([[8.0, 1, 0], [0.0, 0, 0]]),
    )
    assert float(losses.head_pose(angles, truth, torch.tensor([1.0, 0.0]))) == pytest.approx(3.0)
    assert float(losses.head_pose(angles, truth, torch.zeros(2))) == 0.0
    assert float(losses.expression_size(torch.tensor([[1.0, -2.0], [0.0, 0.0]]))) == pytest.approx(
        1.5
    )


def test_rotation_is_the_engines_and_angles_are_its_inverse() -> None:
    angles = np.array([[20.0, -15, 8], [-40, 5, 30]])
    theirs = pose.rotation(angles)
    assert np.allclose(rotation(torch.from_numpy(angles)).numpy(), theirs, atol=1e-6)
    assert np.allclose(angles_from_matrix(theirs.astype(np.float64)), angles, atol=1e-4)


def test_posed_keypoints_are_the_engines() -> None:
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
    assert np.allclose(posed(canonical, head).numpy(), np.stack(wanted), atol=1e-5)


def test_adversarial_losses_at_their_best() -> None:
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


def test_feature_matching_teaches_only_what_is_made() -> None:
    made, real = random(1, 4, 8, 8).requires_grad_(), random(1, 4, 8, 8, seed=1).requires_grad_()
    assert float(losses.feature_matching([made.detach()], [made.detach()], (10.0,))) == 0
    losses.feature_matching([made], [real], (10.0,)).backward()  # type: ignore[no-untyped-call]  # torch's own
    assert made.grad is not None and real.grad is None


def test_pyramid_is_zero_for_equal_pictures_and_grows_with_the_distance() -> None:
    compare, truth = PyramidLoss(Edges()), random(1, 3, 64, 64)
    assert float(compare(truth, truth)) == 0
    steps = [
        float(compare(truth + d * random(1, 3, 64, 64, seed=1), truth)) for d in (0.05, 0.1, 0.3)
    ]
    assert steps == sorted(steps) and steps[0] > 0
    made = truth.clone().requires_grad_()
    compare(made + 0.1, truth).backward()
    assert made.grad is not None and float(made.grad.abs().sum()) > 0


def test_identity_does_not_look_at_places() -> None:
    """The same picture upside down is the same look; another's colours are not."""
    person = random(2, 3, 32, 32)
    assert float(identity_loss(Edges(), person.flip(2), person)) == pytest.approx(0, abs=0.02)
    assert float(identity_loss(Edges(), person * 0.5, person)) > 0.2


def test_vgg_has_the_published_layout() -> None:
    network = Vgg19()
    keys = list(network.state_dict())
    assert len(keys) == 26 and keys[0] == "features.0.weight" and keys[-1] == "features.28.bias"
    shapes = [tuple(f.shape[1:]) for f in network(random(1, 3, 64, 64))]
    assert shapes == [(64, 64, 64), (128, 32, 32), (256, 16, 16), (512, 8, 8), (512, 4, 4)]


def test_published_vgg_weights_are_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file as torchvision's, classifier included, through import; no gradient reaches it."""
    monkeypatch.setenv("THCLI_WEIGHTS", str(tmp_path / "cache"))
    weights = {key: torch.full_like(value, 0.001) for key, value in Vgg19().state_dict().items()}
    save_file({**weights, "classifier.0.bias": torch.zeros(3)}, tmp_path / "own.safetensors")
    import_file("vgg19", tmp_path / "own.safetensors", trust=True)
    loaded = perceptual("auto", silent)
    assert loaded.name == "vgg19" and not any(p.requires_grad for p in loaded.parameters())
    assert torch.equal(next(loaded.features.parameters()), weights["features.0.weight"])
    save_file({"features.0.weight": torch.zeros(1)}, tmp_path / "other.safetensors")
    import_file("vgg19", tmp_path / "other.safetensors", trust=True)
    with pytest.raises(WeightsError, match="missing"):
        perceptual("auto", silent)


def test_without_vgg_the_stand_in_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THCLI_WEIGHTS", str(tmp_path))
    told: list[Event] = []
    assert perceptual("auto", told.append).name == "pyramid"
    assert any(isinstance(e, Warned) and "weights pull vgg19" in e.message for e in told)
    assert perceptual("pyramid", silent).name == "pyramid"
    with pytest.raises(WeightsError, match="vgg19") as caught:
        perceptual("vgg19", silent)
    assert "--perceptual pyramid" in caught.value.hint


@pytest.mark.parametrize(
    ("file", "part", "network"),
    [
        ("FOMM", "discriminator", OneScale(3, (64, 128, 256, 512), spectral=True)),
        ("FOMM", "discriminator_adv", OneScale(13, (64, 128, 256, 512))),
        ("FACEVID2VID", "discriminator", OneScale(3, (64, 128, 256, 512), spectral=True)),
        ("MONKEYNET", "discriminator", Discriminator(13, (64, 128, 256, 256), pool_last=True)),
    ],
)
def test_discriminators_have_the_published_layout(
    shared: Path, file: str, part: str, network: torch.nn.Module
) -> None:
    wanted = json.loads((shared / "specs" / f"{file}.keys.json").read_text())[part]
    plain = {
        key: [n for i, n in enumerate(shape) if len(shape) < 5 or i != 2]
        for key, (shape, _) in wanted.items()
    }
    assert {key: list(value.shape) for key, value in network.state_dict().items()} == plain

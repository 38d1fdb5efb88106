"""Tests of dva-s: identities, batch independence, reconstruction, solvers of second order."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from thcli.core.errors import NoFaceError, WeightsError
from thcli.core.options import EditorOptions, FaceOptions, RunOptions
from thcli.core.protocols import Editor
from thcli.core.types import Array32, Face, Image
from thcli.diffusion.samplers import Denoiser, invert_ddim, invert_dpmpp, sample_ddim, sample_dpmpp
from thcli.editors.backends import EDITORS
from thcli.editors.dva import sampling, small
from thcli.editors.dva.diffusion_editor import ConditionedDenoiser
from thcli.editors.dva.small import DvaSmall
from thcli.editors.dva.small_network import IDENTITY, FaceProjection, SmallDva, SmallDvaShape
from thcli.editors.shared.celeba import CELEBA
from thcli.editors.shared.trajectory import SteerableEditor
from thcli.evaluate.datasets.sample_clip import portrait
from thcli.evaluate.metrics.image import ssim
from thcli.faces.crops import align
from thcli.faces.crops.crop import crop, transform_face
from thcli.faces.landmarks.topology import PAIRS
from thcli.pipeline.observe.face_finder import FaceFinder

RUN = RunOptions(device="cpu", threads=1, offline=True)
TINY = SmallDvaShape(
    size=64,
    width=8,
    head=8,
    embedding=32,
    appearance=16,
    encoder_widths=(8, 8, 8, 8),
    decoder_widths=(8, 8, 8, 8, 8),
    fine=8,
)


class MeanColourEncoder:
    """Identity encoder that returns the mean colour of a crop."""

    name, same_person = "persons", 0.5

    def encode_crops(self, crops: Any) -> Array32:
        rows = np.stack([np.resize(crop.mean((0, 1)) - 100, IDENTITY) for crop in crops])
        return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), np.float32)

    def identify(self, image: Image, face: Face) -> Any:
        raise NotImplementedError


def randomize_zero_weights(network: SmallDva) -> SmallDva:
    """Fill zero weights with small random values, as after training."""
    generator = torch.Generator().manual_seed(3)
    for tensor in network.state_dict().values():
        if tensor.dim() > 1 and not tensor.any():
            tensor.copy_(
                0.05
                * torch.randn(tensor.shape, generator=generator)
                / np.sqrt(np.prod(tensor.shape[1:]))
            )
    return network.eval().requires_grad_(False)


def make_face(size: int, seed: int = 0) -> Face:
    """Return a face of random points whose eyes, nose and mouth have plausible positions.

    Mirrored points mirror each other.
    """
    rng = np.random.default_rng(seed)
    mesh = rng.uniform(0.3, 0.7, (468, 3))
    mesh[PAIRS, 0], mesh[PAIRS, 1] = 1 - mesh[:, 0], mesh[:, 1]
    for points, (x, y) in (
        ((33, 160, 158, 133, 153, 144), (0.38, 0.48)),
        ((362, 385, 387, 263, 373, 380), (0.62, 0.48)),
        ((4,), (0.5, 0.6)),
        ((61,), (0.42, 0.73)),
        ((291,), (0.58, 0.73)),
    ):
        mesh[list(points), :2] = np.array([x, y]) + rng.normal(0, 0.01, (len(points), 2))
    return Face(
        np.array([0.2, 0.2, 0.8, 0.9], np.float32) * size,
        1.0,
        mesh=(mesh * size).astype(np.float32),
    )


def make_crops(count: int, size: int = 64) -> list[Image]:
    return list(np.random.default_rng(1).integers(0, 256, (count, size, size, 3), np.uint8))


def make_editor(**options: Any) -> DvaSmall:
    torch.manual_seed(0)
    return DvaSmall(
        randomize_zero_weights(SmallDva(TINY)),
        MeanColourEncoder(),
        RUN,
        EditorOptions(**{"steps": 4, **options}),
    )


def test_is_a_steerable_editor() -> None:
    one = make_editor()
    checked: Editor = one
    faces = [make_face(64, n) for n in range(2)]
    identities, landmarks = checked.encode(make_crops(2), faces)
    assert isinstance(one, SteerableEditor) and one.part_lengths == (512, 16)
    assert identities.shape == (2, 528) and landmarks.shape == (2, 136)
    for part in (identities[:, :512], identities[:, 512:]):
        np.testing.assert_allclose(np.linalg.norm(part, axis=1), 1, atol=1e-5)
    assert checked.crop_size == 64 and checked.template == "ffhq"


def test_nothing_depends_on_the_batch() -> None:
    one, images, faces = make_editor(), make_crops(2), [make_face(64, n) for n in range(2)]
    identities, landmarks = one.encode(images, faces)
    who = identities.mean(0)
    latents = one.invert(images, who, landmarks)
    made = one.decode(latents, who, landmarks)
    assert latents.shape == (2, 3, 64, 64)
    for n, image in enumerate(images):
        here = slice(n, n + 1)
        alone = one.encode([image], [faces[n]])
        assert np.array_equal(alone[0][0], identities[n]) and np.array_equal(
            alone[1][0], landmarks[n]
        )
        assert np.array_equal(one.invert([image], who, landmarks[here]), latents[here])
        assert np.array_equal(one.decode(latents[here], who, landmarks[here])[0], made[n])


def test_an_unedited_image_is_reconstructed_and_another_appearance_changes_it() -> None:
    one, face = make_editor(steps=50), make_face(64)
    soft = np.linspace(60, 190, 64).astype(np.uint8)
    image = np.ascontiguousarray(np.broadcast_to(soft[:, None, None], (64, 64, 3)))
    identities, landmarks = one.encode([image], [face])
    latents = one.invert([image], identities[0], landmarks)
    back = one.decode(latents, identities[0], landmarks)[0]
    assert np.abs(back.astype(int) - image).mean() < 1
    other = identities[0].copy()
    other[512:] *= -1
    assert np.abs(one.decode(latents, other, landmarks)[0].astype(int) - back).mean() > 3
    other[512:] *= -7  # its length says nothing
    np.testing.assert_allclose(one.decode(latents, other, landmarks)[0].astype(int), back, atol=1)


def test_a_trajectory_depends_on_the_identity() -> None:
    one, face = make_editor(), make_face(64)
    (image,) = make_crops(1)
    trajectory = one.trajectory(image, face, None, 5)
    assert trajectory.identity.shape == (1, 528) and trajectory.images.shape == (5, 3, 64, 64)
    assert set(np.unique(trajectory.mask.numpy())) == {0.0, 1.0}
    # Each step starts at the frame's own latent, so its own identity changes nothing.
    torch.testing.assert_close(
        trajectory.render(trajectory.identity), trajectory.images, atol=1e-4, rtol=0
    )
    moved = (trajectory.identity + 0.1).requires_grad_(True)
    trajectory.render(moved).mean().backward()  # type: ignore[no-untyped-call]  # torch's own
    assert moved.grad is not None and bool(moved.grad[:, 512:].any())


def test_the_base_image_is_subtracted_and_added_again() -> None:
    denoiser = Denoiser(lambda x, t: x, sampling.schedule(4))
    conditioned = ConditionedDenoiser(denoiser, torch.full((1, 3, 4, 4), 0.5), 0.25)
    images = torch.rand(1, 3, 4, 4)
    residual = conditioned.to_residual(images)
    torch.testing.assert_close(conditioned.from_residual(residual), images)
    expected = small.compute_residual(images, torch.full((1, 3, 4, 4), 0.5))
    torch.testing.assert_close(residual, expected)
    assert ConditionedDenoiser(denoiser).to_residual(images) is images


def test_other_landmarks_move_the_crop_before_its_inversion() -> None:
    """A latent holds the detail of a face; it must lie where the new landmarks are decoded."""
    one, face = make_editor(), make_face(64)
    soft = np.linspace(0, 255, 64).astype(np.uint8)
    image = np.ascontiguousarray(np.broadcast_to(soft[:, None, None], (64, 64, 3)))
    _, landmarks = one.encode([image], [face])
    same, kept = one.move([image], landmarks, landmarks)
    assert same[0] is image and np.array_equal(kept, landmarks)
    target = landmarks + np.tile(np.array([0, 0.05], np.float32), 68)
    moved, inverted_with = one.move([image], landmarks, target)
    assert np.array_equal(inverted_with, target)
    middle = np.s_[24:40, 24:40]
    assert (image[middle].astype(int) - moved[0][middle]).mean() > 8  # it went down
    np.testing.assert_allclose(moved[0][0].astype(int), image[0], atol=1)


def test_attributes_do_not_move_the_outline_of_the_face() -> None:
    assert DvaSmall.movable == slice(34, None)


def test_no_grid_of_patches_is_left() -> None:
    """Untrained networks too give images whose pixels do not depend on their place in a patch."""
    torch.manual_seed(0)
    network = randomize_zero_weights(SmallDva(TINY))
    with torch.no_grad():
        base = network.painter(torch.randn(16, 32))
        out = network.remainder(
            torch.zeros(16, 3, 64, 64), torch.full((16,), 999), torch.randn(16, 32), base
        )
    for images in (base, out):
        steps = (images[..., 1:] - images[..., :-1]).abs().mean((0, 1, 2))[8:56]
        within, across = steps[1::4].mean(), steps[3::4].mean()
        assert 0.6 < float(within / across) < 1.6


def test_landmarks_are_needed() -> None:
    face = replace(make_face(64), mesh=None)
    with pytest.raises(NoFaceError, match="468"):
        make_editor().encode(make_crops(1), [face])


def test_dropped_parts_of_an_identity_have_no_effect() -> None:
    facer = FaceProjection(TINY)
    who, points = torch.randn(2, 528), torch.rand(2, 136)
    shown = [torch.tensor([[0.0], [1.0]]), torch.ones(2, 1)]
    other = who.clone()
    other[:, :512] = torch.randn(2, 512)
    one, two = facer(who, points, shown), facer(other, points, shown)
    assert torch.equal(one[0], two[0]) and not torch.equal(one[1], two[1])


def gaussian_denoiser(steps: int, spread: float = 0.5) -> Denoiser:
    """Return the optimal denoiser of Gaussian images, whose flow is known exactly."""
    table = sampling.schedule(sampling.STEPS)

    def model(x: Tensor, times: Tensor) -> Tensor:
        alpha_bar = torch.from_numpy(table.alpha_bar)[times].float()[:, None, None, None]
        return x * alpha_bar.sqrt() * spread**2 / (alpha_bar * spread**2 + 1 - alpha_bar)

    return Denoiser(model, sampling.schedule_by_snr(steps), "x0", clamp=False)


@pytest.mark.parametrize("steps", [10, 20, 50])
def test_second_order_solvers_reconstruct_more_closely(steps: int) -> None:
    x = 0.5 * torch.randn(1, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    denoiser = gaussian_denoiser(steps)
    first = (sample_ddim(denoiser, invert_ddim(denoiser, x)) - x).abs().mean()
    second = (sample_dpmpp(denoiser, invert_dpmpp(denoiser, x)) - x).abs().mean()
    assert second < 0.3 * first


@pytest.mark.parametrize("steps", [2, 10, 100])
def test_steps_by_noise_have_both_ends(steps: int) -> None:
    table = sampling.schedule_by_snr(steps)
    assert table.timesteps[0] == 0 and table.timesteps[-1] == 999 and len(table) <= steps
    if steps == 10:
        assert len(table) == steps
        gaps = np.diff(table.log_snr)
        assert gaps.max() < 0.5 * gaps.min()  # falling: as even as the thousand allow


def test_inversion_follows_the_exact_flow() -> None:
    """x_T of a Gaussian is the image times the factor of its spread."""
    x, denoiser = 0.5 * torch.ones(1, 3, 2, 2), gaussian_denoiser(250)
    alpha_bar = torch.tensor(denoiser.schedule.alpha_bar[[0, -1]])
    wanted = (
        x
        * (
            (alpha_bar[1] * 0.25 + 1 - alpha_bar[1]) / (alpha_bar[0] * 0.25 + 1 - alpha_bar[0])
        ).sqrt()
    )
    torch.testing.assert_close(
        invert_dpmpp(denoiser, x).double(), wanted.double().expand_as(x), rtol=0.01, atol=0
    )


def test_it_is_the_default_where_research_weights_may_be_used() -> None:
    assert "dva-s" in EDITORS.rows and EDITORS.defaults == {"any": "dva-s", "free": ""}
    assert (
        EDITORS.resolve("auto", RUN) == "dva-s"
        and EDITORS.resolve("auto", replace(RUN, licence="free")) == ""
    )


def test_the_licence_is_kept(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(WeightsError, match="--licence free") as caught:
        small.load(replace(RUN, licence="free"))
    assert caught.value.exit_code == 5
    with pytest.raises(WeightsError, match=r"other .*missing"):
        small.build({"x": torch.zeros(1)}, "other", RUN)


def test_the_bundled_weights_reconstruct_and_edit_a_photograph() -> None:
    image = portrait(256)
    face_finder = FaceFinder.load(FaceOptions(), RUN)
    face = face_finder.refine_landmarks(image, face_finder.find(image)[0])
    assert face.mesh is not None
    one = EDITORS.rows["dva-s"].load(RUN)
    where = align.ffhq(face.mesh, one.crop_size)
    seen, here = crop(image, where), transform_face(face, where.crop_from_frame)
    identities, landmarks = one.encode([seen], [here])
    latents = one.invert([seen], identities[0], landmarks)
    back = one.decode(latents, identities[0], landmarks)[0]
    assert ssim(seen, back) > 0.97
    blonder = identities[0].copy()
    row = one.network.labels.weight[
        [CELEBA.index("Blond_Hair"), CELEBA.index("Black_Hair")]
    ].numpy()
    blonder[IDENTITY:] += 0.8 * (row[0] - row[1]) / np.linalg.norm(row[0] - row[1])
    assert one.decode(latents, blonder, landmarks)[0].mean() > back.mean() + 5

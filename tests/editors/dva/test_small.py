"""dva-s: what its identities are, that nothing depends on the batch, pictures that come back, walkers of second order."""

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
from thcli.editors.dva.diffusion_editor import Told
from thcli.editors.dva.small import DvaSmall
from thcli.editors.dva.small_network import IDENTITY, Facer, Shape, SmallDva
from thcli.editors.shared.celeba import CELEBA
from thcli.editors.shared.trajectory import Steerable
from thcli.evaluate.datasets.test_clip import portrait
from thcli.evaluate.metrics.image import ssim
from thcli.faces.crops import align
from thcli.faces.crops.crop import crop, moved
from thcli.faces.landmarks.topology import PAIRS
from thcli.pipeline.sources.source_image import FaceFinder

RUN = RunOptions(device="cpu", threads=1, offline=True)
TINY = Shape(
    size=48, width=8, head=8, embedding=32, look=16, seen=(8, 8, 8, 8), painted=(8, 8, 8, 8)
)


class Persons:
    """Tells persons by the mean colour of their crops."""

    name, same_person = "persons", 0.5

    def vectors(self, crops: Any) -> Array32:
        rows = np.stack([np.resize(crop.mean((0, 1)) - 100, IDENTITY) for crop in crops])
        return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), np.float32)

    def identify(self, picture: Image, face: Face) -> Any:
        raise NotImplementedError


def trained(network: SmallDva) -> SmallDva:
    """As if trained: the zeros at the ends are small weights."""
    generator = torch.Generator().manual_seed(3)
    for tensor in network.state_dict().values():
        if tensor.dim() > 1 and not tensor.any():
            tensor.copy_(
                0.05
                * torch.randn(tensor.shape, generator=generator)
                / np.sqrt(np.prod(tensor.shape[1:]))
            )
    return network.eval().requires_grad_(False)


def face_in(size: int, seed: int = 0) -> Face:
    """A mesh of random points whose eyes, nose and mouth lie as a face's do: mirrored points mirror each other."""
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


def crops(count: int, size: int = 48) -> list[Image]:
    return list(np.random.default_rng(1).integers(0, 256, (count, size, size, 3), np.uint8))


def editor(**options: Any) -> DvaSmall:
    torch.manual_seed(0)
    return DvaSmall(
        trained(SmallDva(TINY)), Persons(), RUN, EditorOptions(**{"steps": 4, **options})
    )


def test_is_an_editor_that_words_can_steer() -> None:
    one = editor()
    checked: Editor = one
    faces = [face_in(48, n) for n in range(2)]
    identities, landmarks = checked.encode(crops(2), faces)
    assert isinstance(one, Steerable) and one.units == (512, 16)
    assert identities.shape == (2, 528) and landmarks.shape == (2, 136)
    for part in (identities[:, :512], identities[:, 512:]):
        np.testing.assert_allclose(np.linalg.norm(part, axis=1), 1, atol=1e-5)
    assert checked.crop_size == 48 and checked.template == "ffhq"


def test_nothing_depends_on_the_batch() -> None:
    one, pictures, faces = editor(), crops(2), [face_in(48, n) for n in range(2)]
    identities, landmarks = one.encode(pictures, faces)
    who = identities.mean(0)
    latents = one.invert(pictures, who, landmarks)
    made = one.decode(latents, who, landmarks)
    assert latents.shape == (2, 3, 48, 48)
    for n, picture in enumerate(pictures):
        here = slice(n, n + 1)
        alone = one.encode([picture], [faces[n]])
        assert np.array_equal(alone[0][0], identities[n]) and np.array_equal(
            alone[1][0], landmarks[n]
        )
        assert np.array_equal(one.invert([picture], who, landmarks[here]), latents[here])
        assert np.array_equal(one.decode(latents[here], who, landmarks[here])[0], made[n])


def test_an_unedited_picture_comes_back_and_another_look_changes_it() -> None:
    one, face = editor(steps=50), face_in(48)
    soft = np.linspace(60, 190, 48).astype(np.uint8)
    picture = np.ascontiguousarray(np.broadcast_to(soft[:, None, None], (48, 48, 3)))
    identities, landmarks = one.encode([picture], [face])
    latents = one.invert([picture], identities[0], landmarks)
    back = one.decode(latents, identities[0], landmarks)[0]
    assert np.abs(back.astype(int) - picture).mean() < 1
    other = identities[0].copy()
    other[512:] *= -1
    assert np.abs(one.decode(latents, other, landmarks)[0].astype(int) - back).mean() > 3
    other[512:] *= -7  # its length says nothing
    np.testing.assert_allclose(one.decode(latents, other, landmarks)[0].astype(int), back, atol=1)


def test_a_trail_moves_with_the_identity() -> None:
    one, face = editor(), face_in(48)
    (picture,) = crops(1)
    trail = one.trail(picture, face, None, 5)
    assert trail.start.shape == (1, 528) and trail.before.shape == (5, 3, 48, 48)
    assert set(np.unique(trail.mask.numpy())) == {0.0, 1.0}
    # Each step is taken from where the frame's own trail was: with its own identity nothing changes.
    torch.testing.assert_close(trail.after(trail.start), trail.before, atol=1e-4, rtol=0)
    moved = (trail.start + 0.1).requires_grad_(True)
    trail.after(moved).mean().backward()  # type: ignore[no-untyped-call]  # torch's own
    assert moved.grad is not None and bool(moved.grad[:, 512:].any())


def test_what_is_told_is_taken_off_and_put_back() -> None:
    walker = Denoiser(lambda x, t: x, sampling.schedule(4))
    told = Told(walker, torch.full((1, 3, 4, 4), 0.5), 0.25)
    pictures = torch.rand(1, 3, 4, 4)
    torch.testing.assert_close(told.pictures(told.clean(pictures)), pictures)
    torch.testing.assert_close(
        told.clean(pictures), small.remainder_of(pictures, torch.full((1, 3, 4, 4), 0.5))
    )
    assert Told(walker).clean(pictures) is pictures


def test_landmarks_are_needed() -> None:
    face = replace(face_in(48), mesh=None)
    with pytest.raises(NoFaceError, match="468"):
        editor().encode(crops(1), [face])


def test_held_parts_of_an_identity_say_nothing() -> None:
    facer = Facer(TINY)
    who, points = torch.randn(2, 528), torch.rand(2, 136)
    shown = [torch.tensor([[0.0], [1.0]]), torch.ones(2, 1)]
    other = who.clone()
    other[:, :512] = torch.randn(2, 512)
    one, two = facer(who, points, shown), facer(other, points, shown)
    assert torch.equal(one[0], two[0]) and not torch.equal(one[1], two[1])


# Walkers -------------------------------------------------------------------------------------------------------------


def gaussian(steps: int, spread: float = 0.5) -> Denoiser:
    """The best guess of pictures that are Gaussian noise of that spread, whose flow is known exactly."""
    table = sampling.schedule(sampling.STEPS)

    def model(x: Tensor, times: Tensor) -> Tensor:
        abar = torch.from_numpy(table.abar)[times].float()[:, None, None, None]
        return x * abar.sqrt() * spread**2 / (abar * spread**2 + 1 - abar)

    return Denoiser(model, sampling.schedule_by_noise(steps), "x0", clip=False)


@pytest.mark.parametrize("steps", [10, 20, 50])
def test_walkers_of_second_order_bring_pictures_back_more_closely(steps: int) -> None:
    x = 0.5 * torch.randn(1, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    walker = gaussian(steps)
    first = (sample_ddim(walker, invert_ddim(walker, x)) - x).abs().mean()
    second = (sample_dpmpp(walker, invert_dpmpp(walker, x)) - x).abs().mean()
    assert second < 0.3 * first


@pytest.mark.parametrize("steps", [2, 10, 100])
def test_steps_by_noise_have_both_ends(steps: int) -> None:
    table = sampling.schedule_by_noise(steps)
    assert table.timesteps[0] == 0 and table.timesteps[-1] == 999 and len(table) <= steps
    if steps == 10:
        assert len(table) == steps
        gaps = np.diff(table.log_snr)
        assert gaps.max() < 0.5 * gaps.min()  # falling: as even as the thousand allow


def test_the_way_up_is_the_flow() -> None:
    """Scale by scale: a Gaussian's x_T is the picture times what the spread has become."""
    x, walker = 0.5 * torch.ones(1, 3, 2, 2), gaussian(250)
    abar = torch.tensor(walker.schedule.abar[[0, -1]])
    wanted = x * ((abar[1] * 0.25 + 1 - abar[1]) / (abar[0] * 0.25 + 1 - abar[0])).sqrt()
    torch.testing.assert_close(
        invert_dpmpp(walker, x).double(), wanted.double().expand_as(x), rtol=0.01, atol=0
    )


# Weights -------------------------------------------------------------------------------------------------------------


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
        small.made({"x": torch.zeros(1)}, "other", RUN)


def test_the_bundled_weights_give_a_photograph_back_and_change_its_look() -> None:
    picture = portrait(256)
    face_finder = FaceFinder.load(FaceOptions(), RUN)
    face = face_finder.refined(picture, face_finder.find(picture)[0])
    assert face.mesh is not None
    one = EDITORS.rows["dva-s"].load(RUN)
    where = align.ffhq(face.mesh, one.crop_size)
    seen, here = crop(picture, where), moved(face, where.crop_from_frame)
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

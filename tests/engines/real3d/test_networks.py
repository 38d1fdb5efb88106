"""Networks of Real3D-Portrait: faster forms against direct ones, batches."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from tests.engines.real3d.published_states import published_state
from thcli.engines.real3d import rays, volume_renderer
from thcli.engines.real3d.config import Real3DConfig
from thcli.engines.real3d.model import (
    Real3D,
    SourceImages,
    empty_model,
    load_model,
)
from thcli.engines.real3d.motion_adapter import WIDTHS, FuseHead
from thcli.engines.real3d.planes import PlaneTable, as_planes
from thcli.engines.real3d.transformer import HIDDEN_AT_A_TIME, MixFeedForward
from thcli.engines.real3d.volume_renderer import Rendered, VolumeRenderer
from thcli.engines.shared.fast_conv.fast import prepare_network

TINY = Real3DConfig(image_size=256, width_divisor=16, coarse_samples=6, fine_samples=5)
CPU = torch.device("cpu")


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def tiny() -> Real3D:
    """Create a narrow model as a checkpoint's loader does."""
    torch.manual_seed(0)
    return load_model(published_state(empty_model(TINY)), TINY)


@pytest.fixture(scope="module")
def source() -> SourceImages:
    side = TINY.image_size
    head, torso, background = (noise(1, 3, side, side, seed=n).tanh() for n in range(3))
    classes = torch.randint(6, (1, side, side), generator=torch.Generator().manual_seed(3))
    segmap = F.one_hot(classes, 6).permute(0, 3, 1, 2).float()
    keypoints = F.pad(noise(1, 68, 2, seed=4).clamp(-1, 1) / 2, (0, 1))
    return SourceImages(head, torso, background, segmap, keypoints)


def camera(batch: int = 1, distance: float = 2.7) -> Tensor:
    """Return cameras on the z axis that look at the origin."""
    matrix = torch.diag(torch.tensor([1.0, -1.0, -1.0, 1.0]))
    matrix[2, 3] = distance
    focal = 2985.29 / 700
    intrinsics = torch.tensor([focal, 0, 0.5, 0, focal, 0.5, 0, 0, 1])
    return torch.cat([matrix.flatten(), intrinsics]).expand(batch, -1).clone()


@pytest.mark.parametrize("depth", [1, 3])
def test_sampling_equals_interpolation_of_each_plane(depth: int) -> None:
    """Inside, at the border and outside, with each plane's own order of coordinates."""
    planes = noise(3, 32 * depth, 8, 8)
    points = torch.cat([1.3 * noise(200, 3, seed=1), torch.tensor([[1.0, -1.0, 0.99], [9, 0, 0]])])
    wanted = torch.zeros(len(points), 32)
    for plane, axes in zip(planes, ([0, 1, 2], [0, 2, 1], [2, 0, 1]), strict=True):
        where = points[:, axes]
        if depth == 1:
            found = F.grid_sample(plane[None], where[None, None, :, :2], align_corners=False)
        else:
            volume = plane.view(1, 32, depth, 8, 8)
            found = F.grid_sample(volume, where[None, None, None], align_corners=False)
        wanted += found.flatten(2)[0].T / 3
    assert torch.allclose(PlaneTable.of(planes).sample(points), wanted, atol=1e-5)


def test_gradients_of_sampling_reach_the_planes() -> None:
    planes = noise(3, 32, 4, 4).requires_grad_()
    points = noise(10, 3, seed=1).clamp(-0.7, 0.7)
    torch.autograd.backward(PlaneTable.of(planes).sample(points).sum())
    assert planes.grad is not None
    assert float(planes.grad.sum()) == pytest.approx(10 * 32, rel=1e-4)


def test_planes_are_turned() -> None:
    channels = noise(1, 6, 4, 4)
    planes = as_planes(channels)
    assert torch.equal(planes[0, 0, :, 0], channels[0, :2, 3])
    assert torch.equal(planes[0, 1, :, 0], channels[0, 2:4, 3])
    assert torch.equal(planes[0, 2, :, 0, 0], channels[0, 4:, 3, 3])


def test_hidden_channels_computed_in_parts_give_the_whole() -> None:
    """With gradients the layer is computed at once, without them in parts."""
    torch.manual_seed(0)
    layer = MixFeedForward(8, 2 * HIDDEN_AT_A_TIME + 100)
    tokens = noise(1, 5, 4, 8)
    whole = layer(tokens).detach()
    with torch.no_grad():
        assert torch.allclose(layer(tokens), whole, atol=1e-5)


@torch.no_grad()
def test_fusing_levels_equals_a_convolution_of_all_of_them() -> None:
    """The coarsest level comes first among the channels of the published convolution."""
    torch.manual_seed(0)
    head = FuseHead(width_divisor=16).eval()
    levels = [noise(1, width // 16, 8 >> n, 8 >> n) for n, width in enumerate(WIDTHS)]
    large = []
    for number, level in enumerate(levels, 1):
        linear = head.get_submodule(f"linear_c{number}.proj")
        projected = linear(level.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        large.append(F.interpolate(projected, (8, 8), mode="bilinear", align_corners=False))
    wanted = head.linear_fuse.bn(head.linear_fuse.conv(torch.cat(large[::-1], 1))).relu()
    assert torch.allclose(head(levels), wanted, atol=1e-5)


def marched_directly(
    renderer: VolumeRenderer, planes: Tensor, view: Tensor, numbers: tuple[Tensor, Tensor]
) -> Tensor:
    """Render features (R, 32): sort all samples with their features, then sum along each ray."""
    table, found = PlaneTable.of(planes[0]), rays.camera_rays(view, renderer.size)
    depths = rays.stratified_depths(found.start, found.end, numbers[0][0])

    def along(depths: Tensor) -> tuple[Tensor, Tensor]:
        points = found.origin[:, None] + depths[..., None] * found.direction[:, None]
        density, colours = renderer.samples(table, points.view(-1, 3))
        return density.view(depths.shape), colours.view(*depths.shape, -1)

    density, colours = along(depths)
    weights = rays.interval_weights(depths, density)
    fine = rays.importance_depths(depths, weights, numbers[1][0])
    more, shades = along(fine)
    depths, order = torch.cat([depths, fine], 1).sort(1)
    density = torch.cat([density, more], 1).gather(1, order)
    colours = torch.cat([colours, shades], 1).gather(1, order[..., None].expand(-1, -1, 32))
    weights = rays.interval_weights(depths, density)
    middles = (colours[:, :-1] + colours[:, 1:]) / 2
    return (weights[..., None] * middles).sum(1) * 2 - 1


@torch.inference_mode()
def test_rendering_equals_sorting_every_sample(
    tiny: Real3D, monkeypatch: pytest.MonkeyPatch
) -> None:
    planes, view = noise(1, 3, 32, 128, 128), camera()
    numbers = tiny.ray_noise(torch.Generator().manual_seed(0))
    monkeypatch.setattr(volume_renderer, "RAYS_AT_A_TIME", 900)  # several parts, the last short
    rendered = tiny.render(planes, view, numbers.depth, numbers.importance)
    wanted = marched_directly(tiny.renderer, planes, view, (numbers.depth, numbers.importance))
    assert torch.allclose(rendered.features.flatten(2)[0].T, wanted, atol=1e-5)
    assert torch.equal(rendered.rgb, rendered.features[:, :3])
    shuffled = numbers.importance.flip(2)
    again = tiny.render(planes, view, numbers.depth, shuffled)
    assert torch.allclose(again.features, rendered.features, atol=1e-5)


@torch.inference_mode()
def test_renderings_of_a_batch_are_those_of_its_frames(tiny: Real3D) -> None:
    planes, view = noise(2, 3, 32, 128, 128), camera(2)
    numbers = tiny.ray_noise(torch.Generator().manual_seed(0), 2)
    both = tiny.render(planes, view, numbers.depth, numbers.importance)
    for n in range(2):
        alone = tiny.render(
            planes[n : n + 1],
            view[n : n + 1],
            numbers.depth[n : n + 1],
            numbers.importance[n : n + 1],
        )
        assert torch.allclose(both.features[n], alone.features[0], atol=1e-6)


def test_rays_cross_the_scene_from_front_to_back() -> None:
    found = rays.camera_rays(camera(), 5)
    middle = 12
    assert torch.allclose(found.direction[middle], torch.tensor([0.0, 0, -1]), atol=1e-6)
    assert found.start[middle].item() == pytest.approx(2.2)
    assert found.end[middle].item() == pytest.approx(3.2)
    rows = found.direction.view(5, 5, 3)
    assert float(rows[0, 2, 1]) > 0 and float(rows[2, 0, 0]) < 0  # y up in the world, x right


def test_rays_past_the_scene_take_the_range_of_starts() -> None:
    wide = camera()
    wide[:, [16, 20]] = 1.0  # a wide angle, whose corners miss the cube
    found = rays.camera_rays(wide, 9)
    assert float(found.start[0]) == pytest.approx(2.2)
    hit = (found.direction[:, :2].abs() * 3.2 < 0.4).all(1)
    assert float(found.end[0]) < float(found.end[hit].min())


@torch.inference_mode()
def test_torso_and_background_are_prepared_once(tiny: Real3D, source: SourceImages) -> None:
    size = TINY.render_size
    features = noise(2, 32, size, size).tanh()
    share = noise(2, 1, size, size).sigmoid()
    rendered = Rendered(features[:, :3], features, share, features[:, :1])
    driving = torch.cat([source.keypoints * 0.9, source.keypoints * 0.8])
    prepared = tiny.prepare_source(source)
    both = tiny.compose_prepared(rendered, prepared.surroundings, driving, 0.8)
    assert both.shape == (2, 3, 256, 256) and float(both.abs().max()) <= 1
    for n in range(2):
        one = Rendered(*(values[n : n + 1] for values in rendered))
        given = (source.torso, source.background, source.segmap, source.keypoints)
        alone = tiny.compose(one, *given, driving[n : n + 1], 0.8)
        assert torch.allclose(both[n], alone[0], atol=1e-5)
    assert torch.allclose(prepared.planes, tiny.canonical_planes(source.head))
    stricter = tiny.compose_prepared(rendered, prepared.surroundings, driving, 0.2)
    assert not torch.allclose(stricter, both, atol=1e-3)


@torch.inference_mode()
def test_prepared_networks_give_the_output_of_the_plain_ones(source: SourceImages) -> None:
    """Folded styles, norms, upsampling and shared parts of kernels change nothing.

    Noise as weights amplifies rounding, by CPU: the residual planes differ by up to 3e-4 of .8.
    """
    torch.manual_seed(1)
    state = published_state(empty_model(TINY))
    plain = empty_model(TINY)
    direct = {k: v for k, v in state.items() if not k.endswith(("_u", "_v"))}
    for key in [key for key in direct if key.endswith("_orig")]:
        stem = key.removesuffix("_orig")
        sigma = state[f"{stem}_u"] @ direct[key].flatten(1) @ state[f"{stem}_v"]
        direct[stem] = direct.pop(key) / sigma
    plain.load_state_dict(direct)
    plain.eval()
    fast = prepare_network(load_model(state, TINY), CPU)
    size = TINY.render_size
    features, share = noise(1, 32, size, size).tanh(), noise(1, 1, size, size).sigmoid()
    rendered = Rendered(features[:, :3], features, share, features[:, :1])
    images = [noise(1, 3, 256, 256, seed=n).tanh() for n in range(3)]
    driving = source.keypoints * 0.9
    outputs = []
    for model in (plain, fast):
        prepared = model.prepare_source(source)
        image = model.compose_prepared(rendered, prepared.surroundings, driving)
        outputs.append((prepared.planes, model.residual_planes(*images), image))
    for ours, wanted in zip(outputs[1], outputs[0], strict=True):
        assert torch.allclose(ours, wanted, atol=1e-3)


def test_a_model_without_torso_draws_the_head_alone() -> None:
    torch.manual_seed(0)
    model = empty_model(replace(TINY, torso=False)).eval()
    size = TINY.render_size
    features = noise(1, 32, size, size)
    rendered = Rendered(features[:, :3], features, features[:, :1], features[:, :1])
    with torch.inference_mode():
        assert model.head_image(rendered).shape == (1, 3, 256, 256)
        with pytest.raises(ValueError, match="no torso"):
            model.compose_prepared(rendered, None, noise(1, 68, 3))  # type: ignore[arg-type]

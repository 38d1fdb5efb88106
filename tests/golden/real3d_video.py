"""Stages of REAL3D_VIDEO.npz.

The networks are built one after the other, because together they take more than a gigabyte.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.golden import fill, real3d_conventions
from thcli.engines.real3d.config import Real3DConfig
from thcli.engines.real3d.image_to_plane import ImageToPlane
from thcli.engines.real3d.motion_adapter import MotionAdapter
from thcli.engines.real3d.planes import PlaneTable, PlaneToGrid, as_planes
from thcli.engines.real3d.stylegan import fold_styles
from thcli.engines.real3d.superresolution import SuperResolution, TorsoSuperResolution
from thcli.engines.real3d.volume_renderer import Decoder, Rendered, VolumeRenderer
from thcli.engines.shared.fast_conv.fast import prepare_network
from thcli.engines.shared.networks.checkpoint import load, without_spectral_norm

CASE = "real3d_video"
ORIG, TRIGRID = Real3DConfig(), Real3DConfig(plane_depth=3, torso_input="rgb")
MEDIAN_DENSITY = 1.4
KEPT = ("resample_filter", "noise_strength")


def given(index: int, shape: tuple[int, ...], offset: int) -> Tensor:
    return torch.from_numpy(fill.normal(f"{CASE}/input-{index}", shape, offset))


def uniform(index: int, shape: tuple[int, ...], offset: int) -> Tensor:
    """Return numbers in 0..1, rounded as NumPy rounds: a pixel of the planes is 1e-4 of that."""
    return torch.from_numpy(1 / (1 + np.exp(-fill.normal(f"{CASE}/input-{index}", shape, offset))))


def image(index: int, offset: int) -> Tensor:
    small = given(index, (1, 3, 32, 32), offset)
    return F.interpolate(small, scale_factor=16, mode="bilinear", align_corners=False).tanh()


def has_spectral_norm(key: str) -> bool:
    """Return whether the published layer of a plain key has a spectral norm."""
    stem = "superresolution.torso_model.deform_based_generator."
    res = key.startswith(f"{stem}res.") and key.endswith(".layers.2.weight")
    up = key.startswith(f"{stem}up.") and key.endswith(".layers.1.layers.0.weight")
    return res or up or key == f"{stem}in_conv.layers.0.weight"


def filled(network: nn.Module, prefix: str, offset: int) -> dict[str, Tensor]:
    """Fill the published state of a network, whose keys begin with `prefix`; without the prefix."""
    like: dict[str, Tensor] = {}
    for name, tensor in network.state_dict().items():
        key = prefix + name
        if not has_spectral_norm(key):
            like[key] = tensor
            continue
        like[f"{key}_orig"] = tensor
        like[f"{key}_u"], like[f"{key}_v"] = tensor[:, 0, 0, 0], tensor[0].flatten()
    state: dict[str, Tensor] = {}
    for key, tensor in like.items():
        if key.endswith(KEPT):
            state[key] = kept(key)
        elif tensor.is_floating_point():
            state[key] = fill.value(key, tuple(tensor.shape), offset) * factor(key, tensor)
        else:
            state[key] = torch.zeros((), dtype=tensor.dtype)
        if key.endswith("_v"):
            normalise(state, key.removesuffix("_v"))
    return {
        key.removeprefix(prefix): tensor
        for key, tensor in without_spectral_norm(state, "golden").items()
    }


def kept(key: str) -> Tensor:
    if key.endswith("noise_strength"):
        return torch.zeros(())
    line = torch.tensor([1.0, 3.0, 3.0, 1.0])
    return torch.outer(line, line) / 64


def factor(key: str, tensor: Tensor) -> float:
    """Return the number that a filled tensor is multiplied by, after the filling."""
    root = float(tensor[0].numel() ** 0.5) if tensor.dim() > 1 else 1.0
    whole = (".affine.weight", "decoder.net.2.weight", "secc_img2plane_backbone.prenet.weight")
    if key.endswith(whole):
        return root
    if key.endswith("torgb.weight"):
        return 0.25 * root
    return 8 * root if key.endswith("decoder.net.0.weight") else 1.0


def normalise(state: dict[str, Tensor], stem: str) -> None:
    """Replace u by a unit vector, and v by the unit vector W^T u."""
    u = state[f"{stem}_u"]
    u = u / u.norm()
    v = state[f"{stem}_orig"].flatten(1).T @ u
    state[f"{stem}_u"], state[f"{stem}_v"] = u, v / v.norm()


Builder = Callable[[Real3DConfig], nn.Module]


def built(build: Builder, config: Real3DConfig, prefix: str, offset: int) -> nn.Module:
    """Build a filled network as the engine does: loaded strictly, folded and prepared."""
    with torch.device("meta"):
        network = build(config)
    network = load(network.to_empty(device="cpu"), filled(network, prefix, offset), "golden")
    fold_styles(network)
    return prepare_network(network, torch.device("cpu"))


@contextmanager
def recorded(
    network: nn.Module, places: Mapping[str, tuple[str, int, int]]
) -> Iterator[dict[str, Tensor]]:
    """Keep samples of the outputs of sub-networks while the network runs.

    The stage "hidden" keeps the input instead.

    places: stage -> dotted name of the sub-network, and every how many channels and pixels.
    """
    out: dict[str, Tensor] = {}

    def keeper(stage: str, channels: int, pixels: int) -> Callable[..., None]:
        def keep(
            module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor | tuple[Tensor, ...]
        ) -> None:
            kept = inputs[0] if stage == "hidden" else output
            whole = kept[0] if isinstance(kept, tuple) else kept
            chosen = (slice(None, None, pixels),) * (whole.dim() - 2)
            out[stage] = whole[:, ::channels][(slice(None), slice(None), *chosen)].clone()

        return keep

    hooks = [
        network.get_submodule(name).register_forward_hook(keeper(stage, channels, pixels))
        for stage, (name, channels, pixels) in places.items()
    ]
    yield out
    for hook in hooks:
        hook.remove()


def canonical_stages(offset: int) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Compute the stages of the image-to-plane network, and the planes of both configurations."""
    network = built(ImageToPlane, ORIG, "cano_img2plane_backbone.", offset)
    places = {
        "i2p/low": ("low_reso_encoder", 8, 2),
        "i2p/low_vit": ("low_reso_vit", 4, 8),
        "i2p/high": ("high_reso_encoder", 4, 8),
        "i2p/predictor": ("triplane_predictor_vit", 4, 8),
        "hidden": ("triplane_predictor_vit.final_conv", 1, 1),
    }
    with recorded(network, places) as out:
        planes = network(image(0, offset))
    out["i2p/planes"] = planes[:, :, ::4, ::8, ::8].clone()
    hidden = out.pop("hidden")
    del network
    # The other configuration has one layer more channels, and the same state otherwise.
    last = other_layer("cano_img2plane_backbone.triplane_predictor_vit.final_conv", 128, offset)
    grid = built(lambda _: PlaneToGrid(), TRIGRID, "plane2grid_module.", offset)
    return out, {"orig": planes, "trigrid": grid(as_planes(last(hidden)))}


def other_layer(key: str, inputs: int, offset: int) -> nn.Module:
    """Build a last layer as the tri-grid configuration has it."""
    outputs = 3 * TRIGRID.plane_channels
    return built(lambda _: nn.Conv2d(inputs, outputs, 3, padding=1), TRIGRID, f"{key}.", offset)


def adapter_stages(offset: int) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Compute the stages of the motion adapter, and its planes in both configurations."""
    network = built(MotionAdapter, ORIG, "secc_img2plane_backbone.", offset)
    levels: list[Tensor] = []
    hook = network.get_submodule("mix_vit").register_forward_hook(
        lambda module, inputs, output: levels.extend(output)
    )
    places = {
        "secc/prenet": ("prenet", 1, 8),
        "secc/fuse": ("fuse_head", 8, 4),
        "hidden": ("to_plane_cnn.7", 1, 1),
    }
    with recorded(network, places) as out:
        planes = network(torch.cat([image(number, offset) for number in (1, 2, 3)], 1))
    hook.remove()
    hidden = out.pop("hidden")
    out["secc/planes"] = planes[:, :, ::4, ::8, ::8].clone()
    for number, (level, step) in enumerate(zip(levels, (4, 4, 2, 2), strict=True)):
        out[f"secc/mit{number}"] = level[:, ::4, ::step, ::step].clone()
    last = other_layer("secc_img2plane_backbone.to_plane_cnn.7", 256, offset)
    return out, {"orig": planes, "trigrid": as_planes(last(hidden))}


def renderer(offset: int, table: PlaneTable, points: Tensor) -> tuple[VolumeRenderer, float]:
    """Build the renderer, and shift its density so that the median at some points is 1.4."""
    with torch.device("meta"):
        decoder = Decoder()
    state = filled(decoder, "decoder.", offset)
    state["net.2.weight"][0] *= 4
    found = VolumeRenderer(load(decoder.to_empty(device="cpu"), state, "golden"), 128)
    density, _ = found.samples(table, points)
    shift = round(float(density.median()) - MEDIAN_DENSITY, 1)
    state["net.2.bias"][0] -= shift
    load(found.decoder, state, "golden")
    return found, shift


def single_precision_camera(offset: int) -> Tensor:
    """Return the camera with the rounding of float32 throughout, as the reference computes it.

    At the camera's distance the last place of a float32 is 1e-4 of a pixel of the planes, and
    filled planes are steep: a camera rounded otherwise changes the rendering by 1e-3.
    """
    euler, trans = real3d_conventions.pose(offset)
    x, y, z = torch.from_numpy(euler)[0]
    one, none = torch.ones(()), torch.zeros(())
    about_x = [one, none, none, none, x.cos(), -x.sin(), none, x.sin(), x.cos()]
    about_y = [y.cos(), none, y.sin(), none, one, none, -y.sin(), none, y.cos()]
    about_z = [z.cos(), -z.sin(), none, z.sin(), z.cos(), none, none, none, one]
    turns = [torch.stack(values).view(1, 3, 3) for values in (about_z, about_y, about_x)]
    rotation = (turns[0] @ turns[1] @ turns[2])[0].T.numpy()
    position = -np.dot(rotation, trans[0] - np.array([0, 0, 10], np.float32)) * np.float32(0.27)
    matrix = np.eye(4, dtype=np.float32)
    matrix[:3, :3] = rotation * np.array([1, -1, -1], np.float32)
    matrix[:3, 3] = position + np.array([0, 0.006, 0.161], np.float32)
    camera = torch.from_numpy(real3d_conventions.stages(offset)["camera"].numpy().copy())
    camera[0, :16] = torch.from_numpy(matrix).flatten()
    return camera


def threshold(rendered: Rendered) -> float:
    """Return the middle of the widest gap of the weights between their median and 0.9 quantile."""
    weights = F.interpolate(rendered.weights, (256, 256), mode="bilinear", align_corners=False)
    values = weights.flatten().double().sort().values
    low, high = values.quantile(0.5), values.quantile(0.9)
    values = values[(values >= low) & (values <= high)]
    widest = int(values.diff().argmax())
    return float((values[widest] + values[widest + 1]) / 2)


def head_stages(rendered: Rendered, offset: int) -> Tensor:
    network = built(SuperResolution, ORIG, "superresolution.", offset)
    assert isinstance(network, SuperResolution)
    out: Tensor = network(rendered)
    return out[:, :, ::4, ::4].clone()


def torso_stages(rendered: Rendered, limit: float, offset: int) -> dict[str, Tensor]:
    """Compute the stages of torso, background and final image."""
    network = built(TorsoSuperResolution, ORIG, "superresolution.", offset)
    assert isinstance(network, TorsoSuperResolution)
    generator = "torso_model.deform_based_generator"
    places = {
        "sr/block0_x": ("block0", 16, 8),
        "sr/bg": ("bg_encoder", 16, 8),
        "sr/torso_enc": ("torso_encoder", 16, 8),
        "sr/fuse_head_torso": ("fuse_head_torso_convs", 16, 8),
        "sr/head_torso_x": ("head_torso_block", 16, 8),
        "sr/fuse_fg_bg": ("fuse_fg_bg_convs", 16, 8),
        "torso/appearance": ("torso_model.appearance_extractor", 4, 4),
        "torso/rgb": (f"{generator}.out_conv", 1, 4),
        "torso/hid": (generator, 8, 8),
        "torso/occlusion_2": ("torso_model.occlusion_2_predictor", 1, 4),
    }
    estimator = network.torso_model.motion_field_estimator
    motions: list[Tensor] = []
    inputs: list[Tensor] = []
    estimator.register_forward_hook(lambda module, given, output: motions.extend(output))
    estimator.mask_conv.register_forward_pre_hook(lambda module, given: inputs.append(given[0]))
    used = (estimator.down, estimator.up, network.get_submodule(generator))
    network.torso_model.register_forward_hook(lambda module, given, output: fill.drop(*used))
    classes = given(6, (1, 6, 16, 16), offset).argmax(1)
    segmap = F.one_hot(classes, 6).permute(0, 3, 1, 2).float()
    segmap = segmap.repeat_interleave(32, 2).repeat_interleave(32, 3)
    own, driving = (
        F.pad((0.5 * given(number, (1, 68, 2), offset)).clamp(-1, 1), (0, 1)) for number in (7, 8)
    )
    with recorded(network, places) as out:
        surroundings = network.prepare(image(4, offset), image(5, offset), segmap, own)
        final = network.compose(rendered, surroundings, driving, limit)
    first = torch.sigmoid(estimator.occlusion_conv(inputs[0].flatten(1, 2)))
    return out | {
        "torso/deformation": motions[0][:, ::4, ::4, ::4],
        "torso/occlusion": first,
        "torso/occlusion_raw2": motions[1],
        "final/image": final[:, :, ::4, ::4],
    }


def stages(offset: int) -> dict[str, Tensor]:
    out, canonical = canonical_stages(offset)
    fill.release_memory()
    others, residual = adapter_stages(offset)
    out |= others
    points = 0.5 * given(13, (64, 3), offset).tanh()
    planes = canonical["orig"] + residual["orig"]
    table = PlaneTable.of(planes[0])
    volume, shift = renderer(offset, table, points)
    density, rgb = volume.samples(table, points)
    conventions = real3d_conventions.stages(offset)
    noise, numbers = uniform(11, (1, 16384, 48, 1), offset), uniform(12, (16384, 48), offset)
    rendered = volume.render(planes, single_precision_camera(offset), noise, numbers)
    limit = threshold(rendered)
    grids = canonical["trigrid"] + residual["trigrid"]
    grid_density, grid_rgb = volume.samples(PlaneTable.of(grids[0]), points)
    out |= conventions | {
        "config/density_shift": torch.tensor([shift]),
        "config/head_threshold": torch.tensor([limit]),
        "points/rgb": rgb[None],
        "points/sigma": density[None, :, None],
        "render/image_raw": rendered.rgb.clamp(-1, 1),
        "render/feature": rendered.features[:, 3::4, ::4, ::4],
        "render/depth": rendered.depth,
        "render/weights": rendered.weights,
        "trigrid/cano_planes": canonical["trigrid"][:, :, ::8, ::16, ::16].clone(),
        "trigrid/planes": grids[:, :, ::8, ::16, ::16].clone(),
        "trigrid/points_rgb": grid_rgb[None],
        "trigrid/points_sigma": grid_density[None, :, None],
    }
    del canonical, residual, planes, table, grids
    fill.release_memory()
    out["head_only/image"] = head_stages(rendered, offset)
    fill.release_memory()
    return out | torso_stages(rendered, limit, offset)

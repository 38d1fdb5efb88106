"""Stages of LIVEPORTRAIT.npz and LIVEPORTRAIT_CV.npz."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from tests.golden import fill
from tests.golden.liveportrait_crops import crop_stages, inverse, paste_crop, paste_stages, wave
from tests.golden.liveportrait_inputs import GoldenInputs
from tests.golden.liveportrait_points import KeypointPipeline, correction_stages
from thcli.core import geometry
from thcli.core.types import Crop
from thcli.engines.liveportrait import video
from thcli.engines.liveportrait.engine import assemble
from thcli.engines.liveportrait.networks import (
    EncodedSource,
    LivePortraitNetworks,
    Warping,
)
from thcli.engines.liveportrait.observer import MotionOutput
from thcli.engines.liveportrait.ratios import openings
from thcli.engines.liveportrait.retargeting import RetargetingNetworks
from thcli.engines.liveportrait.transfer import (
    HeadMotion,
    rotation,
)
from thcli.engines.shared.networks.volume import DenseMotion
from thcli.faces.crops import align

NORMED = ("conv_0.weight", "conv_1.weight", "conv_s.weight")


def state(network: nn.Module, offset: int) -> dict[str, Tensor]:
    """Fill a network as published: the SPADE blocks' convolutions have their spectral norm."""
    like: dict[str, Tensor] = {}
    for key, tensor in network.state_dict().items():
        if not key.endswith(NORMED):
            like[key] = tensor
            continue
        like[f"{key}_orig"] = tensor
        like[f"{key}_u"], like[f"{key}_v"] = (
            torch.empty(len(tensor)),
            torch.empty(tensor[0].numel()),
        )
    return fill.state(like, offset)


def published(offset: int) -> Iterator[dict[str, Tensor]]:
    """Fill the states of the seven networks, each on its own and one at a time."""
    with torch.device("meta"):
        empty = LivePortraitNetworks.new()
    return (state(network, offset) for network in empty)


class RecordedOutputs:
    """Context manager that records outputs (or inputs) of chosen modules."""

    def __init__(self, modules: dict[str, nn.Module], inputs: dict[str, nn.Module] | None = None):
        self.seen: dict[str, Tensor] = {}
        self.hooks = [m.register_forward_hook(self._keep(name)) for name, m in modules.items()]
        self.hooks += [
            m.register_forward_pre_hook(self._given(name)) for name, m in (inputs or {}).items()
        ]

    def _keep(self, name: str) -> Callable[[nn.Module, object, Tensor], None]:
        def hook(_: nn.Module, __: object, out: Tensor) -> None:
            self.seen[name] = out.clone()

        return hook

    def _given(self, name: str) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
        def hook(_: nn.Module, given: tuple[Tensor, ...]) -> None:
            self.seen[name] = given[0].clone()

        return hook

    def __enter__(self) -> dict[str, Tensor]:
        return self.seen

    def __exit__(self, *_: object) -> None:
        for hook in self.hooks:
            hook.remove()


def appearance_stages(
    nets: LivePortraitNetworks, image: Tensor
) -> tuple[dict[str, Tensor], Tensor]:
    f = nets.appearance
    parts = {
        "first": f.first,
        "down_0": f.down_blocks[0],
        "down_1": f.down_blocks[1],
        "second": f.second,
    }
    with RecordedOutputs({**parts, "res_0": f.resblocks_3d[0], "res_5": f.resblocks_3d[5]}) as seen:
        volume = f.volume(image)
    out = {
        "F/first": seen["first"][:, ::8, ::16, ::16],
        "F/down_0": seen["down_0"][:, ::8, ::8, ::8],
        "F/down_1": seen["down_1"][:, ::8, ::8, ::8],
        "F/second": seen["second"][:, ::16, ::8, ::8],
        "F/res_0": seen["res_0"][:, ::4, ::4, ::8, ::8],
        "F/res_5": seen["res_5"][:, ::4, ::4, ::8, ::8],
        "F/feature": volume[:, ::2, ::2, ::4, ::4],
    }
    return out, volume


def observer_stages(nets: LivePortraitNetworks, images: list[Tensor]) -> dict[str, Tensor]:
    detector = nets.observer.detector
    modules: dict[str, nn.Module] = {
        f"down_{j}": m for j, m in enumerate(detector.downsample_layers)
    }
    modules |= {f"stage_{j}": m for j, m in enumerate(detector.stages)}
    out: dict[str, Tensor] = {}
    for a, image in enumerate(images):
        with RecordedOutputs(
            {**modules, "block_0_0": detector.get_submodule("stages.0.0"), "pooled": detector.norm}
        ) as seen:
            observed: MotionOutput = nets.observer(image)
        if a == 0:
            for name, tensor in seen.items():
                late = name[-1] in "23"
                out[f"M/{name}"] = (
                    tensor
                    if name == "pooled"
                    else tensor[:, ::8]
                    if late
                    else tensor[:, ::8, ::4, ::4]
                )
        names = {"t": "shift", "exp": "expression", "kp": "canonical"}
        for name in ("pitch", "yaw", "roll", "t", "exp", "scale", "kp"):
            out[f"M/img{a}/{name}"] = getattr(observed, names.get(name, name))
        angles = observed.angles()
        for i, name in enumerate(("pitch", "yaw", "roll")):
            out[f"M/img{a}/{name}_deg"] = angles[:, i : i + 1]
        turn = rotation(angles.numpy())
        expression, canonical = (
            t.view(-1, 21, 3).numpy() for t in (observed.expression, observed.canonical)
        )
        out[f"M/img{a}/R"] = torch.from_numpy(turn)
        moves = HeadMotion(observed.scale.numpy(), turn, expression, observed.shift.numpy())
        out[f"kp/img{a}/x"] = torch.from_numpy(moves.keypoints(canonical))
    return out


def warping_stages(
    nets: LivePortraitNetworks, source: EncodedSource, driving: Tensor
) -> tuple[dict[str, Tensor], Tensor]:
    w, dense = nets.warping, nets.warping.dense_motion_network
    modules: dict[str, nn.Module] = {
        f"enc_{j}": m for j, m in enumerate(dense.hourglass.encoder.down_blocks)
    }
    modules |= {f"dec_{j}": m for j, m in enumerate(dense.hourglass.decoder.up_blocks)}
    modules |= {"hourglass_out": dense.hourglass, "third": w.third, "fourth": w.fourth}
    with RecordedOutputs(modules, {"hourglass_in": dense.hourglass}) as seen:
        field = w.motion(source, driving)
        warped = w.warp(source, field)
    out = {
        "W/hourglass_in": seen["hourglass_in"][:, ::2, ::4, ::8, ::8],
        "W/hourglass_out": seen["hourglass_out"][:, ::8, ::4, ::8, ::8],
        "W/mask": field.mask[:, :, ::4, ::8, ::8],
        "W/deformation": field.deformation[:, ::4, ::4, ::4],
        "W/third": seen["third"][:, ::16, ::8, ::8],
        "W/fourth": seen["fourth"][:, ::16, ::8, ::8],
        "W/occlusion_map": field.occlusion,
        "W/out": warped[:, ::8, ::4, ::4],
    }
    for j in range(5):
        down, up = seen[f"enc_{j}"], seen[f"dec_{j}"]
        out[f"W/enc_{j}"] = down[:, ::16, ::4, ::4, ::4] if j < 3 else down[:, ::32, ::4]
        out[f"W/dec_{j}"] = up[:, ::32, ::4] if j < 2 else up[:, ::16, ::4, ::4, ::4]
    return out, warped


def generator_stages(
    nets: LivePortraitNetworks, feature: Tensor
) -> tuple[dict[str, Tensor], Tensor]:
    g = nets.generator
    modules: dict[str, nn.Module] = {
        f"middle_{j}": g.get_submodule(f"G_middle_{j}") for j in range(6)
    }
    modules |= {
        "fc": g.fc,
        "middle_0_spade": g.get_submodule("G_middle_0.norm_0"),
        "up_0": g.up_0,
        "up_1": g.up_1,
    }
    with RecordedOutputs(modules) as seen:
        image = g(feature)
    out = {
        f"G/{name}": tensor[:, ::32, ::8, ::8]
        for name, tensor in seen.items()
        if not name.startswith("up")
    }
    out["G/up_0"], out["G/up_1"] = (
        seen["up_0"][:, ::16, ::16, ::16],
        seen["up_1"][:, ::4, ::32, ::32],
    )
    return {
        **out,
        "G/out": image[:, :, ::4, ::4],
        "G/out_corner": image[:, :, :48, :48],
    }, image


def clones(stages: dict[str, Tensor]) -> dict[str, Tensor]:
    """Copy samples of tensors; their views would keep all of these."""
    return {name: tensor.clone() for name, tensor in stages.items()}


def dense_motion(offset: int) -> DenseMotion:
    """Build the dense motion network alone, with its batch norms."""
    with fill.Unfilled():
        network = Warping().dense_motion_network
    filler = fill.by_value(offset, "dense_motion_network.")
    for key, tensor in network.state_dict().items():
        filler(key, tensor)
    return network.eval()


@cache
def images(offset: int) -> tuple[dict[str, Tensor], Tensor]:
    """Compute the stages of the four large networks, and the last image."""
    given = GoldenInputs(offset)
    with fill.Unfilled():
        nets = assemble(published(offset))  # each is prepared when it runs: that takes more memory
    for net in (nets.appearance, nets.observer):
        fill.prepare(net)
    fill.release_memory()
    first, second = given.image(0), given.image(1) * torch.linspace(0, 1, 256)
    out, volume = appearance_stages(nets, first)
    out = clones(out | observer_stages(nets, [first, second]))
    fill.drop(nets.appearance, nets.observer)
    unfolded = dense_motion(offset)
    compressed = unfolded.compress(volume)
    out["W/compress"] = compressed[:, :, ::4, ::8, ::8]
    out["W/compress_bn"] = unfolded.norm(compressed)[:, :, ::4, ::8, ::8]
    fill.drop(unfolded)
    still = 0.5 * given.normal(2, 1, 21, 3)
    moved = still + np.float32(0.1) * given.normal(3, 1, 21, 3)
    fill.prepare(nets.warping)
    source = nets.warping.encode(volume, torch.from_numpy(still))
    stages, warped = warping_stages(nets, source, torch.from_numpy(moved))
    out |= clones(stages)
    fill.drop(nets.warping)
    fill.prepare(nets.generator, large=fill.spade_blocks(nets.generator))
    stages, image = generator_stages(nets, warped)
    for mlp in (nets.stitching, nets.lips, nets.eyes):
        fill.prepare(mlp)
    corrections = RetargetingNetworks(nets.stitching, nets.lips, nets.eyes)
    small = (
        correction_stages(given, corrections, still, moved)
        | KeypointPipeline(given, corrections).stages()
    )
    noisy = (np.float32(0.02) * given.normal(40, 12, 1, 21, 3))[:, 0]
    small |= {
        f"smooth/{name}": video.kalman_smooth(noisy, float(name)) for name in ("3e-7", "1e-5")
    }
    opened = openings(given.points(20))
    small |= {"ratio/eye": opened[None, :2], "ratio/lip": opened[None, 2:]}
    return {
        **out,
        **stages,
        **{name: torch.from_numpy(array) for name, array in small.items()},
    }, image


def stages(offset: int) -> dict[str, Tensor]:
    out, _ = images(offset)
    given = GoldenInputs(offset)
    out |= {name: torch.from_numpy(a.astype(np.float32)) for name, a in crop_stages(given).items()}
    return out | {
        name: torch.from_numpy(a.astype(np.float32)) for name, a in paste_stages(given).items()
    }


def cv_stages(offset: int) -> dict[str, Tensor]:
    """Compute the stages that depend on rounding to uint8."""
    _, image = images(offset)
    place: Crop = align.liveportrait(GoldenInputs(offset).points(20), 512)
    crop = geometry.warp_affine(wave(720, 960, offset), place.crop_from_frame, place.size)
    small = cv2.resize(crop, (256, 256), interpolation=cv2.INTER_AREA)
    back = np.ascontiguousarray(wave(512, 512, offset)[..., ::-1])
    mask, pasted = paste_crop(back, wave(720, 960, offset + 2), inverse(place.crop_from_frame))
    eight = (image.clamp(0, 1) * 255).to(torch.uint8).permute(0, 2, 3, 1).numpy()
    out = {
        "G/uint8": eight[:, ::8, ::8],
        "cv/img_crop": crop[::4, ::4],
        "cv/img_crop_256": np.asarray(small)[::2, ::2],
        "cv/paste_mask": mask[::8, ::8, :1],
        "cv/paste": pasted[::4, ::4],
    }
    return {name: torch.from_numpy(array.astype(np.float32)) for name, array in out.items()}

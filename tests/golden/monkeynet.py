"""Stages of MONKEYNET.npz."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from tests.golden import fill
from thcli.engines.monkeynet.networks import Generator, KeypointDetector, Keypoints
from thcli.engines.monkeynet.transfer import adapt_variances
from thcli.engines.shared.networks.keypoints import movement_scale, relative_points


def add_time_axis(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Add the time axis of the published kernels."""
    return {
        key: tensor[:, :, None] if tensor.dim() == 4 else tensor for key, tensor in state.items()
    }


def detector_state(offset: int) -> dict[str, Tensor]:
    return add_time_axis(fill.state(KeypointDetector().state_dict(), offset, 1.15))


def generator_state(offset: int) -> dict[str, Tensor]:
    return add_time_axis(fill.state(Generator().state_dict(), offset))


def stages(offset: int) -> dict[str, Tensor]:
    detector = fill.network(KeypointDetector(), detector_state(offset))
    image = fill.image("monkeynet", 0, offset)
    source = detector(image)
    each = [detector(fill.image("monkeynet", i, offset)) for i in (1, 2)]
    driving = Keypoints(*(torch.cat(rows) for rows in zip(*each, strict=True)))
    out = {}
    for name, points in (("source", source), ("driving", driving)):
        out[f"kp/{name}_mean"], out[f"kp/{name}_var"] = points.mean[None], points.var[None]
    mean, first, mine = driving.mean.numpy(), driving.mean[0].numpy(), source.mean[0].numpy()
    out["norm/mean"] = torch.from_numpy(relative_points(mean, first, mine))[None]
    out["norm/var"] = driving.var[None]
    scale = movement_scale(mine, first)
    out["norm_adapt/mean"] = torch.from_numpy(relative_points(mean, first, mine, scale))[None]
    variances = adapt_variances(driving.var.numpy(), driving.var[0].numpy(), source.var[0].numpy())
    out["norm_adapt/var"] = torch.from_numpy(variances)[None]
    second = Keypoints(out["norm/mean"][0, 1:], driving.var[1:])
    weights = generator_state(offset)
    for prefix, aligned in (("gen", False), ("gen_ac", True)):
        generator = fill.network(Generator(aligned=aligned), weights)
        encoded = generator.encode(image, source)
        field = generator.motion(encoded, second)
        decoded = generator.decode(encoded, field)
        out[f"{prefix}/mask_embedding"] = field.embedding[:, :, None, ::4, ::4]
        # the reference has a third coordinate, 0
        out[f"{prefix}/deformation"] = F.pad(field.deformation, (0, 1))[None]
        if not aligned:
            out["gen/kp_embedding"] = field.heat[:, :, None, ::2, ::2]
        out[f"{prefix}/decoder"] = decoded[:, :, None, ::8, ::8]
        out[f"{prefix}/deformed"] = generator.warp(image, field)[:, :, None, ::4, ::4]
        out[f"{prefix}/prediction"] = generator.synthesize(decoded)[:, :, None, ::2, ::2]
        del generator, encoded, decoded
        fill.release_memory()
    return out
